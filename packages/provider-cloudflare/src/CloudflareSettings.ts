/** CloudflareSettings: what a region says about Cloudflare, beside its nodes. */
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Schema from "effect/Schema"

const label = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, { expected: "one label of a host name" })
  )
)

/**
 * Which of several regions answers: `off` takes the pools in the load balancer's order, the next one when one is unhealthy;
 * `proximity` needs each region's `location`; `dynamic_latency` measures, and is not in every plan.
 */
export const Steering = Schema.Literals(["off", "random", "proximity", "dynamic_latency"])
export type Steering = typeof Steering.Type

/**
 * How Cloudflare finds out that a node, or a region's load balancer, is well. Over HTTP an answer of `expectedCodes` is asked for
 * at `path` of `host`. Seconds; a check, repeated `retries` times, must be over before the next one begins. Plans below
 * Enterprise allow no shorter interval than 15 or 60 seconds.
 */
export const Check = Schema.Struct({
  type: Schema.Literals(["tcp", "http", "https"]),
  port: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65535 }))),
  host: Schema.optionalKey(Schema.String),
  path: Schema.optionalKey(Schema.String),
  expectedCodes: Schema.optionalKey(Schema.String),
  interval: Schema.Int,
  timeout: Schema.Int,
  retries: Schema.Int
})
export type Check = typeof Check.Type

/** Traefik accepts connections: what every node and every region's load balancer has in common. */
export const defaultCheck: Check = { type: "tcp", port: 443, interval: 60, timeout: 5, retries: 2 }

/** What a region says about Cloudflare, under `cloudflare` of its variables. */
export const CloudflareSettings = Schema.Struct({
  /** The zone, such as `ml.ink`: the domain of the platform's hosts. */
  zone: PlatformDomain,
  /** The label of the load balancer's own host, which the proxied records are aliases of. `lb` when absent. */
  loadBalancer: Schema.optionalKey(label),
  /** `off` when absent. The same in all regions of a zone. */
  steering: Schema.optionalKey(Steering),
  /**
   * `address`: the host of custom domains has this region's address, for one region alone. `steered`: it is a load balancer
   * (DNS only) with a pool for each region. `address` when absent.
   */
  customDomains: Schema.optionalKey(Schema.Literals(["address", "steered"])),
  /** Where the region is, in degrees. */
  location: Schema.optionalKey(
    Schema.Struct({
      latitude: Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: -90, maximum: 90 }))),
      longitude: Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: -180, maximum: 180 })))
    })
  ),
  check: Schema.optionalKey(Check)
})
export type CloudflareSettings = typeof CloudflareSettings.Type
