/** HTTP to Hetzner's Cloud API v1: token, rate limit, retries, pages, actions. https://docs.hetzner.cloud */
import { type Retries, sendOnce, withRetries } from "@mcpdeploy/core/region/VendorHttp"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Dispatcher } from "undici"
import { reasonOf } from "./HetznerFailure.ts"
import {
  HetznerActionFailed,
  HetznerMalformed,
  type HetznerReason,
  HetznerUnavailable,
  wasNotDone
} from "./HetznerReason.ts"
import { Action } from "./Resources.ts"

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** Below `/v1`; begins with a slash. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Schema.Json
}

export interface ClientOptions {
  readonly dispatcher: Dispatcher
  /** Such as `https://api.hetzner.cloud/v1`. */
  readonly baseUrl: string
  readonly token: Redacted.Redacted
  /** For one request, its answer's body included. */
  readonly timeoutSeconds: number
  /** Further attempts after a failure that a retry can help. */
  readonly retries: number
  /** The first wait between attempts; it doubles each time. */
  readonly backoffSeconds: number
  /** Between two looks at an action. */
  readonly pollSeconds: number
  /** How long an action may take. */
  readonly actionSeconds: number
}

/** The largest that Hetzner gives. */
const pageSize = 50
const maxPages = 1000
/** Requests come back at one a second: an hour's 3,600 are never waited for as a whole. */
const longestWaitSeconds = 120

const operationOf = ({ method, path }: Call): string => `${method} ${path}`

const malformed = (call: Call, retryable: boolean) => (error: { readonly message: string }) =>
  new HetznerMalformed({
    operation: operationOf(call),
    detail: error.message.replaceAll(/\s+/g, " ").slice(0, 300),
    retryable
  })

const parse = Schema.decodeEffect(Schema.fromJsonString(Schema.Json))

/** The whole body of an answer, decoded. */
const once = Effect.fnUntraced(function* <A, I>(
  options: ClientOptions,
  call: Call,
  schema: Schema.Codec<A, I>
): Effect.fn.Return<A, HetznerReason> {
  const token = Redacted.value(options.token)
  const url = new URL(`${options.baseUrl}${call.path}`)
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value)
  const answer = yield* sendOnce(
    { dispatcher: options.dispatcher, timeoutSeconds: options.timeoutSeconds, secrets: [token] },
    {
      method: call.method,
      url,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${token}`,
        "user-agent": "mcpdeploy-provider-hetzner",
        ...(call.body === undefined ? {} : { "content-type": "application/json" })
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) })
    }
  ).pipe(
    Effect.mapError(
      ({ detail, maybeDone }) => new HetznerUnavailable({ operation: operationOf(call), detail, maybeDone })
    )
  )
  if (answer.status < 200 || answer.status >= 300) return yield* reasonOf(operationOf(call), answer)
  // 204 has no body. No JSON at all otherwise is a body that was cut off, or a page of something between.
  const json = answer.status === 204 ? {} : yield* Effect.mapError(parse(answer.body), malformed(call, true))
  return yield* Schema.decodeUnknownEffect(schema)(json).pipe(Effect.mapError(malformed(call, false)))
})

/** A POST that may have been carried out is not sent again: who sends it looks first whether it was. */
const mayRepeat = (method: Call["method"], reason: HetznerReason): boolean =>
  method === "POST" ? wasNotDone(reason) : reason.retryable

const retriesOf = (options: ClientOptions, method: Call["method"]): Retries<HetznerReason> => ({
  times: options.retries,
  backoffSeconds: options.backoffSeconds,
  longestWaitSeconds,
  mayRepeat: (reason) => mayRepeat(method, reason),
  askedSeconds: (reason) => (reason._tag === "HetznerThrottled" ? (reason.retryAfterSeconds ?? 1) : 0)
})

/** One request. */
export const call = <A, I>(
  options: ClientOptions,
  request: Call,
  schema: Schema.Codec<A, I>
): Effect.Effect<A, HetznerReason> =>
  withRetries(once(options, request, schema), retriesOf(options, request.method))

const Pagination = Schema.Struct({
  page: Schema.Int,
  per_page: Schema.Int,
  next_page: Schema.NullOr(Schema.Int),
  total_entries: Schema.NullOr(Schema.Int)
})

/**
 * All pages of the list of `key`. A list that is shorter than Hetzner says it is, is no list: to act on it would make what is there
 * already, so it is read again.
 */
export const list = <A extends { readonly id: number }, I>(
  options: ClientOptions,
  key: string,
  item: Schema.Codec<A, I>,
  filter: Readonly<Record<string, string>> = {}
): Effect.Effect<ReadonlyArray<A>, HetznerReason> => {
  const Page = Schema.Struct({
    items: Schema.Array(item),
    meta: Schema.Struct({ pagination: Pagination })
  }).pipe(Schema.encodeKeys({ items: key }))
  const all = Effect.gen(function* () {
    const found = new Map<number, A>()
    let page = 1
    for (let pages = 0; pages < maxPages; pages++) {
      const query = { ...filter, page: String(page), per_page: String(pageSize) }
      const request: Call = { method: "GET", path: `/${key}`, query }
      const { items, meta } = yield* once(options, request, Page)
      for (const one of items) found.set(one.id, one)
      const { next_page: next, total_entries: total } = meta.pagination
      if (next !== null) {
        page = next
        continue
      }
      if (total !== null && found.size < total)
        return yield* malformed(request, true)({ message: `a list of ${found.size}, not of ${total}` })
      return [...found.values()]
    }
    return yield* malformed(
      { method: "GET", path: `/${key}` },
      false
    )({ message: `more than ${maxPages} pages` })
  })
  return withRetries(all, retriesOf(options, "GET"))
}

/** Waits until actions have ended. One that failed is an error. */
export const awaitActions = Effect.fnUntraced(function* (
  options: ClientOptions,
  actions: ReadonlyArray<Action>
): Effect.fn.Return<void, HetznerReason> {
  const deadline = (yield* Clock.currentTimeMillis) + options.actionSeconds * 1000
  for (const begun of actions) {
    let action = begun
    while (action.status === "running") {
      if ((yield* Clock.currentTimeMillis) > deadline)
        return yield* new HetznerActionFailed({
          command: action.command,
          detail: `it still runs after ${options.actionSeconds} seconds`
        })
      yield* Effect.sleep(`${options.pollSeconds} seconds`)
      const request: Call = { method: "GET", path: `/actions/${action.id}` }
      action = (yield* call(options, request, Schema.Struct({ action: Action }))).action
    }
    if (action.status === "error")
      return yield* new HetznerActionFailed({
        command: action.command,
        detail: action.error === null ? "no reason given" : `${action.error.message} (${action.error.code})`
      })
  }
})
