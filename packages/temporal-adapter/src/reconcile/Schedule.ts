/** The Temporal Schedule that starts `reconcile`. */
import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from "@temporalio/client"
import * as Effect from "effect/Effect"
import { QueueUnreachable } from "./PushQueue.ts"

export interface ReconcileSchedule {
  readonly taskQueue: string
  /** Seconds from one round to the next. */
  readonly everySeconds: number
}

/** The type of the workflow, and its id's beginning. */
const workflowType = "reconcile"

/** One schedule for a queue: all its workers agree on it. */
export const scheduleId = (taskQueue: string): string => `reconcile/${taskQueue}`

/** Makes the schedule, or makes the one that is there say the same. Any number of workers may do so at once. */
export const ensureSchedule = Effect.fn("ensureSchedule")(function* (
  client: Client,
  { everySeconds, taskQueue }: ReconcileSchedule
) {
  const id = scheduleId(taskQueue)
  const spec = { intervals: [{ every: everySeconds * 1000 }] }
  const policies = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: 60_000 }
  const action = {
    type: "startWorkflow" as const,
    workflowType,
    workflowId: workflowType,
    taskQueue,
    args: []
  }
  yield* Effect.tryPromise({
    try: async () => {
      try {
        await client.schedule.create({ scheduleId: id, spec, policies, action })
      } catch (error) {
        if (!(error instanceof ScheduleAlreadyRunning)) throw error
        await client.schedule.getHandle(id).update(({ state }) => ({ spec, policies, action, state }))
      }
    },
    catch: (error) => new QueueUnreachable({ detail: error instanceof Error ? error.message : String(error) })
  })
})

/** Takes the schedule away, where reconciling is switched off. */
export const removeSchedule = Effect.fn("removeSchedule")(function* (client: Client, taskQueue: string) {
  yield* Effect.promise(() =>
    client.schedule
      .getHandle(scheduleId(taskQueue))
      .delete()
      .catch(() => undefined)
  )
})
