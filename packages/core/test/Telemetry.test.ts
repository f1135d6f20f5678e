import { assert, describe, it } from "@effect/vitest"
import { countBuild } from "@mcpdeploy/core/pipeline/StepTelemetry"
import * as Telemetry from "@mcpdeploy/core/Telemetry"
import { OtlpReceiver, textOf } from "@mcpdeploy/core/testing/OtlpReceiver"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class BuildBroke extends Schema.TaggedError<BuildBroke>()("BuildBroke", {
  output: Schema.String,
  reason: Schema.TaggedStruct("StepFailed", {})
}) {
  override get message(): string {
    return `the build has said ${this.output}`
  }
}

const canary = "canary-3f9d1c"
const receiver = Effect.acquireDisposable(Effect.promise(() => OtlpReceiver.start()))
const json = (url: string) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/json"
})

const work = Effect.gen(function* () {
  yield* countBuild(true)
  yield* Effect.logInfo("it works", { step: "build" })
  yield* Effect.fail(new BuildBroke({ output: canary, reason: { _tag: "StepFailed" } })).pipe(
    Effect.withSpan("inner"),
    Effect.ignore
  )
}).pipe(
  Effect.withSpan("outer", {
    parent: Telemetry.traceOf("deploy/ann/shop/web/7"),
    attributes: { "mcpdeploy.service": "ann/shop/web" }
  })
)

describe("Telemetry", () => {
  it.live("sends spans, metrics and logs that a strict collector takes, and no error's message", () =>
    Effect.gen(function* () {
      const collector = yield* receiver
      yield* work.pipe(Effect.provide(Telemetry.layer("test", json(collector.url))), Effect.scoped)
      assert.deepStrictEqual(collector.violations, [])
      assert.deepStrictEqual([...collector.services], ["test"])
      const span = (name: string) => collector.spans.find((each) => each.name === name)
      const { spanId, traceId } = Telemetry.traceOf("deploy/ann/shop/web/7")
      assert.strictEqual(span("outer")?.traceId, traceId)
      assert.strictEqual(span("outer")?.parentSpanId, spanId)
      assert.strictEqual(span("inner")?.parentSpanId, span("outer")?.spanId)
      assert.strictEqual(textOf(span("outer")?.attributes ?? [], "mcpdeploy.service"), "ann/shop/web")
      assert.deepStrictEqual(span("inner")?.status, { code: 2, message: "BuildBroke/StepFailed" })
      assert.strictEqual(collector.logs[0]?.traceId, traceId)
      assert.isTrue(collector.metrics.has("mcpdeploy_builds"))
      assert.notInclude(collector.raw, canary)
    })
  )

  it.live("in protobuf too, which is what it sends when nothing is said", () =>
    Effect.gen(function* () {
      const collector = yield* receiver
      const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
      yield* work.pipe(Effect.provide(Telemetry.layer("test", environment)), Effect.scoped)
      // The double reads JSON alone: that it got protobuf is all it can say.
      assert.isNotEmpty(collector.violations)
      for (const each of collector.violations) assert.include(each, "application/x-protobuf")
      assert.include(collector.raw, "BuildBroke/StepFailed")
      assert.notInclude(collector.raw, canary)
    })
  )

  it.live("a collector that is away holds up nothing", () =>
    Effect.gen(function* () {
      const begun = performance.now()
      yield* work.pipe(Effect.provide(Telemetry.layer("test", json("http://127.0.0.1:1"))), Effect.scoped)
      assert.isBelow(performance.now() - begun, 5000)
    })
  )

  it.effect("a variable that is wrong is named, and its value is not", () =>
    Effect.gen(function* () {
      for (const environment of [
        { OTEL_EXPORTER_OTLP_ENDPOINT: `user:${canary}@collector` },
        { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318", OTEL_EXPORTER_OTLP_PROTOCOL: canary }
      ]) {
        const error = yield* Effect.void.pipe(
          Effect.provide(Telemetry.layer("test", environment)),
          Effect.flip
        )
        assert.match(error.message, /^OTEL_EXPORTER_OTLP_(?:ENDPOINT|PROTOCOL) is not right: set it to /)
        assert.notInclude(error.message, canary)
      }
    })
  )
})
