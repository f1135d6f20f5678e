/** The sink on a real Temporal dev server, also one that hangs. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { PushSink } from "@mcpdeploy/server/PushSink"
import * as TemporalPushSink from "@mcpdeploy/server/TemporalPushSink"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import type { TemporalSettings } from "@mcpdeploy/temporal-adapter/settings/TemporalSettings"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))
const quiet = Layer.succeed(References.MinimumLogLevel, "None")
const deadlineMs = 850

const settings = (address: string, change: Partial<TemporalSettings> = {}): TemporalSettings => ({
  address,
  namespace: "default",
  taskQueue: "k8s-native",
  apiKey: undefined,
  clientCertificate: undefined,
  authority: undefined,
  payloadKeys: undefined,
  ...change
})

const target = { owner: { user: "ann", project: "shop" }, service: "web" }
const push = (generation: number) => ({
  deliveryId: String(generation),
  generation,
  origin: "gitea" as const,
  receivedAt: "2026-01-01T00:00:00.000Z",
  action: { _tag: "Deploy" as const, request: stubRequest(target, generation) }
})

const program = temporalProgram()

describe.skipIf(program === undefined)(
  `TemporalPushSink (${program ?? `SKIPPED: ${missingProgram}`})`,
  () => {
    layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
      it.effect("while Temporal hangs a submit fails in time; afterwards it is stored", () =>
        Effect.gen(function* () {
          const { address, pid } = yield* DevServer
          yield* Effect.gen(function* () {
            const sink = yield* PushSink
            assert.isTrue(sink.isConnected())
            yield* sink.submit(target, push(1))
            process.kill(pid, "SIGSTOP")
            yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(pid, "SIGCONT")))
            const begun = performance.now()
            const error = yield* Effect.flip(sink.submit(target, push(2)))
            assert.isBelow(performance.now() - begun, 1000)
            assert.isTrue(error.retryable)
            while (sink.isConnected()) yield* Effect.sleep("100 millis")
            process.kill(pid, "SIGCONT")
            while (!sink.isConnected()) yield* Effect.sleep("100 millis")
            yield* sink.submit(target, push(2))
          }).pipe(
            Effect.scoped,
            Effect.provide(Layer.merge(TemporalPushSink.layer(settings(address), deadlineMs), quiet))
          )
        })
      )

      it.effect("a namespace that is not there is said at start", () =>
        Effect.gen(function* () {
          const { address } = yield* DevServer
          const sink = TemporalPushSink.layer(settings(address, { namespace: "elsewhere" }), deadlineMs)
          const error = yield* Effect.flip(PushSink.pipe(Effect.provide(Layer.merge(sink, quiet))))
          assert.match(error.message, /has no namespace elsewhere: set TEMPORAL_NAMESPACE/)
        })
      )
    })
  }
)
