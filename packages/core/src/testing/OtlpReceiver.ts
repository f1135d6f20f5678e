/**
 * OtlpReceiver: a collector on loopback for tests. It takes OTLP/HTTP in JSON (opentelemetry.io/docs/specs/otlp) and refuses,
 * and remembers as a violation, everything else: another path, method or content type, a field that is unknown or missing.
 */
import { createServer, type Server } from "node:http"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Value: Schema.Codec<unknown> = Schema.suspend(() =>
  Schema.Union([
    Schema.Struct({ stringValue: Schema.String }),
    Schema.Struct({ boolValue: Schema.Boolean }),
    Schema.Struct({ intValue: Schema.Union([Schema.Int, Schema.String]) }),
    Schema.Struct({ doubleValue: Schema.Finite }),
    Schema.Struct({ arrayValue: Schema.Struct({ values: Schema.Array(Value) }) }),
    Schema.Struct({ kvlistValue: Schema.Struct({ values: Schema.Array(KeyValue) }) })
  ])
)
const KeyValue: Schema.Codec<{ readonly key: string; readonly value: unknown }> = Schema.Struct({
  key: Schema.NonEmptyString,
  value: Value
})
const attributes = Schema.Array(KeyValue)
const nanos = Schema.String.check(Schema.isPattern(/^[1-9]\d{15,19}$/))
const hex = (digits: number) => Schema.String.check(Schema.isPattern(new RegExp(`^[0-9a-f]{${digits}}$`)))
const none = Schema.Literal(0)
const resource = Schema.Struct({ attributes, droppedAttributesCount: none })
const scope = Schema.Struct({ name: Schema.NonEmptyString, version: Schema.optionalKey(Schema.String) })

const Span = Schema.Struct({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: Schema.optionalKey(hex(16)),
  name: Schema.NonEmptyString,
  kind: Schema.Literals([1, 2, 3, 4, 5]),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  droppedAttributesCount: none,
  events: Schema.Array(
    Schema.Struct({ name: Schema.String, timeUnixNano: nanos, attributes, droppedAttributesCount: none })
  ),
  droppedEventsCount: none,
  status: Schema.Struct({ code: Schema.Literals([0, 1, 2]), message: Schema.optionalKey(Schema.String) }),
  links: Schema.Array(Schema.Unknown),
  droppedLinksCount: none
})
/** A span as it was received. */
export type Span = typeof Span.Type

const number = Schema.Union([Schema.Finite, Schema.String])
const point = Schema.Struct({
  attributes,
  startTimeUnixNano: nanos,
  timeUnixNano: nanos,
  asInt: Schema.optionalKey(number),
  asDouble: Schema.optionalKey(Schema.Finite),
  count: Schema.optionalKey(number),
  sum: Schema.optionalKey(Schema.Finite),
  min: Schema.optionalKey(Schema.Finite),
  max: Schema.optionalKey(Schema.Finite),
  bucketCounts: Schema.optionalKey(Schema.Array(number)),
  explicitBounds: Schema.optionalKey(Schema.Array(Schema.Finite))
})
const data = Schema.Struct({
  dataPoints: Schema.Array(point),
  aggregationTemporality: Schema.optionalKey(Schema.Literals([1, 2])),
  isMonotonic: Schema.optionalKey(Schema.Boolean)
})
const MetricRecord = Schema.Struct({
  name: Schema.NonEmptyString,
  description: Schema.optionalKey(Schema.String),
  unit: Schema.optionalKey(Schema.String),
  sum: Schema.optionalKey(data),
  gauge: Schema.optionalKey(data),
  histogram: Schema.optionalKey(data)
})

const LogRecord = Schema.Struct({
  timeUnixNano: nanos,
  observedTimeUnixNano: Schema.optionalKey(nanos),
  severityNumber: Schema.Int,
  severityText: Schema.String,
  body: Value,
  attributes,
  droppedAttributesCount: Schema.optionalKey(none),
  flags: Schema.optionalKey(Schema.Int),
  traceId: Schema.optionalKey(hex(32)),
  spanId: Schema.optionalKey(hex(16))
})

const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({ resource, scopeSpans: Schema.Array(Schema.Struct({ scope, spans: Schema.Array(Span) })) })
  )
})
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      resource,
      scopeMetrics: Schema.Array(Schema.Struct({ scope, metrics: Schema.Array(MetricRecord) }))
    })
  )
})
const Logs = Schema.Struct({
  resourceLogs: Schema.Array(
    Schema.Struct({
      resource,
      scopeLogs: Schema.Array(Schema.Struct({ scope, logRecords: Schema.Array(LogRecord) }))
    })
  )
})
const strict = { onExcessProperty: "error" } as const
const decoders = {
  traces: Schema.decodeUnknownResult(Schema.fromJsonString(Traces), strict),
  metrics: Schema.decodeUnknownResult(Schema.fromJsonString(Metrics), strict),
  logs: Schema.decodeUnknownResult(Schema.fromJsonString(Logs), strict)
}

/** The text of an attribute; undefined where it has none. */
export const textOf = (found: typeof attributes.Type, key: string): string | undefined => {
  const value = found.find((each) => each.key === key)?.value
  return Schema.is(Schema.Struct({ stringValue: Schema.String }))(value) ? value.stringValue : undefined
}

/** A collector that keeps what it is sent, and says what of it breaks the protocol. */
export class OtlpReceiver {
  /** All bodies as they came. */
  raw = ""
  readonly violations: Array<string> = []
  readonly spans: Array<Span> = []
  readonly metrics = new Set<string>()
  readonly logs: Array<typeof LogRecord.Type> = []
  readonly services = new Set<string | undefined>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const body = Buffer.concat(chunks).toString()
        const signature = `${request.method} ${request.url} ${request.headers["content-type"]}`
        const problem = this.#take(signature, body)
        if (problem !== undefined) this.violations.push(`${signature}: ${problem}`)
        response
          .writeHead(problem === undefined ? 200 : 400, { "content-type": "application/json" })
          .end("{}")
      })
    })
  }
  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver()
    await new Promise<void>((resume) => receiver.#server.listen(0, "127.0.0.1", resume))
    return receiver
  }
  get url(): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  }
  [Symbol.dispose](): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #take(signature: string, body: string): string | undefined {
    this.raw += `${body}\n`
    switch (signature) {
      case "POST /v1/traces application/json": {
        const decoded = decoders.traces(body)
        if (Result.isFailure(decoded)) return decoded.failure.message
        for (const { resource, scopeSpans } of decoded.success.resourceSpans) {
          this.services.add(textOf(resource.attributes, "service.name"))
          this.spans.push(...scopeSpans.flatMap(({ spans }) => spans))
        }
        return undefined
      }
      case "POST /v1/metrics application/json": {
        const decoded = decoders.metrics(body)
        if (Result.isFailure(decoded)) return decoded.failure.message
        for (const { scopeMetrics } of decoded.success.resourceMetrics)
          for (const { metrics } of scopeMetrics) for (const { name } of metrics) this.metrics.add(name)
        return undefined
      }
      case "POST /v1/logs application/json": {
        const decoded = decoders.logs(body)
        if (Result.isFailure(decoded)) return decoded.failure.message
        for (const { scopeLogs } of decoded.success.resourceLogs)
          this.logs.push(...scopeLogs.flatMap(({ logRecords }) => logRecords))
        return undefined
      }
      default:
        return "no such route"
    }
  }
}
