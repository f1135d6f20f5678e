/** What Cloudflare answers with, as far as a region needs it. Other fields are left out. (API reference v4.) */
import * as Schema from "effect/Schema"

const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** A domain, and the account that it is in. */
export const Zone = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  status: Schema.optionalKey(Schema.String),
  account: Schema.Struct({ id: Schema.String })
})
export type Zone = typeof Zone.Type

export const DnsRecord = Schema.Struct({
  id: Schema.String,
  /** Complete, in lower case, without the dot at its end. */
  name: Schema.String,
  type: Schema.String,
  /** Absent for types whose value is in `data`. */
  content: optional(Schema.String),
  /** Behind Cloudflare's proxy. Absent for types that cannot be. */
  proxied: optional(Schema.Boolean),
  /** Seconds; 1 is "automatic", which every proxied record has. */
  ttl: Schema.Finite,
  comment: optional(Schema.String)
})
export type DnsRecord = typeof DnsRecord.Type

/** A health check of origins. It has no name: its description is what it is found by. */
export const Monitor = Schema.Struct({
  id: Schema.String,
  description: optional(Schema.String),
  type: Schema.String,
  port: optional(Schema.Int),
  path: optional(Schema.String),
  method: optional(Schema.String),
  expected_codes: optional(Schema.String),
  header: optional(Schema.Record(Schema.String, Schema.Array(Schema.String))),
  allow_insecure: optional(Schema.Boolean),
  interval: optional(Schema.Finite),
  timeout: optional(Schema.Finite),
  retries: optional(Schema.Finite)
})
export type Monitor = typeof Monitor.Type

/** Fields that are not managed here (a header, a virtual network) stay as they are. */
export const Origin = Schema.StructWithRest(
  Schema.Struct({
    name: Schema.String,
    address: Schema.String,
    enabled: Schema.optionalKey(Schema.Boolean),
    weight: Schema.optionalKey(Schema.Finite)
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)
export type Origin = typeof Origin.Type

/** Origins that are balanced and checked together. */
export const Pool = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  description: optional(Schema.String),
  enabled: optional(Schema.Boolean),
  minimum_origins: optional(Schema.Finite),
  monitor: optional(Schema.String),
  latitude: optional(Schema.Finite),
  longitude: optional(Schema.Finite),
  origins: Schema.Array(Origin)
})
export type Pool = typeof Pool.Type

export const LoadBalancer = Schema.Struct({
  id: Schema.String,
  /** The host name that it answers for. */
  name: Schema.String,
  description: optional(Schema.String),
  enabled: optional(Schema.Boolean),
  proxied: optional(Schema.Boolean),
  steering_policy: optional(Schema.String),
  /** Pools by their id, in the order of failover. */
  default_pools: Schema.Array(Schema.String),
  /** Where requests go when every pool is unhealthy. */
  fallback_pool: optional(Schema.String)
})
export type LoadBalancer = typeof LoadBalancer.Type

/** The ranges that Cloudflare's requests come from. */
export const AddressRanges = Schema.Struct({
  etag: Schema.String,
  ipv4_cidrs: Schema.Array(Schema.String),
  ipv6_cidrs: Schema.Array(Schema.String)
})
export type AddressRanges = typeof AddressRanges.Type

export const Deleted = Schema.NullOr(Schema.Struct({ id: Schema.optionalKey(Schema.String) }))
