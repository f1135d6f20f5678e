import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ServiceName } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import { requestOf, servicesOf } from "@mcpdeploy/cli/RequestOf"
import { parseServiceFile } from "@mcpdeploy/cli/ServiceFile"

const text = (trigger: string) => `user: ann
project: shop
services:
  web:
    source: { repository: { url: "https://git.example.com/ann/shop" }, ref: main }
    run: { port: 3000 }
    trigger: ${trigger}
`

describe("trigger in the service file", () => {
  layer(NodeServices.layer)("in a process", (it) => {
    it.effect("comes with the request", () =>
      Effect.gen(function* () {
        const file = yield* parseServiceFile("mcpdeploy.yaml", text('{ paths: ["web/**"] }'))
        const [[service, section] = assert.fail("no service")] = yield* servicesOf(file, [])
        const request = yield* requestOf({
          file,
          service,
          section,
          directory: "/",
          ref: undefined,
          generation: Generation.make(1)
        })
        assert.strictEqual(service, ServiceName.make("web"))
        assert.deepStrictEqual(request.trigger?.paths, ["web/**"])
      })
    )

    it.effect("is refused with its place when it has no path", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(parseServiceFile("mcpdeploy.yaml", text("{ paths: [] }")))
        assert.match(error.message, /mcpdeploy\.yaml:7:\d+: services\.web\.trigger\.paths/)
      })
    )
  })
})
