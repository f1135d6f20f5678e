/** The reasons why Hetzner's API fails. Each says what to do, and whether a retry can help. */
import * as Schema from "effect/Schema"

/** The token is wrong, or may only read (`unauthorized`, `forbidden`, `token_readonly`); or Robot's user or password is wrong. */
export class HetznerUnauthorized extends Schema.TaggedError<HetznerUnauthorized>()("HetznerUnauthorized", {
  operation: Schema.String,
  detail: Schema.String,
  /** What the environment must hold. */
  needs: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Hetzner refuses ${this.operation} (${this.detail}): ${this.needs}`
  }
}

/** Too many requests in an hour (`rate_limit_exceeded`; Robot: `RATE_LIMIT_EXCEEDED`). Nothing was done. */
export class HetznerThrottled extends Schema.TaggedError<HetznerThrottled>()("HetznerThrottled", {
  operation: Schema.String,
  retryAfterSeconds: Schema.optionalKey(Schema.Finite)
}) {
  readonly retryable = true
  override get message(): string {
    return `Hetzner throttles requests (${this.operation}): run it again in ${Math.ceil((this.retryAfterSeconds ?? 60) / 60)} min, it goes on where it was`
  }
}

/** Another action holds the resource, or it changed meanwhile (`locked`, `conflict`, `maintenance`, …). Nothing was done. */
export class HetznerBusy extends Schema.TaggedError<HetznerBusy>()("HetznerBusy", {
  operation: Schema.String,
  code: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `Hetzner is busy (${this.operation}): ${this.detail} (${this.code}); run it again, it goes on where it was`
  }
}

/** Hetzner does not answer in time, resets the connection, or answers 5xx. */
export class HetznerUnavailable extends Schema.TaggedError<HetznerUnavailable>()("HetznerUnavailable", {
  operation: Schema.String,
  detail: Schema.String,
  /** The request may have been carried out, although no answer came. */
  maybeDone: Schema.Boolean
}) {
  readonly retryable = true
  override get message(): string {
    return `Hetzner does not answer (${this.operation}): ${this.detail}; run it again, it goes on where it was`
  }
}

/** It is there already (`uniqueness_error`, `target_already_defined`, `server_already_attached`, …). */
export class HetznerDuplicate extends Schema.TaggedError<HetznerDuplicate>()("HetznerDuplicate", {
  operation: Schema.String,
  code: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Hetzner has it already (${this.operation}): ${this.detail} (${this.code})`
  }
}

/** No such object, or it is in another project than the token's. */
export class HetznerNotFound extends Schema.TaggedError<HetznerNotFound>()("HetznerNotFound", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Hetzner does not know it (${this.operation}): ${this.detail}`
  }
}

/** Hetzner refuses for a reason of its own: a limit of the project, a value that it does not take, a protection. */
export class HetznerRejected extends Schema.TaggedError<HetznerRejected>()("HetznerRejected", {
  operation: Schema.String,
  code: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Hetzner refuses ${this.operation}: ${this.detail} (${this.code})`
  }
}

/** An action was begun, and then failed or did not end. */
export class HetznerActionFailed extends Schema.TaggedError<HetznerActionFailed>()("HetznerActionFailed", {
  command: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `Hetzner began ${this.command}, and it failed: ${this.detail}; run it again, it goes on where it was`
  }
}

/** The answer is not of Hetzner's documented shape, or a list is not whole. */
export class HetznerMalformed extends Schema.TaggedError<HetznerMalformed>()("HetznerMalformed", {
  operation: Schema.String,
  detail: Schema.String,
  /** Whether it was cut off, so that another attempt can help. */
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return `Hetzner's answer cannot be read (${this.operation}): ${this.detail}`
  }
}

/** Nothing was done, and another attempt can help: what is no read may be sent again. */
export const wasNotDone = (reason: HetznerReason): boolean =>
  reason._tag === "HetznerThrottled" ||
  reason._tag === "HetznerBusy" ||
  (reason._tag === "HetznerUnavailable" && !reason.maybeDone)

export type HetznerReason =
  | HetznerUnauthorized
  | HetznerThrottled
  | HetznerBusy
  | HetznerUnavailable
  | HetznerDuplicate
  | HetznerNotFound
  | HetznerRejected
  | HetznerActionFailed
  | HetznerMalformed
