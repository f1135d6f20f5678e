/** What is applied while a control plane comes up, against an API server's certificates and status codes. */
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Certificates from "../src/Certificates.ts"
import * as KubeApi from "../src/KubeApi.ts"

/** Answers with these status codes, one after the other, and the last one from then on. */
const apiServer = Effect.fnUntraced(function* (statuses: ReadonlyArray<number>) {
  const fs = yield* FileSystem.FileSystem
  const certificates = yield* fs.makeTempDirectoryScoped({ prefix: "mcpdeploy-kube-api-" })
  yield* Certificates.ensure(certificates)
  const [ca, cert, key] = ["ca.crt", "apiserver.crt", "apiserver.key"].map((name) =>
    readFileSync(join(certificates, name))
  )
  let asked = 0
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const made = createServer({ ca, cert, key, requestCert: true }, (request, response) => {
        request.resume()
        response.writeHead(statuses[Math.min(asked++, statuses.length - 1)] ?? 500).end("said so")
      })
      made.listen(0, "127.0.0.1")
      await once(made, "listening")
      return made
    }),
    (made) => Effect.sync(() => made.close())
  )
  const address = server.address()
  const isBound = (bound: typeof address): bound is AddressInfo => typeof bound === "object"
  assert(isBound(address))
  return { certificates, port: address.port, asked: () => asked }
})

const issuer: KubeApi.KubeObject = {
  collection: "/apis/cert-manager.io/v1/clusterissuers",
  object: { apiVersion: "cert-manager.io/v1", kind: "ClusterIssuer", metadata: { name: "one" } }
}

layer(NodeServices.layer, { excludeTestServices: true })(
  "what is applied while the API server comes up",
  (it) => {
    it.effect("is applied once its kind is served, however often it was not", () =>
      Effect.gen(function* () {
        const { asked, certificates, port } = yield* apiServer([404, 503, 404, 201])
        yield* KubeApi.applyWhenServed(certificates, issuer, port)
        assert.strictEqual(asked(), 4)
      })
    )
    it.effect("is not sent again when it is refused", () =>
      Effect.gen(function* () {
        const { asked, certificates, port } = yield* apiServer([422])
        const failure = yield* Effect.flip(KubeApi.applyWhenServed(certificates, issuer, port))
        assert.include(failure.message, "422 said so")
        assert.strictEqual(asked(), 1)
      })
    )
  }
)
