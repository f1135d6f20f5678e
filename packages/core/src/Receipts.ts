/** Receipts: what each deploy of a service has proven, kept beside the workload. The last 10 are what can be returned to. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ClusterApplierError } from "./ClusterApplier.ts"
import type { ServiceTarget } from "./domain/Identity.ts"
import type { Receipt } from "./domain/Receipt.ts"

/** What each deploy has proven: kept beside the workload, and what a service can return to. */
export class Receipts extends Context.Service<
  Receipts,
  {
    /** Stores a receipt; the last 10 are kept, newest first. Storing one again changes nothing. */
    readonly record: (target: ServiceTarget, receipt: Receipt) => Effect.Effect<void, ClusterApplierError>
    /** The receipts, newest first; none for a service that is not there. */
    readonly history: (target: ServiceTarget) => Effect.Effect<ReadonlyArray<Receipt>, ClusterApplierError>
  }
>()("mcpdeploy/core/Receipts") {}
