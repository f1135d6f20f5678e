/** CoreDNS on the node's address; the cluster's DNS service leads there. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"

/** No reverse zones: whoever asks for every service address would learn the names of all customers, projects and services. */
const corefile = (kubeconfig: string): string => `.:53 {
  bind ${Network.pods.node}
  errors
  health 127.0.0.1:8080
  ready 127.0.0.1:8181
  kubernetes cluster.local {
    kubeconfig ${kubeconfig}
    pods disabled
    ttl 5
  }
  forward . ${Network.slirp.dns}
  cache 5
  loadbalance
}
`

export const start = Effect.fn("CoreDns.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const file = join(folder.configuration, "Corefile")
  yield* fs.writeFileString(file, corefile(join(folder.configuration, "dns.kubeconfig")))
  yield* Server.start({
    name: "coredns",
    command: yield* program("coredns", "coredns"),
    args: ["-conf", file],
    healthy: Health.http("http://127.0.0.1:8181/ready")
  })
})
