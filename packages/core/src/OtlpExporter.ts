/** The exporter of {@link Telemetry}: Effect's own, with spans that hold no messages of errors. */
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"

const tagOf = (value: unknown): string | undefined =>
  Predicate.hasProperty(value, "_tag") && typeof value._tag === "string" ? value._tag : undefined

/** `ClusterApplierError/RolloutFailed`: the tags of an error and its reason, or the name of what has none. */
export const kindOf = (error: unknown): string => {
  const tag = tagOf(error) ?? (error instanceof Error ? error.name : "Unknown")
  const reason = Predicate.hasProperty(error, "reason") ? tagOf(error.reason) : undefined
  return reason === undefined ? tag : `${tag}/${reason}`
}

const withoutMessage = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return exit
  const kind = kindOf(Cause.squash(exit.cause))
  const failure = new Error(kind)
  failure.name = kind
  failure.stack = kind
  return Exit.fail(failure)
}

const withoutMessages = (inner: Tracer.Tracer): Tracer.Tracer => ({
  ...inner,
  span: (options) => {
    const span = inner.span(options)
    const end = span.end.bind(span)
    span.end = (endTime, exit) => end(endTime, withoutMessage(exit))
    return span
  }
})

/** What the standard takes for granted where an endpoint is set. */
const defaults = {
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_METRICS_EXPORTER: "otlp",
  OTEL_LOGS_EXPORTER: "otlp"
}

/** Sends traces, metrics and logs by OTLP over HTTP, as the `OTEL_*` variables say. */
export const exporter = (
  service: string,
  environment: Readonly<Record<string, string>>,
  isJson: boolean
): Layer.Layer<never> => {
  const otlp = Otlp.layerFromConfig({
    resource: { serviceName: environment["OTEL_SERVICE_NAME"] ?? service }
  }).pipe(
    Layer.provide([
      FetchHttpClient.layer,
      isJson ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf,
      ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...defaults, ...environment } }))
    ])
  )
  const safeTracer = Layer.effect(Tracer.Tracer, Effect.map(Tracer.Tracer, withoutMessages))
  return safeTracer.pipe(Layer.provideMerge(otlp))
}
