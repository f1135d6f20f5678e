/**
 * Bodies that Cloudflare documents, for the double: a field that is not documented, of another type, or missing is refused. Written
 * from the API reference and the types of Cloudflare's own SDK (cloudflare 7.3), not from this package's client.
 */
import { isIPv4, isIPv6 } from "node:net"
import * as Schema from "effect/Schema"

const optional = Schema.optionalKey
const id = Schema.String.pipe(Schema.check(Schema.isPattern(/^[0-9a-f]{32}$/)))
const ids = Schema.NonEmptyArray(id)
const printable = Schema.String.pipe(Schema.check(Schema.isPattern(/^[^\n\r]*$/)))
const between = (minimum: number, maximum: number) =>
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum })))
const hostPattern = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]{2,63}$/
const host = Schema.String.pipe(Schema.check(Schema.isPattern(hostPattern)))
const where = (test: (value: string) => boolean, expected: string) =>
  Schema.String.pipe(Schema.check(Schema.makeFilter((value) => test(value) || expected)))
const ipv4 = where(isIPv4, "an IPv4 address")
const ipv6 = where(isIPv6, "an IPv6 address")

/** "Setting to 1 means automatic. Value must be between 60 and 86400." */
const ttl = Schema.Union([Schema.Literal(1), between(60, 86400)])
const settings = optional(
  Schema.Struct({
    ipv4_only: optional(Schema.Boolean),
    ipv6_only: optional(Schema.Boolean),
    flatten_cname: optional(Schema.Boolean)
  })
)
const recordFields = {
  name: host,
  ttl,
  proxied: optional(Schema.Boolean),
  /** 100 characters on the free plan, 500 on others. */
  comment: optional(printable.pipe(Schema.check(Schema.isMaxLength(100)))),
  /** None on the free plan. */
  tags: optional(Schema.Array(Schema.String).pipe(Schema.check(Schema.isMaxLength(0)))),
  settings
}
/** Creating and editing take the same: `name`, `ttl` and `type` are required in both. */
export const record = Schema.Union([
  Schema.Struct({ ...recordFields, type: Schema.Literal("A"), content: ipv4 }),
  Schema.Struct({ ...recordFields, type: Schema.Literal("AAAA"), content: ipv6 }),
  Schema.Struct({ ...recordFields, type: Schema.Literal("CNAME"), content: host }),
  Schema.Struct({ ...recordFields, type: Schema.Literal("TXT"), content: Schema.NonEmptyString })
])

const commonMonitor = {
  description: optional(Schema.String),
  interval: optional(between(5, 3600)),
  timeout: optional(between(1, 10)),
  retries: optional(between(0, 5)),
  consecutive_up: optional(between(0, 10)),
  consecutive_down: optional(between(0, 10))
}
const port = between(1, 65535)
/** "Only valid for HTTP and HTTPS monitors": a TCP monitor has none of these, and needs its port. */
export const monitor = Schema.Union([
  Schema.Struct({
    ...commonMonitor,
    type: Schema.Literal("tcp"),
    port,
    method: optional(Schema.Literal("connection_established"))
  }),
  Schema.Struct({
    ...commonMonitor,
    type: Schema.Literals(["http", "https"]),
    port: optional(port),
    method: optional(Schema.Literals(["GET", "HEAD"])),
    path: optional(Schema.String.pipe(Schema.check(Schema.isPattern(/^\//)))),
    expected_codes: optional(Schema.String.pipe(Schema.check(Schema.isPattern(/^[1-5](\d\d|xx)$/)))),
    expected_body: optional(Schema.String),
    header: optional(Schema.Record(Schema.String, Schema.Array(Schema.String))),
    follow_redirects: optional(Schema.Boolean),
    allow_insecure: optional(Schema.Boolean),
    probe_zone: optional(Schema.String)
  })
])
/** `type` may be left out when a monitor is edited. */
export const monitorEdit = Schema.Union([monitor, Schema.Struct(commonMonitor)])

const origin = Schema.Struct({
  name: Schema.NonEmptyString,
  address: Schema.Union([ipv4, ipv6, host]),
  enabled: optional(Schema.Boolean),
  weight: optional(Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1 })))),
  port: optional(between(0, 65535)),
  header: optional(Schema.Struct({ Host: optional(Schema.Array(Schema.String)) })),
  virtual_network_id: optional(Schema.String),
  flatten_cname: optional(Schema.Boolean)
})
const poolFields = {
  description: optional(Schema.String),
  enabled: optional(Schema.Boolean),
  latitude: optional(Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: -90, maximum: 90 })))),
  longitude: optional(Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: -180, maximum: 180 })))),
  minimum_origins: optional(between(0, 1000)),
  monitor: optional(id),
  notification_email: optional(Schema.String),
  origin_steering: optional(
    Schema.Struct({
      policy: Schema.Literals(["random", "hash", "least_outstanding_requests", "least_connections"])
    })
  )
}
const poolName = Schema.String.pipe(Schema.check(Schema.isPattern(/^[A-Za-z0-9_-]+$/)))
/** The origins' addresses must differ within a pool, and there must be one ("must be in range [1, …]"). */
const origins = Schema.NonEmptyArray(origin).pipe(
  Schema.check(
    Schema.makeFilter(
      (all) => new Set(all.map(({ address }) => address)).size === all.length || "addresses that all differ"
    )
  )
)
export const pool = Schema.Struct({ ...poolFields, name: poolName, origins })
export const poolEdit = Schema.Struct({
  ...poolFields,
  check_regions: optional(Schema.NullOr(Schema.Array(Schema.String))),
  name: optional(poolName),
  origins: optional(origins)
})

const poolsBy = optional(Schema.Record(Schema.String, ids))
const loadBalancerFields = {
  description: optional(Schema.String),
  enabled: optional(Schema.Boolean),
  proxied: optional(Schema.Boolean),
  ttl: optional(between(10, 3600)),
  steering_policy: optional(
    Schema.Literals([
      "",
      "off",
      "geo",
      "random",
      "dynamic_latency",
      "proximity",
      "least_outstanding_requests",
      "least_connections"
    ])
  ),
  session_affinity: optional(Schema.Literals(["", "none", "cookie", "ip_cookie", "header"])),
  session_affinity_ttl: optional(between(30, 604800)),
  region_pools: poolsBy,
  country_pools: poolsBy,
  pop_pools: poolsBy
}
export const loadBalancer = Schema.Struct({
  ...loadBalancerFields,
  name: host,
  default_pools: ids,
  fallback_pool: id
})
export const loadBalancerEdit = Schema.Struct({
  ...loadBalancerFields,
  name: optional(host),
  default_pools: optional(ids),
  fallback_pool: optional(id)
})
