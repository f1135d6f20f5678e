/** What a plan is made of: changes with the one call that makes each, and what stands in their way. */
import type { RegionArea } from "@mcpdeploy/core/region/RegionInfrastructure"
import type * as Schema from "effect/Schema"
import type { Kind } from "./api/HetznerApi.ts"

/** One call. */
export type Operation =
  | { readonly kind: "create"; readonly of: Kind; readonly fields: Schema.JsonObject }
  | {
      readonly kind: "act"
      readonly of: Kind
      readonly id: number
      readonly action: string
      readonly fields: Schema.JsonObject
    }
  | {
      readonly kind: "label"
      readonly of: Kind
      readonly id: number
      readonly labels: Readonly<Record<string, string>>
    }
  | { readonly kind: "delete"; readonly of: Kind; readonly id: number }

export interface HetznerChange {
  readonly area: RegionArea
  /** Such as `load balancer mcpdeploy-eu-central-1 target run-2`. */
  readonly resource: string
  readonly action: "create" | "update" | "adopt" | "delete"
  readonly diff: ReadonlyArray<string>
  /** It deletes, or makes a server, which costs money and needs its address in the inventory. */
  readonly destructive: boolean
  /** Undefined: it needs what another change of the same plan makes first. */
  readonly operation: Operation | undefined
}

export interface HetznerConflict {
  readonly resource: string
  readonly detail: string
}

export interface HetznerPlan {
  readonly changes: ReadonlyArray<HetznerChange>
  readonly conflicts: ReadonlyArray<HetznerConflict>
}

/** What one part of a plan adds. */
export interface PlanPart {
  readonly changes: Array<HetznerChange>
  readonly conflicts: Array<HetznerConflict>
}
