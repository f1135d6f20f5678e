import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { quietRuntime } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { readSettings } from "@mcpdeploy/temporal-adapter/worker/Settings"
import { connect } from "@mcpdeploy/temporal-adapter/worker/TemporalConnection"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Authority, authority, tlsProxy } from "./support/TlsProxy.ts"

const devServer = DevServer.layer().pipe(Layer.provideMerge(NodeServices.layer))
const apiKey = "a-key-that-no-message-repeats"

/** Reads the environment and connects, as the process does when it starts. Fails with the line that the process prints. */
const connectWith = Effect.fnUntraced(function* (own: Authority, environment: Record<string, string>) {
  yield* quietRuntime
  const region = join(own.folder, "region.json")
  writeFileSync(
    region,
    JSON.stringify({
      cluster: { platformDomain: "localhost" },
      buildkit: { address: "unix:///none" },
      registry: { endpoint: "http://127.0.0.1:1" }
    })
  )
  const { temporal } = yield* readSettings({
    MCPDEPLOY_REGION: region,
    MCPDEPLOY_BUILD_SECRET_KEY: "0123456789abcdef0123456789abcdef",
    ...environment
  })
  yield* connect(temporal)
})

const refusal = (own: Authority, environment: Record<string, string>) =>
  connectWith(own, environment).pipe(
    Effect.flip,
    Effect.map(({ message }) => {
      assert.lengthOf(message.split("\n"), 1, message)
      assert.notInclude(message, apiKey)
      return message
    })
  )

describe.skipIf(temporalProgram() === undefined)(
  `the connection to Temporal (${temporalProgram() ?? missingProgram})`,
  () => {
    layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
      it.effect("with a client certificate: the right one alone connects, others are told what to set", () =>
        Effect.gen(function* () {
          const { address: upstream } = yield* DevServer
          const own = yield* authority
          const other = yield* authority
          const address = yield* tlsProxy({ upstream, authority: own, require: "certificate" })
          const of = ({ certificate, key }: ReturnType<Authority["sign"]>, ca = own.certificate) => ({
            TEMPORAL_ADDRESS: address,
            TEMPORAL_TLS_CERT: certificate,
            TEMPORAL_TLS_KEY: key,
            TEMPORAL_TLS_CA: ca
          })
          const client = own.sign("client")
          yield* connectWith(own, of(client))

          const foreign = other.sign("client")
          assert.match(yield* refusal(own, of(foreign)), /refuses the credentials.*TEMPORAL_TLS_CERT/)
          assert.match(
            yield* refusal(own, { TEMPORAL_ADDRESS: address, TEMPORAL_TLS_CA: own.certificate }),
            /refuses the credentials.*TEMPORAL_TLS_CERT/
          )
          assert.match(yield* refusal(own, of(client, other.certificate)), /TEMPORAL_TLS_CA/)
          assert.match(yield* refusal(own, { TEMPORAL_ADDRESS: address }), /whether it speaks TLS/)
          const mixed = { certificate: client.certificate, key: foreign.key }
          assert.match(yield* refusal(own, of(mixed)), /TEMPORAL_TLS_KEY is not the key of the certificate/)
          const expired = own.sign("expired", 0)
          yield* Effect.sleep("1100 millis")
          assert.match(yield* refusal(own, of(expired)), /TEMPORAL_TLS_CERT expired at .*: set it to/)
        })
      )

      it.effect("with an API key: the right one alone connects", () =>
        Effect.gen(function* () {
          const { address: upstream } = yield* DevServer
          const own = yield* authority
          const address = yield* tlsProxy({ upstream, authority: own, require: { apiKey } })
          const of = (key: string, more: Record<string, string> = {}) => ({
            TEMPORAL_ADDRESS: address,
            TEMPORAL_API_KEY: key,
            TEMPORAL_TLS_CA: own.certificate,
            ...more
          })
          yield* connectWith(own, of(apiKey))
          assert.match(yield* refusal(own, of("an-expired-key")), /refuses the credentials.*TEMPORAL_API_KEY/)
          assert.match(
            yield* refusal(own, of(apiKey, { TEMPORAL_NAMESPACE: "none" })),
            /has no namespace none: set TEMPORAL_NAMESPACE/
          )
          const { certificate, key } = own.sign("client")
          assert.match(
            yield* refusal(own, of(apiKey, { TEMPORAL_TLS_CERT: certificate, TEMPORAL_TLS_KEY: key })),
            /TEMPORAL_API_KEY and TEMPORAL_TLS_CERT are both set/
          )
          assert.match(
            yield* refusal(own, of(apiKey, { TEMPORAL_ADDRESS: upstream })),
            /cannot be reached.*check TEMPORAL_ADDRESS/
          )
        })
      )
    })
  }
)
