/** `reconcile`: started by a Temporal Schedule; one round of the Reconciler. Runs in Temporal's sandbox. */
import { proxyActivities } from "@temporalio/workflow"
import type { ReconcileActivities } from "./Activities.ts"

const { reconcile: round } = proxyActivities<ReconcileActivities>({
  startToCloseTimeout: "30 minutes",
  heartbeatTimeout: "20 seconds",
  retry: { maximumAttempts: 3 }
})

export const reconcile = (): Promise<Awaited<ReturnType<ReconcileActivities["reconcile"]>>> => round({})
