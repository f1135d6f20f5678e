/** PushQueue: what the services' workflows know of their pushes, and the ways to give them one more or to end them. */
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { Push, PushRecord } from "@mcpdeploy/temporal-contract/contract"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Temporal does not answer. A retry can help. */
export class QueueUnreachable extends Schema.TaggedError<QueueUnreachable>()("QueueUnreachable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `Temporal cannot be asked: ${this.detail}`
  }
}

export class PushQueue extends Context.Service<
  PushQueue,
  {
    /** The pushes that the service's workflow remembers; none where it has none. */
    readonly records: (target: ServiceTarget) => Effect.Effect<ReadonlyArray<PushRecord>, QueueUnreachable>
    readonly submit: (target: ServiceTarget, push: Push) => Effect.Effect<void, QueueUnreachable>
    /** Has the service deleted, after its deploys have ended. Does not wait for it. */
    readonly remove: (target: ServiceTarget) => Effect.Effect<void, QueueUnreachable>
  }
>()("mcpdeploy/temporal-adapter/reconcile/PushQueue") {}
