/** What the Temporal SDK keeps once for a process: logs as JSON lines, and metrics, to which ours are added. */
import { createServer } from "node:net"
import { TemporalFailure } from "@temporalio/common"
import { DefaultLogger, type LogEntry, makeTelemetryFilterString, Runtime } from "@temporalio/worker"
import * as Effect from "effect/Effect"
import { PortUnusable } from "./HealthServer.ts"

/** A failure's message may quote a customer's build, and its details more: only what kind of failure it is. */
const safe = (value: unknown): unknown => {
  if (value instanceof TemporalFailure) return value.name
  if (value instanceof Error) return `${value.name}: ${value.message}`
  return typeof value === "bigint" ? Number(value) : value
}

const line = ({ level, message, meta, timestampNanos }: LogEntry): string =>
  JSON.stringify({
    time: new Date(Number(timestampNanos / 1_000_000n)).toISOString(),
    level,
    message,
    ...Object.fromEntries(Object.entries(meta ?? {}).map(([name, value]) => [name, safe(value)]))
  })

const freePort = Effect.callback<number, PortUnusable>((resume) => {
  const server = createServer()
  const host = "127.0.0.1"
  server.once("error", ({ message }) =>
    resume(Effect.fail(new PortUnusable({ host, port: 0, detail: message })))
  )
  server.listen(0, host, () => {
    const address = server.address()
    server.close(() =>
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    )
  })
})

/** Temporal's SDK in this process, and its metrics. */
export interface SdkRuntime {
  readonly runtime: Runtime
  /** The SDK's and our metrics in Prometheus' text format. */
  readonly metrics: () => Promise<string>
}

/** Signals are left to the process itself. */
export const installSdkRuntime = Effect.fn("installSdkRuntime")(function* () {
  const bindAddress = `127.0.0.1:${yield* freePort}`
  const runtime = Runtime.install({
    shutdownSignals: [],
    logger: new DefaultLogger("INFO", (entry) => process.stdout.write(`${line(entry)}\n`)),
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: "WARN", other: "WARN" }), forward: {} },
      metrics: { prometheus: { bindAddress, unitSuffix: false } }
    }
  })
  const metrics = async () => {
    const response = await fetch(`http://${bindAddress}/metrics`, { signal: AbortSignal.timeout(5000) })
    return response.text()
  }
  return { runtime, metrics } satisfies SdkRuntime
})
