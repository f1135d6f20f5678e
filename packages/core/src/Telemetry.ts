/**
 * Telemetry: sends traces, metrics and logs by OTLP over HTTP where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and is nothing
 * otherwise. The standard's other variables hold too (opentelemetry.io/docs/specs/otel/protocol/exporter).
 *
 * A span says what kind of failure ended it and never its message: a message may quote a customer's build.
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"

/** A variable of OpenTelemetry's cannot be used. Names the variable, never its value. */
export class TelemetryInvalid extends Schema.TaggedError<TelemetryInvalid>()("TelemetryInvalid", {
  variable: Schema.String,
  expected: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.variable} is not right: set it to ${this.expected}, or unset it`
  }
}

const endpoints = [
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
  "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
] as const
const protocol = "OTEL_EXPORTER_OTLP_PROTOCOL"
const protocols: ReadonlySet<string> = new Set(["http/protobuf", "http/json"])

const isUrl = (value: string): boolean => /^https?:\/\//.test(value) && URL.canParse(value)

/** `service` is `service.name`, where `OTEL_SERVICE_NAME` does not say another. What is not sent yet is sent when the scope closes. */
export const layer = (
  service: string,
  environment: Readonly<Record<string, string | undefined>>
): Layer.Layer<never, TelemetryInvalid> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const set = Object.fromEntries(
        Object.entries(environment).flatMap(([name, value]) =>
          value === undefined || value === "" || !name.startsWith("OTEL_") ? [] : [[name, value]]
        )
      )
      if (endpoints.every((name) => set[name] === undefined)) return Layer.empty
      const wrong = endpoints.find((name) => set[name] !== undefined && !isUrl(set[name]))
      if (wrong !== undefined) {
        return yield* new TelemetryInvalid({
          variable: wrong,
          expected: "a URL such as http://collector:4318"
        })
      }
      const chosen = set[protocol] ?? "http/protobuf"
      if (!protocols.has(chosen)) {
        return yield* new TelemetryInvalid({ variable: protocol, expected: "http/protobuf or http/json" })
      }
      // Loaded only where it is used: a command line is to be small.
      const { exporter } = yield* Effect.promise(() => import("./OtlpExporter.ts"))
      return exporter(service, set, chosen === "http/json")
    })
  )

/** The trace of everything that has this id: all who know the id, in whatever process, put their spans into one trace. */
export const traceOf = (id: string): Tracer.ExternalSpan => {
  const hash = createHash("sha256").update(id).digest("hex")
  return Tracer.externalSpan({ traceId: hash.slice(0, 32), spanId: hash.slice(32, 48) })
}
