/**
 * CloudflareDouble: an HTTP server on loopback that plays Cloudflare's API v4 for tests, strictly. What Cloudflare documents as
 * refused is refused here, and what it does not document too: unknown fields and parameters. It is no Cloudflare: it steers no traffic.
 */
import { type ApiDouble, type ApiRequest, serveApi } from "@mcpdeploy/core/testing/ApiDouble"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeCollection } from "@mcpdeploy/core/testing/Collection"
import { randomBytes } from "node:crypto"
import { publishedRanges } from "./PublishedRanges.ts"
import { type Answer, ok, refused, shortened } from "./Routes.ts"
import * as Routes from "./Routes.ts"
import type * as Rules from "./Rules.ts"

/** What the double knows, and how it answers lists. */
export interface DoubleOptions {
  readonly token: string
  readonly zone?: string
  /** The largest page that is given, whatever is asked for; 50 when absent. */
  readonly pageSize?: number
  /** How many lists do not show a write yet; 0 when absent. */
  readonly lag?: number
  /** 1,200 in 300 seconds when absent. */
  readonly rateLimit?: { readonly requests: number; readonly windowSeconds: number }
}

/** A server on loopback that stands for Cloudflare's API. */
export type CloudflareDouble = ApiDouble & Rules.World

/** A double for as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: DoubleOptions
): Effect.fn.Return<CloudflareDouble, never, Scope.Scope> {
  const lag = () => options.lag ?? 0
  const newId = () => randomBytes(16).toString("hex")
  const world = {
    zone: { id: "0".repeat(31) + "1", name: options.zone ?? "ml.ink", accountId: "a".repeat(32) },
    records: makeCollection(lag, newId),
    monitors: makeCollection(lag, newId),
    pools: makeCollection(lag, newId),
    loadBalancers: makeCollection(lag, newId)
  }
  const limit = options.rateLimit ?? { requests: 1200, windowSeconds: 300 }
  let windowStart = Date.now()
  let inWindow = 0

  /** Authorization, headers and the rate limit, as they are before anything else. */
  const gate = ({ headers, url }: ApiRequest): Answer | undefined => {
    const { authorization } = headers
    if (headers["user-agent"] === undefined) {
      double.violate("no User-Agent")
      return refused({ status: 403, code: 1010, message: "Access denied" })
    }
    const isPublic = url.pathname === "/client/v4/ips"
    if (!isPublic && (authorization === undefined || !/^Bearer \S+$/.test(authorization)))
      return refused({ status: 400, code: 6003, message: "Invalid request headers" })
    if (!isPublic && authorization !== `Bearer ${options.token}`)
      return refused({ status: 403, code: 10000, message: "Authentication error" })
    const now = Date.now()
    if (now - windowStart >= limit.windowSeconds * 1000) {
      windowStart = now
      inWindow = 0
    }
    if (++inWindow > limit.requests) {
      const wait = Math.ceil((windowStart + limit.windowSeconds * 1000 - now) / 1000)
      return refused(
        { status: 429, code: 10100, message: "More than the allowed requests reached" },
        { "retry-after": String(wait) }
      )
    }
    return undefined
  }

  const respond = (request: ApiRequest): Answer => {
    const { body, headers, method, text, url } = request
    const gated = gate(request)
    if (text !== "" && headers["content-type"] !== "application/json")
      double.violate("a body that is no application/json")
    if (gated !== undefined) return gated
    if (url.pathname === "/client/v4/ips") return ok(publishedRanges)
    const asked = { method, url, body }
    return Routes.answerOf(world, Routes.kindsOf(world), options.pageSize ?? 50, asked, double.violate)
  }

  const double = yield* serveApi({
    basePath: "/client/v4",
    respond,
    throttled: (seconds) =>
      refused(
        { status: 429, code: 971, message: "Please wait and consider throttling your request speed" },
        { "retry-after": String(seconds) }
      ),
    failed: (status) => refused({ status, code: 10001, message: "internal error" }),
    shortened,
    headers: () => {
      const left = Math.max(0, limit.requests - inWindow)
      const reset = Math.ceil((windowStart + limit.windowSeconds * 1000 - Date.now()) / 1000)
      return { ratelimit: `"default";r=${left};t=${reset}` }
    }
  })
  return Object.assign(double, world)
})
