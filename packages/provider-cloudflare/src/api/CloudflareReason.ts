/** The reasons why Cloudflare's API fails. Each says what to do, and whether a retry can help. */
import * as Schema from "effect/Schema"

/** What the token must be allowed to do: the permissions' names in Cloudflare's dashboard. */
export const tokenPermissions =
  "Zone › Zone › Read, Zone › DNS › Edit, Zone › Load Balancers › Edit, Account › Load Balancing: Monitors and Pools › Edit"

/** The token is wrong, has expired, or may not do this (codes 1000, 6003, 9109, 10000; status 401, 403). */
export class CloudflareUnauthorized extends Schema.TaggedError<CloudflareUnauthorized>()(
  "CloudflareUnauthorized",
  { operation: Schema.String, detail: Schema.String }
) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare refuses the API token for ${this.operation} (${this.detail}): it must be valid and allow ${tokenPermissions}`
  }
}

/** Too many requests: 1,200 in five minutes for all that one user does (codes 971, 1015, 10100; status 429). Nothing was written. */
export class CloudflareThrottled extends Schema.TaggedError<CloudflareThrottled>()("CloudflareThrottled", {
  operation: Schema.String,
  /** What Cloudflare asks to wait. */
  retryAfterSeconds: Schema.optionalKey(Schema.Finite)
}) {
  readonly retryable = true
  override get message(): string {
    const wait = this.retryAfterSeconds === undefined ? "later" : `in ${this.retryAfterSeconds} seconds`
    return `Cloudflare throttles the token's requests (${this.operation}): try again ${wait}`
  }
}

/** Cloudflare does not answer in time, resets the connection, or answers 5xx. */
export class CloudflareUnavailable extends Schema.TaggedError<CloudflareUnavailable>()(
  "CloudflareUnavailable",
  {
    operation: Schema.String,
    detail: Schema.String,
    /** The request may have been carried out, although no answer came. */
    maybeDone: Schema.Boolean
  }
) {
  readonly retryable = true
  override get message(): string {
    return `Cloudflare does not answer (${this.operation}): ${this.detail}; run it again, it goes on where it was`
  }
}

/** Something of that name is there already (codes 81053, 81054, 81056, 81057, 81058 of DNS; 1003 of load balancing). */
export class CloudflareDuplicate extends Schema.TaggedError<CloudflareDuplicate>()("CloudflareDuplicate", {
  operation: Schema.String,
  code: Schema.Int,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare has one already (${this.operation}): ${this.detail} (code ${this.code})`
  }
}

/** Another object refers to it, so it cannot be deleted (code 1005, status 412). */
export class CloudflareInUse extends Schema.TaggedError<CloudflareInUse>()("CloudflareInUse", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare does not delete what is in use (${this.operation}): ${this.detail}`
  }
}

/** No such object, or the token does not see it. */
export class CloudflareNotFound extends Schema.TaggedError<CloudflareNotFound>()("CloudflareNotFound", {
  operation: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare does not know it (${this.operation}): ${this.detail}`
  }
}

/** Cloudflare refuses the request for a reason of its own: a plan's limit, a value it does not take. */
export class CloudflareRejected extends Schema.TaggedError<CloudflareRejected>()("CloudflareRejected", {
  operation: Schema.String,
  status: Schema.Int,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare refuses ${this.operation} with ${this.status}: ${this.detail}`
  }
}

/** The answer is not of Cloudflare's documented shape, or a list is not whole. */
export class CloudflareMalformed extends Schema.TaggedError<CloudflareMalformed>()("CloudflareMalformed", {
  operation: Schema.String,
  detail: Schema.String,
  /** Whether it was cut off, so that another attempt can help. */
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return `Cloudflare's answer cannot be read (${this.operation}): ${this.detail}`
  }
}

export const CloudflareReason = Schema.Union([
  CloudflareUnauthorized,
  CloudflareThrottled,
  CloudflareUnavailable,
  CloudflareDuplicate,
  CloudflareInUse,
  CloudflareNotFound,
  CloudflareRejected,
  CloudflareMalformed
])
export type CloudflareReason = typeof CloudflareReason.Type
