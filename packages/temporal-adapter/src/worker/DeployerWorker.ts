/**
 * DeployerWorker: runs the workflows and activities of one task queue until it is told to stop.
 *
 * There are many activity slots and few build slots: a build that waits for a slot is a fiber that heartbeats, so a tenant
 * who queues a hundred builds neither takes other tenants' turn nor keeps their clones and rollouts from running.
 *
 * Stopping: it polls no more, cancels what runs, waits until that is seen ended (a build dead), and fails it back to
 * Temporal, which gives it to another worker. What is not ended by the deadline is left to the heartbeat's timeout.
 */
import { BuildSlots } from "@mcpdeploy/core/BuildSlots"
import { dataConverter } from "@mcpdeploy/temporal-contract/codec"
import { Client } from "@temporalio/client"
import { type NativeConnection, Worker, type WorkerInterceptors } from "@temporalio/worker"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { type ActivityServices, makeActivities } from "../activities/Activities.ts"
import { stepMetrics } from "../activities/StepMetrics.ts"
import { makeReconcileActivities } from "../reconcile/Activities.ts"
import { makeBundle } from "./WorkflowBundle.ts"
import type { Reconciler } from "../reconcile/Reconciler.ts"
import { ensureSchedule, removeSchedule } from "../reconcile/Schedule.ts"
import { serveHealth } from "./HealthServer.ts"
import type { SdkRuntime } from "./SdkRuntime.ts"
import type { Settings } from "./Settings.ts"
import { backlogOf, WorkerGauges } from "./WorkerGauges.ts"

/** The worker ended by itself. */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the worker ended: ${this.detail}`
  }
}

const failed = (error: unknown) =>
  new WorkerFailed({ detail: error instanceof Error ? error.message : String(error) })

/** What a worker's activities need of its region. */
export type WorkerServices = ActivityServices | BuildSlots | Reconciler

/** A running step hears of its cancellation by its heartbeat, which is sent no more rarely than this. */
const heartbeatThrottle = "1 second"
/** What is about to end by itself may do so before a shutdown cancels it. */
const shutdownGrace = "1 second"
const measureEvery = "15 seconds"

/** A client on the worker's connection, with the same codec. */
export const clientOf = (connection: NativeConnection, { temporal }: Settings): Client =>
  new Client({
    connection,
    namespace: temporal.namespace,
    dataConverter: dataConverter(temporal.payloadKeys)
  })

/** Runs until `stop` is done; returns when everything is handed back. */
// Without a span: everything that it runs would be part of it.
export const runWorker = Effect.fnUntraced(function* (options: {
  readonly settings: Settings
  readonly connection: NativeConnection
  readonly sdk: SdkRuntime
  readonly services: Context.Context<WorkerServices>
  readonly stop: Deferred.Deferred<void>
  readonly interceptors?: WorkerInterceptors
}) {
  const { connection, interceptors = {}, sdk, services, settings, stop } = options
  const { reconcileSeconds, shutdownSeconds, temporal, workflowBundle } = settings
  const { taskQueue } = temporal
  // Where activities log to and are traced by is the process's.
  const context = yield* Effect.context<never>()
  const runtime = yield* Effect.acquireRelease(
    Effect.sync(() => ManagedRuntime.make(Layer.succeedContext(Context.merge(context, services)))),
    (runtime) => runtime.disposeEffect
  )
  const metrics = stepMetrics(context)
  const worker = yield* Effect.tryPromise({
    try: async () =>
      Worker.create({
        connection,
        namespace: temporal.namespace,
        taskQueue,
        dataConverter: dataConverter(temporal.payloadKeys),
        workflowBundle: workflowBundle === undefined ? await makeBundle() : { codePath: workflowBundle },
        activities: {
          ...makeActivities(runtime, metrics),
          ...makeReconcileActivities(runtime, metrics)
        },
        interceptors,
        maxConcurrentActivityTaskExecutions: settings.activitySlots,
        maxHeartbeatThrottleInterval: heartbeatThrottle,
        shutdownGraceTime: shutdownGrace,
        shutdownForceTime: `${shutdownSeconds} seconds`
      }),
    catch: failed
  })

  let isStopping = false
  const client = clientOf(connection, settings)
  const gauges = new WorkerGauges(context)
  const measureSlots = Effect.map(
    BuildSlots.use(({ usage }) => usage),
    (usage) => gauges.slots(usage)
  ).pipe(Effect.provide(services))
  yield* backlogOf(client, settings.temporal).pipe(
    Effect.map((backlog) => gauges.backlog(backlog)),
    Effect.catch((error) => Effect.logDebug(`the queue's depth is not known: ${error.message}`)),
    Effect.andThen(measureSlots),
    Effect.repeat(Schedule.spaced(measureEvery)),
    Effect.forkScoped
  )
  const port = yield* serveHealth(settings.http, {
    healthy: () => worker.getState() !== "FAILED",
    ready: () => worker.getState() === "RUNNING" && !isStopping,
    metrics: async () => {
      await runtime.runPromise(measureSlots)
      return `${PrometheusMetrics.formatUnsafe(context)}\n${await sdk.metrics()}`
    }
  })

  const running = yield* Effect.tryPromise({ try: () => worker.run(), catch: failed }).pipe(Effect.forkChild)
  yield* reconcileSeconds === 0
    ? removeSchedule(client, taskQueue)
    : ensureSchedule(client, { taskQueue, everySeconds: reconcileSeconds }).pipe(
        Effect.catch((error) => Effect.logWarning(`the reconcile schedule was not set: ${error.message}`))
      )
  sdk.runtime.logger.info("deployer-worker is ready", { taskQueue, port })

  yield* Effect.raceFirst(Deferred.await(stop), Effect.asVoid(Fiber.join(running)))
  isStopping = true
  if (worker.getState() === "RUNNING") worker.shutdown()
  yield* Fiber.join(running).pipe(
    Effect.timeoutOrElse({
      duration: `${shutdownSeconds} seconds`,
      orElse: () =>
        Effect.fail(new WorkerFailed({ detail: `not all was handed back in ${shutdownSeconds} s` }))
    })
  )
})
