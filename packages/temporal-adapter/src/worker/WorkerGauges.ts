/** What a worker measures of itself and its queue, beside what its steps count. */
import type { BuildSlotsUsage } from "@mcpdeploy/core/BuildSlots"
import type { Client } from "@temporalio/client"
import type { Context } from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import type { TemporalSettings } from "../settings/TemporalSettings.ts"

/** Temporal did not say how much waits. */
class BacklogUnknown extends Schema.TaggedError<BacklogUnknown>()("BacklogUnknown", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return this.detail
  }
}

/** Tasks that wait in Temporal for a worker, about. */
export interface Backlog {
  readonly workflow: number
  readonly activity: number
}

const deadlineMs = 5000
/** As temporal.api.enums.v1.TaskQueueType numbers them. */
const taskQueueTypes = { workflow: 1, activity: 2 } as const

const gauge = (name: string, description: string, attributes: Readonly<Record<string, string>> = {}) =>
  Metric.gauge(name, { description, attributes })

const waiting = (type: keyof Backlog) =>
  gauge("mcpdeploy_task_queue_backlog", "Tasks that wait for a worker, about", { type })

/** Gauges that are kept in `context`. */
export class WorkerGauges {
  readonly #context: Context<never>
  readonly #capacity = gauge("mcpdeploy_build_slots", "Builds at once of this worker")
  readonly #used = gauge("mcpdeploy_build_slots_used", "Builds that run")
  readonly #waiting = gauge("mcpdeploy_build_slots_waiting", "Builds that wait for a slot")
  readonly #backlog = { workflow: waiting("workflow"), activity: waiting("activity") }

  constructor(context: Context<never>) {
    this.#context = context
  }
  slots({ capacity, used, waiting }: BuildSlotsUsage): void {
    this.#capacity.updateUnsafe(capacity, this.#context)
    this.#used.updateUnsafe(used, this.#context)
    this.#waiting.updateUnsafe(waiting, this.#context)
  }
  backlog({ activity, workflow }: Backlog): void {
    this.#backlog.workflow.updateUnsafe(workflow, this.#context)
    this.#backlog.activity.updateUnsafe(activity, this.#context)
  }
}

/** Asks Temporal how much of a task queue waits. */
export const backlogOf = (
  client: Client,
  { namespace, taskQueue }: TemporalSettings
): Effect.Effect<Backlog, BacklogUnknown> => {
  const ask = async (type: keyof Backlog) => {
    const { stats } = await client.withDeadline(Date.now() + deadlineMs, () =>
      client.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: taskQueue },
        taskQueueType: taskQueueTypes[type],
        reportStats: true
      })
    )
    return Number(stats?.approximateBacklogCount ?? 0)
  }
  return Effect.tryPromise({
    try: async () => {
      const [workflow, activity] = await Promise.all([ask("workflow"), ask("activity")])
      return { workflow, activity }
    },
    catch: (error) => new BacklogUnknown({ detail: error instanceof Error ? error.message : String(error) })
  })
}
