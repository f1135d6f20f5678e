/** What a plan is made of: changes, and what stands in their way. */
import type { DnsRecordFields, MonitorFields } from "./api/CloudflareApi.ts"
import type { DesiredLoadBalancer, DesiredPool } from "./DesiredState.ts"

/** How a change is made. Pools and monitors are named here, not by id: they may not be there yet. */
export type Operation =
  | { readonly kind: "createMonitor"; readonly fields: MonitorFields }
  | { readonly kind: "updateMonitor"; readonly id: string; readonly fields: Partial<MonitorFields> }
  | { readonly kind: "deleteMonitor"; readonly id: string }
  | { readonly kind: "createPool"; readonly pool: DesiredPool }
  | { readonly kind: "updatePool"; readonly id: string; readonly pool: DesiredPool }
  | { readonly kind: "deletePool"; readonly id: string }
  | { readonly kind: "createLoadBalancer"; readonly balancer: DesiredLoadBalancer }
  | {
      readonly kind: "updateLoadBalancer"
      readonly id: string
      readonly balancer: DesiredLoadBalancer
      /** Also what all regions share, not only this region's membership. */
      readonly settings: boolean
    }
  /** Takes this region's pools out; deletes it when no pool is left. */
  | { readonly kind: "leaveLoadBalancer"; readonly id: string; readonly poolPrefix: string }
  | { readonly kind: "createRecord"; readonly fields: DnsRecordFields }
  | { readonly kind: "updateRecord"; readonly id: string; readonly fields: DnsRecordFields }
  | { readonly kind: "deleteRecord"; readonly id: string }

export interface CloudflareChange {
  /** Such as `pool mcpdeploy-ml_ink-eu-central-1-run`: what a destructive change is allowed by. */
  readonly resource: string
  readonly action: "create" | "update" | "adopt" | "delete"
  /** `- old` and `+ new`, a field each. */
  readonly diff: ReadonlyArray<string>
  /** It takes something away, or changes what other regions share. Made only when its resource is named. */
  readonly destructive: boolean
  readonly operation: Operation
}

/** Something that is not ours is where something of ours has to be. Nothing is written while there is one. */
export interface CloudflareConflict {
  readonly resource: string
  /** What is there, and what to do. */
  readonly detail: string
}

export interface CloudflarePlan {
  /** In the order in which they are made: at each moment, traffic has somewhere to go. */
  readonly changes: ReadonlyArray<CloudflareChange>
  readonly conflicts: ReadonlyArray<CloudflareConflict>
}

type Value = string | number | boolean | undefined | null

/** Lines for the fields that differ. */
export const diffOf = (
  fields: ReadonlyArray<readonly [name: string, before: Value, after: Value]>
): ReadonlyArray<string> =>
  fields.flatMap(([name, before, after]) => {
    if ((before ?? "") === (after ?? "")) return []
    const line = (sign: string, value: Value) =>
      value === undefined || value === null || value === "" ? [] : [`${sign} ${name}: ${value}`]
    return [...line("-", before), ...line("+", after)]
  })
