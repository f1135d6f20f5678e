/** CloudflareApi: the part of Cloudflare's API v4 that a region needs, typed. The token is in no message. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import { Agent } from "undici"
import * as Client from "./CloudflareClient.ts"
import { CloudflareNotFound, type CloudflareReason, CloudflareRejected } from "./CloudflareReason.ts"
import * as RateLimit from "./RateLimit.ts"
import {
  AddressRanges,
  Deleted,
  DnsRecord,
  LoadBalancer,
  Monitor,
  type Origin,
  Pool,
  Zone
} from "./Resources.ts"

export interface CloudflareApiOptions {
  readonly token: Redacted.Redacted
  /** Another address than Cloudflare's, for tests. Plain HTTP only on loopback. */
  readonly baseUrl?: string
  /** For one request; 30 when absent. */
  readonly timeoutSeconds?: number
  /** Further attempts after a failure that a retry can help; 5 when absent. */
  readonly retries?: number
  /** The first wait between attempts; 0.5 when absent. */
  readonly backoffSeconds?: number
  /** 310 when absent: Cloudflare blocks for five minutes who exceeds its limit. */
  readonly longestWaitSeconds?: number
  /** 1,200 in 300 seconds when absent. */
  readonly rateLimit?: { readonly requests: number; readonly windowSeconds: number }
}

/** What is written of a record. `name` is complete; `ttl` is 1 where `proxied`. */
export interface DnsRecordFields {
  readonly type: "A" | "AAAA" | "CNAME"
  readonly name: string
  readonly content: string
  readonly proxied: boolean
  readonly ttl: number
  readonly comment: string
}

export interface MonitorFields {
  readonly description: string
  readonly type: "tcp" | "http" | "https"
  readonly port: number
  readonly interval: number
  readonly timeout: number
  readonly retries: number
  readonly path?: string
  readonly method?: string
  readonly expected_codes?: string
  readonly header?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly allow_insecure?: boolean
}

export interface PoolFields {
  readonly name: string
  readonly description: string
  readonly enabled: boolean
  readonly minimum_origins: number
  readonly monitor: string
  readonly origins: ReadonlyArray<Origin>
  readonly latitude?: number
  readonly longitude?: number
}

export interface LoadBalancerFields {
  readonly name: string
  readonly description: string
  readonly enabled: boolean
  readonly proxied: boolean
  readonly steering_policy: string
  readonly default_pools: ReadonlyArray<string>
  readonly fallback_pool: string
}

/** The kinds of object that have an id, a list, and the same four operations. */
interface Collection<A, Fields> {
  readonly list: (scope: string) => Effect.Effect<ReadonlyArray<A>, CloudflareReason>
  readonly get: (scope: string, id: string) => Effect.Effect<A, CloudflareReason>
  /** Not repeated after a failure with `maybeDone`: look first whether it is there. */
  readonly create: (scope: string, fields: Fields) => Effect.Effect<A, CloudflareReason>
  /** Only the fields that are given change. */
  readonly update: (scope: string, id: string, fields: Partial<Fields>) => Effect.Effect<A, CloudflareReason>
  /** Deleting what is not there succeeds. */
  readonly delete: (scope: string, id: string) => Effect.Effect<void, CloudflareReason>
}

export class CloudflareApi extends Context.Service<
  CloudflareApi,
  {
    /** The zone of this name. */
    readonly zone: (name: string) => Effect.Effect<Zone, CloudflareReason>
    /** Records; the scope is the zone's id. */
    readonly records: Collection<DnsRecord, DnsRecordFields>
    /** Load balancers; the scope is the zone's id. */
    readonly loadBalancers: Collection<LoadBalancer, LoadBalancerFields>
    /** Monitors; the scope is the account's id. */
    readonly monitors: Collection<Monitor, MonitorFields>
    /** Origin pools; the scope is the account's id. */
    readonly pools: Collection<Pool, PoolFields>
    /** The ranges that Cloudflare publishes. Needs no permission. */
    readonly addressRanges: Effect.Effect<AddressRanges, CloudflareReason>
  }
>()("mcpdeploy/provider-cloudflare/api/CloudflareApi") {}

const cloudflare = "https://api.cloudflare.com/client/v4"
/** The largest page of zones; records would allow more. */
const pageSize = 50

const isSafe = (url: string): boolean =>
  URL.canParse(url) &&
  (url.startsWith("https://") || /^http:\/\/(127\.\d+\.\d+\.\d+|\[::1\]|localhost)[:/]/.test(url))

const collection = <A extends { readonly id: string }, I, Fields extends object>(
  options: Client.ClientOptions,
  what: string,
  schema: Schema.Codec<A, I>,
  pathOf: (scope: string) => string,
  bodyOf: (fields: Partial<Fields>) => Schema.Json,
  listSize: number | undefined
): Collection<A, Fields> => {
  const one = (scope: string, id: string) => `${pathOf(scope)}/${id}`
  return {
    list: Effect.fn(`CloudflareApi.${what}.list`)((scope) =>
      Client.list(options, { path: pathOf(scope) }, schema, listSize)
    ),
    get: Effect.fn(`CloudflareApi.${what}.get`)((scope, id) =>
      Client.call(options, { method: "GET", path: one(scope, id) }, schema)
    ),
    create: Effect.fn(`CloudflareApi.${what}.create`)((scope, fields) =>
      Client.call(options, { method: "POST", path: pathOf(scope), body: bodyOf(fields) }, schema)
    ),
    update: Effect.fn(`CloudflareApi.${what}.update`)((scope, id, fields) =>
      Client.call(options, { method: "PATCH", path: one(scope, id), body: bodyOf(fields) }, schema)
    ),
    delete: Effect.fn(`CloudflareApi.${what}.delete`)((scope, id) =>
      Client.call(options, { method: "DELETE", path: one(scope, id) }, Deleted).pipe(
        Effect.asVoid,
        Effect.catchTag("CloudflareNotFound", () => Effect.void)
      )
    )
  }
}

/** JSON of fields: what is not set is not sent. */
const body = (fields: object): Schema.Json =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

export const make = Effect.fnUntraced(function* (options: CloudflareApiOptions) {
  const baseUrl = (options.baseUrl ?? cloudflare).replace(/\/+$/, "")
  if (!isSafe(baseUrl)) {
    return yield* new CloudflareRejected({
      operation: "connect",
      status: 0,
      detail: `${baseUrl} would get the token without encryption: use https`
    })
  }
  const dispatcher = yield* Effect.acquireRelease(
    Effect.sync(() => new Agent({ connect: { timeout: 10_000 } })),
    (agent) => Effect.promise(() => agent.destroy())
  )
  const client: Client.ClientOptions = {
    dispatcher,
    baseUrl,
    token: options.token,
    rateLimit: yield* RateLimit.make(options.rateLimit ?? { requests: 1200, windowSeconds: 300 }),
    timeoutSeconds: options.timeoutSeconds ?? 30,
    retries: options.retries ?? 5,
    backoffSeconds: options.backoffSeconds ?? 0.5,
    longestWaitSeconds: options.longestWaitSeconds ?? 310
  }
  const inZone = (path: string) => (zone: string) => `/zones/${zone}/${path}`
  const inAccount = (path: string) => (account: string) => `/accounts/${account}/${path}`
  return CloudflareApi.of({
    zone: Effect.fn("CloudflareApi.zone")(function* (name) {
      const zones = yield* Client.list(client, { path: "/zones", query: { name } }, Zone, pageSize)
      const zone = zones.find((zone) => zone.name === name)
      return (
        zone ??
        (yield* new CloudflareNotFound({
          operation: "GET /zones",
          detail: `the account of the token has no zone ${name}; add it at Cloudflare, or correct cloudflare.zone and region_domain`
        }))
      )
    }),
    records: collection(client, "records", DnsRecord, inZone("dns_records"), body, 100),
    loadBalancers: collection(
      client,
      "loadBalancers",
      LoadBalancer,
      inZone("load_balancers"),
      body,
      undefined
    ),
    monitors: collection(client, "monitors", Monitor, inAccount("load_balancers/monitors"), body, undefined),
    pools: collection(client, "pools", Pool, inAccount("load_balancers/pools"), body, undefined),
    addressRanges: Client.call(client, { method: "GET", path: "/ips" }, AddressRanges)
  })
})

export const layer = (options: CloudflareApiOptions): Layer.Layer<CloudflareApi, CloudflareReason> =>
  Layer.effect(CloudflareApi, make(options))
