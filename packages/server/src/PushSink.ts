/** PushSink: where pushes are stored, so that what was answered with 2xx is not lost. */
import type { Push } from "@mcpdeploy/temporal-contract/contract"
import type { ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** It cannot be stored now. Whether it was may be unknown: storing the same push again changes nothing. */
export class SinkUnavailable extends Schema.TaggedError<SinkUnavailable>()("SinkUnavailable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the push cannot be stored now: ${this.detail}`
  }
}

/** Where pushes are stored: the services' workflows on Temporal. */
export class PushSink extends Context.Service<
  PushSink,
  {
    /** When it succeeds the push is stored. Repeating it, from any process, deploys nothing twice. */
    readonly submit: (
      target: ServiceTarget,
      push: Omit<Push, "version">
    ) => Effect.Effect<void, SinkUnavailable>
    /** Whether it answered when it was last asked. */
    readonly isConnected: () => boolean
  }
>()("mcpdeploy/server/PushSink") {}
