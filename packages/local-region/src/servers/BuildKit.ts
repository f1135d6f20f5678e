/**
 * buildkitd, in the network of builds: neither RUN steps nor what the daemon itself fetches for a Dockerfile reach the
 * cluster or this machine, but for the registry, which the daemon shows a certificate.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import { folderOf } from "../Toolchain.ts"

const cniConfiguration = {
  cniVersion: "0.4.0",
  name: "build",
  plugins: [
    {
      type: "bridge",
      bridge: Network.builds.bridge,
      isDefaultGateway: true,
      ipMasq: false,
      ipam: { type: "host-local", dataDir: "/run/cni-ipam", ranges: [[{ subnet: Network.builds.cidr }]] }
    }
  ]
}

/** Namespaces that are kept ready for RUN steps. */
const networkPool = 4

const configuration = (options: {
  readonly root: string
  readonly socket: string
  readonly runc: string
  readonly cni: string
  readonly cniBinaries: string
  readonly cgroup: string
  readonly certificate: (file: string) => string
}): string => `root = ${JSON.stringify(options.root)}

[grpc]
address = [${JSON.stringify(`unix://${options.socket}`)}]

[worker.oci]
enabled = true
snapshotter = "overlayfs"
binary = ${JSON.stringify(options.runc)}
networkMode = "cni"
cniConfigPath = ${JSON.stringify(options.cni)}
cniBinaryPath = ${JSON.stringify(options.cniBinaries)}
cniPoolSize = ${networkPool}
defaultCgroupParent = ${JSON.stringify(`/${options.cgroup}/build`)}

[dns]
nameservers = [${JSON.stringify(Network.slirp.dns)}]

# Ordinary names resolve to the images that the region was seeded with.
[registry."docker.io"]
mirrors = [${JSON.stringify(Network.registryName)}]

[registry.${JSON.stringify(Network.registryName)}]
ca = [${JSON.stringify(options.certificate("ca.crt"))}]
[[registry.${JSON.stringify(Network.registryName)}.keypair]]
cert = ${JSON.stringify(options.certificate("buildkit.crt"))}
key = ${JSON.stringify(options.certificate("buildkit.key"))}
`

export const start = Effect.fn("BuildKit.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, settings, program } = yield* Supervision
  const command = yield* program("buildkit", "buildkitd")
  const cni = join(folder.configuration, "build.conflist")
  const toml = join(folder.configuration, "buildkitd.toml")
  yield* fs.writeFileString(cni, JSON.stringify(cniConfiguration))
  yield* fs.writeFileString(
    toml,
    configuration({
      root: folder.state("buildkit"),
      socket: folder.buildkitSocket,
      runc: join(folderOf("runc") ?? "/usr/sbin", "runc"),
      cni,
      cniBinaries: folderOf("host-local") ?? "/usr/lib/cni",
      cgroup: settings.cgroup,
      certificate: (file) => join(folder.certificates, file)
    })
  )
  yield* fs.remove(folder.buildkitSocket, { force: true })
  yield* Server.start({
    name: "buildkit",
    inBuilds: true,
    command,
    args: ["--config", toml],
    // Whole logs: the limits' defaults clip a step's output and lose its last line.
    env: { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" },
    healthy: Health.accepts({ path: folder.buildkitSocket })
  })
})
