/** Plan: what has to change at Cloudflare, in the order in which it can be done at any hour. */
import type { ActualState } from "./ActualState.ts"
import type { CloudflarePlan } from "./Change.ts"
import type { DesiredState } from "./DesiredState.ts"
import { planLoadBalancing } from "./PlanLoadBalancing.ts"
import { planRecords } from "./PlanRecords.ts"

/**
 * First what traffic is led to (monitors, pools, load balancers), then the records that lead there, last what nothing leads to any
 * more. A load balancer that goes leaves before the records do that it hid; its pools after it, their monitors after them.
 */
export const planChanges = (desired: DesiredState, actual: ActualState): CloudflarePlan => {
  const { deletes, plan } = planLoadBalancing(desired, actual)
  const records = planRecords(desired, actual)
  const of = (deleting: boolean) => records.changes.filter(({ action }) => (action === "delete") === deleting)
  return {
    changes: [...plan.changes, ...of(false), ...deletes, ...of(true)],
    conflicts: [...plan.conflicts, ...records.conflicts]
  }
}
