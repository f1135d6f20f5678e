/** Metrics of the process, in Prometheus' text format. Labels have few values: no repository, no customer. */
import type { Context } from "effect/Context"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { Reply } from "./Answer.ts"
import type { Forge } from "./Forge.ts"

const deliveries = (attributes: Readonly<Record<string, string>>) =>
  Metric.counter("mcpdeploy_webhook_deliveries", {
    description: "Webhooks that were answered",
    incremental: true,
    attributes
  })

const duration = (forge: Forge) =>
  Metric.histogram("mcpdeploy_webhook_duration_seconds", {
    description: "From a webhook's first byte to its answer",
    boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    attributes: { forge }
  })

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

export interface Gauges {
  readonly inFlight: number
  readonly bufferedBytes: number
  readonly isTemporalConnected: boolean
  readonly isCatalogConnected: boolean
}

/** Metrics that are kept in `context`. */
export class ServerMetrics {
  readonly #context: Context<never>
  readonly #deliveries = new Map<string, ReturnType<typeof deliveries>>()
  readonly #durations = { github: duration("github"), gitea: duration("gitea") }
  readonly #inFlight = gauge("mcpdeploy_webhook_in_flight", "Deliveries that wait for Temporal")
  readonly #buffered = gauge("mcpdeploy_webhook_buffered_bytes", "Bytes of bodies that are held")
  readonly #temporal = gauge("mcpdeploy_temporal_connected", "1 while Temporal answers")
  readonly #catalog = gauge("mcpdeploy_catalog_connected", "1 while changes of the catalog are heard of")

  constructor(context: Context<never>) {
    this.#context = context
  }

  answered(forge: Forge, { answer, status }: Reply, seconds: number): void {
    const key = `${forge} ${answer.outcome} ${status}`
    const counter =
      this.#deliveries.get(key) ?? deliveries({ forge, outcome: answer.outcome, status: String(status) })
    this.#deliveries.set(key, counter)
    counter.updateUnsafe(1, this.#context)
    this.#durations[forge].updateUnsafe(seconds, this.#context)
  }

  text({ bufferedBytes, inFlight, isCatalogConnected, isTemporalConnected }: Gauges): string {
    this.#inFlight.updateUnsafe(inFlight, this.#context)
    this.#buffered.updateUnsafe(bufferedBytes, this.#context)
    this.#temporal.updateUnsafe(isTemporalConnected ? 1 : 0, this.#context)
    this.#catalog.updateUnsafe(isCatalogConnected ? 1 : 0, this.#context)
    return PrometheusMetrics.formatUnsafe(this.#context)
  }
}
