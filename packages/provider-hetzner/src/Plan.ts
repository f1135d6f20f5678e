/** Plan: what has to change at Hetzner. Pure. What needs another change's result is planned without a call, and made after it. */
import type { ActualState } from "./ActualState.ts"
import type { HetznerPlan } from "./Change.ts"
import type { DesiredState } from "./DesiredState.ts"
import { planFirewalls } from "./PlanFirewalls.ts"
import { planLoadBalancer } from "./PlanLoadBalancer.ts"
import { planNetwork } from "./PlanNetwork.ts"
import { planServers } from "./PlanServers.ts"

/**
 * The network first, which all join; then firewalls, so that no server is reached without; servers; what leads to them last.
 */
export const planChanges = (desired: DesiredState, actual: ActualState): HetznerPlan => {
  const parts = [
    planNetwork(desired, actual),
    planFirewalls(desired, actual),
    planServers(desired, actual),
    planLoadBalancer(desired, actual)
  ]
  return {
    changes: parts.flatMap(({ changes }) => changes),
    conflicts: [...desired.problems, ...parts.flatMap(({ conflicts }) => conflicts)]
  }
}
