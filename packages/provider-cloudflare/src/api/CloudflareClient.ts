/** HTTP to Cloudflare's API v4, over undici: token, rate limit, deadlines, retries, typed failures, pages. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Dispatcher } from "undici"
import { type Retries, sendOnce, withRetries } from "@mcpdeploy/core/region/VendorHttp"
import { type FailedAnswer, reasonOf } from "./CloudflareFailure.ts"
import { CloudflareMalformed, type CloudflareReason, CloudflareUnavailable } from "./CloudflareReason.ts"
import type { RateLimit } from "./RateLimit.ts"

export type Method = "GET" | "POST" | "PATCH" | "DELETE"

export interface Call {
  readonly method: Method
  /** Below `/client/v4`; begins with a slash. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Schema.Json
}

export interface ClientOptions {
  readonly dispatcher: Dispatcher
  /** Such as `https://api.cloudflare.com/client/v4`. */
  readonly baseUrl: string
  readonly token: Redacted.Redacted
  readonly rateLimit: RateLimit
  /** For one request, its answer's body included. */
  readonly timeoutSeconds: number
  /** Further attempts after a failure that a retry can help. */
  readonly retries: number
  /** The first wait between attempts; it doubles each time. */
  readonly backoffSeconds: number
  /** A longer wait than this, asked for by `Retry-After`, is a failure. */
  readonly longestWaitSeconds: number
}

const maxPages = 1000

/** Cloudflare refuses requests without a User-Agent. */
const userAgent = "mcpdeploy-provider-cloudflare"

const operationOf = (call: Call): string => `${call.method} ${call.path}`

const send = (options: ClientOptions, call: Call): Effect.Effect<FailedAnswer, CloudflareReason> => {
  const operation = operationOf(call)
  const token = Redacted.value(options.token)
  const url = new URL(`${options.baseUrl}${call.path}`)
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value)
  return sendOnce(
    { dispatcher: options.dispatcher, timeoutSeconds: options.timeoutSeconds, secrets: [token] },
    {
      method: call.method,
      url,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${token}`,
        "user-agent": userAgent,
        ...(call.body === undefined ? {} : { "content-type": "application/json" })
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) })
    }
  ).pipe(
    Effect.mapError(({ detail, maybeDone }) => new CloudflareUnavailable({ operation, detail, maybeDone }))
  )
}

/** A POST that may have been carried out is not sent again: who sends it looks first whether it was. */
const mayRepeat = (method: Method, reason: CloudflareReason): boolean => {
  if (!reason.retryable) return false
  if (method !== "POST") return true
  return (
    reason._tag === "CloudflareThrottled" || (reason._tag === "CloudflareUnavailable" && !reason.maybeDone)
  )
}

const retriesOf = (options: ClientOptions, method: Method): Retries<CloudflareReason> => ({
  times: options.retries,
  backoffSeconds: options.backoffSeconds,
  longestWaitSeconds: options.longestWaitSeconds,
  mayRepeat: (reason) => mayRepeat(method, reason),
  askedSeconds: (reason) => (reason._tag === "CloudflareThrottled" ? (reason.retryAfterSeconds ?? 0) : 0)
})

/** Where a page stands among all (API reference, "Pagination"). */
const ResultInfo = Schema.Struct({
  page: Schema.optionalKey(Schema.Int),
  per_page: Schema.optionalKey(Schema.Int),
  count: Schema.optionalKey(Schema.Int),
  total_count: Schema.optionalKey(Schema.Int)
})
type ResultInfo = typeof ResultInfo.Type

const malformed = (call: Call, retryable: boolean) => (error: { readonly message: string }) =>
  new CloudflareMalformed({
    operation: operationOf(call),
    detail: error.message.replaceAll(/\s+/g, " ").slice(0, 300),
    retryable
  })

const parse = Schema.decodeEffect(Schema.fromJsonString(Schema.Json))

const once = Effect.fnUntraced(function* <A, I>(
  options: ClientOptions,
  call: Call,
  result: Schema.Codec<A, I>
) {
  yield* options.rateLimit.take
  const answer = yield* send(options, call)
  yield* options.rateLimit.learn(answer.headers["ratelimit"])
  if (answer.status < 200 || answer.status >= 300)
    return yield* reasonOf(operationOf(call), answer, yield* Clock.currentTimeMillis)
  // No JSON at all is a body that was cut off, or a page of something between.
  const json = yield* parse(answer.body).pipe(Effect.mapError(malformed(call, true)))
  const envelope = Schema.Struct({
    success: Schema.Literal(true),
    result,
    result_info: Schema.optionalKey(Schema.NullOr(ResultInfo))
  })
  return yield* Schema.decodeUnknownEffect(envelope)(json).pipe(Effect.mapError(malformed(call, false)))
})

/** One request; its `result`, decoded. */
export const call = <A, I>(
  options: ClientOptions,
  request: Call,
  result: Schema.Codec<A, I>
): Effect.Effect<A, CloudflareReason> =>
  withRetries(once(options, request, result), retriesOf(options, request.method)).pipe(
    Effect.map((answer) => answer.result)
  )

const isLast = (info: ResultInfo | null | undefined, have: number, got: number): boolean =>
  info?.total_count === undefined || got === 0 || have >= info.total_count

/**
 * All pages of a list. A list that is shorter than Cloudflare says it is, is no list: to act on it would make what is there
 * already, so it is read again.
 */
export const list = <A extends { readonly id: string }, I>(
  options: ClientOptions,
  request: Omit<Call, "method" | "body">,
  item: Schema.Codec<A, I>,
  pageSize: number | undefined
): Effect.Effect<ReadonlyArray<A>, CloudflareReason> => {
  const all = Effect.gen(function* () {
    const found = new Map<string, A>()
    for (let page = 1; page <= maxPages; page++) {
      const query = {
        ...request.query,
        ...(pageSize === undefined ? {} : { per_page: String(pageSize) }),
        ...(pageSize === undefined && page === 1 ? {} : { page: String(page) })
      }
      const call: Call = { method: "GET", path: request.path, query }
      const answer = yield* once(options, call, Schema.Array(item))
      const info = answer.result_info
      if (info?.count !== undefined && info.count !== answer.result.length)
        return yield* malformed(
          call,
          true
        )({ message: `a page of ${answer.result.length}, not of ${info.count}` })
      for (const one of answer.result) found.set(one.id, one)
      if (!isLast(info, found.size, answer.result.length)) continue
      if (info?.total_count !== undefined && found.size < info.total_count)
        return yield* malformed(
          call,
          true
        )({ message: `a list of ${found.size}, not of ${info.total_count}` })
      return [...found.values()]
    }
    return yield* malformed(
      { method: "GET", path: request.path },
      false
    )({ message: `more than ${maxPages} pages` })
  })
  return withRetries(all, retriesOf(options, "GET"))
}
