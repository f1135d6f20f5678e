/** DesiredState: what a region wants of Cloudflare, as a pure function of its nodes and settings. */
import { isIPv4, isIPv6 } from "node:net"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { DnsRecordFields, LoadBalancerFields, MonitorFields, PoolFields } from "./api/CloudflareApi.ts"
import { type Check, type CloudflareSettings, defaultCheck } from "./CloudflareSettings.ts"
import { marker } from "./Ownership.ts"

/** A machine that Cloudflare reaches at a public address. */
export interface Endpoint {
  readonly name: string
  readonly address: string
}

export interface RegionFacts {
  /** Such as `eu-central-1`. */
  readonly region: string
  /** The nodes of the run-pool. */
  readonly runNodes: ReadonlyArray<Endpoint>
  /** The public addresses of the region's TCP load balancer. */
  readonly loadBalancer: { readonly ipv4: string; readonly ipv6?: string }
}

/** Nothing can be planned: the region's directory says something that Cloudflare cannot have. */
export class CloudflareRegionInvalid extends Schema.TaggedError<CloudflareRegionInvalid>()(
  "CloudflareRegionInvalid",
  { region: Schema.String, detail: Schema.String }
) {
  readonly retryable = false
  override get message(): string {
    return `region ${this.region}: ${this.detail}`
  }
}

export interface DesiredPool extends Omit<PoolFields, "monitor" | "origins" | "enabled"> {
  readonly origins: ReadonlyArray<Endpoint>
  /** By its description. */
  readonly monitor: string
}

export interface DesiredLoadBalancer extends Omit<
  LoadBalancerFields,
  "default_pools" | "fallback_pool" | "enabled"
> {
  /** This region's pool, by name. Other regions' pools in it are theirs. */
  readonly pool: string
}

export interface DesiredRecord extends DnsRecordFields {
  /** The comment that says whose it is. */
  readonly owner: string
}

export interface DesiredState {
  readonly region: string
  readonly zone: string
  /** What the names of this region's pools, and the descriptions of its monitors, begin with. */
  readonly prefix: { readonly pool: string; readonly monitor: string }
  readonly records: ReadonlyArray<DesiredRecord>
  readonly monitors: ReadonlyArray<MonitorFields>
  readonly pools: ReadonlyArray<DesiredPool>
  readonly loadBalancers: ReadonlyArray<DesiredLoadBalancer>
  /** Load balancers that this region may have been in, and leaves. */
  readonly leaves: ReadonlyArray<string>
}

/** Hosts behind Cloudflare's proxy: customers' apps, and the three of observability. */
export const proxiedLabels = ["*", "grafana", "loki", "prometheus"]
/** The host that custom domains are aliases of. */
export const customDomainLabel = "cname"

/** Seconds that the address of a region may be kept by resolvers: how long a replaced load balancer is still asked. */
const addressTtl = 300

const isPrivate = (address: string): boolean =>
  /^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(
    address
  ) || /^(::1?$|f[cd]|fe[89ab])/i.test(address)

const problemOf = (
  { loadBalancer, runNodes }: RegionFacts,
  settings: CloudflareSettings
): string | undefined => {
  if (runNodes.length === 0) return "it has no node in the run-pool, and a pool at Cloudflare needs an origin"
  const twice = (values: ReadonlyArray<string>) =>
    values.find((value, index) => values.indexOf(value) !== index)
  const name = twice(runNodes.map(({ name }) => name))
  if (name !== undefined) return `two nodes are called ${name}`
  const address = twice(runNodes.map(({ address }) => address))
  if (address !== undefined) return `two nodes have the address ${address}`
  if (!isIPv4(loadBalancer.ipv4)) return `${loadBalancer.ipv4} is no IPv4 address of its load balancer`
  if (loadBalancer.ipv6 !== undefined && !isIPv6(loadBalancer.ipv6))
    return `${loadBalancer.ipv6} is no IPv6 address of its load balancer`
  const { ipv4, ipv6 } = loadBalancer
  const reached = [...runNodes.map(({ address }) => address), ipv4, ...(ipv6 === undefined ? [] : [ipv6])]
  const bad = reached.find((one) => (!isIPv4(one) && !isIPv6(one)) || isPrivate(one))
  if (bad !== undefined) return `${bad} is no public address, and Cloudflare has to reach it`
  if (settings.steering === "proximity" && settings.location === undefined)
    return "steering by proximity needs its location"
  return undefined
}

const monitorOf = (description: string, check: Check): MonitorFields => ({
  description,
  type: check.type,
  port: check.port,
  interval: check.interval,
  timeout: check.timeout,
  retries: check.retries,
  ...(check.type === "tcp"
    ? {}
    : {
        method: "GET",
        path: check.path ?? "/",
        expected_codes: check.expectedCodes ?? "2xx",
        // The certificate is that of the platform's hosts, and the check asks a node by its address.
        allow_insecure: true,
        ...(check.host === undefined ? {} : { header: { Host: [check.host] } })
      })
})

export const desiredState = (
  facts: RegionFacts,
  settings: CloudflareSettings
): Result.Result<DesiredState, CloudflareRegionInvalid> => {
  const { loadBalancer, region, runNodes } = facts
  const problem = problemOf(facts, settings)
  if (problem !== undefined) return Result.fail(new CloudflareRegionInvalid({ region, detail: problem }))
  const { check = defaultCheck, customDomains = "address", location, steering = "off", zone } = settings
  const hostOf = (label: string) => `${label}.${zone}`
  const shared = marker(undefined)
  const own = marker(region)
  // An underscore is in no label of a domain, so that two zones never have the same prefix.
  const poolPrefix = `mcpdeploy-${zone.replaceAll(".", "_")}-${region}-`
  const monitorPrefix = `${own}; ${zone} `
  const poolOf = (purpose: string, minimum: number, origins: ReadonlyArray<Endpoint>): DesiredPool => ({
    name: `${poolPrefix}${purpose}`,
    description: own,
    minimum_origins: minimum,
    monitor: `${monitorPrefix}${purpose}`,
    origins: origins.toSorted((a, b) => a.name.localeCompare(b.name)),
    ...location
  })
  const run = poolOf("run", 1, runNodes)
  const balancer: DesiredLoadBalancer = {
    name: hostOf(settings.loadBalancer ?? "lb"),
    description: shared,
    proxied: true,
    steering_policy: steering,
    pool: run.name
  }
  const proxied = proxiedLabels.map((label): DesiredRecord => ({
    type: "CNAME",
    name: hostOf(label),
    content: balancer.name,
    proxied: true,
    ttl: 1,
    comment: shared,
    owner: shared
  }))
  const addresses: ReadonlyArray<readonly ["A" | "AAAA", string]> = [
    ["A", loadBalancer.ipv4],
    ...(loadBalancer.ipv6 === undefined ? [] : [["AAAA", loadBalancer.ipv6] as const])
  ]
  const customHost = hostOf(customDomainLabel)
  const direct = addresses.map(([type, content]): DesiredRecord => ({
    type,
    name: customHost,
    content,
    proxied: false,
    ttl: addressTtl,
    comment: own,
    owner: own
  }))
  const steered = customDomains === "steered"
  const edge = poolOf("edge", 1, [{ name: region, address: loadBalancer.ipv4 }])
  const edgeBalancer: DesiredLoadBalancer = {
    name: customHost,
    description: shared,
    proxied: false,
    steering_policy: steering,
    pool: edge.name
  }
  return Result.succeed({
    region,
    zone,
    prefix: { pool: poolPrefix, monitor: monitorPrefix },
    records: steered ? proxied : [...proxied, ...direct],
    monitors: [
      monitorOf(run.monitor, check),
      ...(steered ? [monitorOf(edge.monitor, { ...defaultCheck, interval: check.interval })] : [])
    ],
    pools: steered ? [run, edge] : [run],
    loadBalancers: steered ? [balancer, edgeBalancer] : [balancer],
    leaves: steered ? [] : [customHost]
  })
}
