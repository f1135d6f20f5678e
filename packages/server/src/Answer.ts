/** Answer: what the sender of a webhook is told. Nothing in it names a customer: the forge shows it to whoever may see the webhook. */
import * as Schema from "effect/Schema"

/**
 * `accepted`: at least one service deploys it, and that is stored. `filtered`: services know of it, and a rule says not to
 * deploy. `ignored`: nothing to do. `refused`: not taken, and sending the same again does not help. `unavailable`: not
 * taken for now; send it again.
 */
export const Outcome = Schema.Literals(["accepted", "filtered", "ignored", "refused", "unavailable"])
export type Outcome = typeof Outcome.Type

export const Answer = Schema.Struct({
  outcome: Outcome,
  reason: Schema.String,
  /** How many services it deploys. */
  deploys: Schema.optionalKey(Schema.Int),
  /** For how many services it was filtered, by rule. */
  filtered: Schema.optionalKey(Schema.Record(Schema.String, Schema.Int))
})
export type Answer = typeof Answer.Type

export interface Reply {
  readonly status: number
  readonly answer: Answer
  /** Seconds after which the sender may try again. */
  readonly retryAfter?: number
}

/** Not taken, for good. 4xx, so that no forge counts it as our failure and sends it for ever. */
export const refused = (status: 400 | 401 | 404 | 405 | 408 | 413 | 415 | 431, reason: string): Reply => ({
  status,
  answer: { outcome: "refused", reason }
})

export const ignored = (reason: string): Reply => ({ status: 200, answer: { outcome: "ignored", reason } })

/** Not taken for now. A push that is not sent again is found by the reconciler. */
export const unavailable = (reason: string, retryAfter: number): Reply => ({
  status: 503,
  answer: {
    outcome: "unavailable",
    reason: `${reason}: send it again, or the next comparison of branches finds it`
  },
  retryAfter
})
