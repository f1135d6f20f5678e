/** The activity of the reconcile workflow. */
import * as Schema from "effect/Schema"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import { activityOn } from "../activities/Activity.ts"
import type { StepMetrics } from "../activities/StepMetrics.ts"
import { Reconciler, ReconcileReport } from "./Reconciler.ts"

const Nothing = Schema.Struct({})

export interface ReconcileActivities {
  readonly reconcile: (input: typeof Nothing.Encoded) => Promise<typeof ReconcileReport.Encoded>
}

export const makeReconcileActivities = (
  runtime: ManagedRuntime.ManagedRuntime<Reconciler, never>,
  metrics: StepMetrics
): ReconcileActivities => ({
  reconcile: activityOn(runtime, metrics)("reconcile", { input: Nothing, output: ReconcileReport }, () =>
    Reconciler.use(({ reconcile }) => reconcile)
  )
})
