/** What Cloudflare refuses beyond a body's shape: duplicates, dangling references, what is in use. */
import type { Collection, Fields, Stored } from "@mcpdeploy/core/testing/Collection"

export interface Refusal {
  readonly status: number
  readonly code: number
  readonly message: string
}

export interface World {
  readonly zone: { readonly id: string; readonly name: string; readonly accountId: string }
  readonly records: Collection<string>
  readonly monitors: Collection<string>
  readonly pools: Collection<string>
  readonly loadBalancers: Collection<string>
}

const refuse = (status: number, code: number, message: string): Refusal => ({ status, code, message })
const addressTypes = ["A", "AAAA"]

const within = (zone: string, name: unknown) =>
  typeof name === "string" && (name === zone || name.endsWith(`.${zone}`))

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

export const recordRules = (world: World, fields: Fields, id?: string): Refusal | undefined => {
  const { content, name, proxied, type } = fields
  if (!within(world.zone.name, name)) return refuse(400, 9000, "DNS name is invalid")
  if (proxied === true && type === "TXT") return refuse(400, 9004, "This record type cannot be proxied.")
  const others = world.records.all().filter((other) => other.id !== id && other["name"] === name)
  if (others.some((other) => other["type"] === type && other["content"] === content))
    return refuse(400, 81058, "An identical record already exists.")
  if (type === "CNAME" && others.some((other) => [...addressTypes, "CNAME"].includes(String(other["type"]))))
    return refuse(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
  if (addressTypes.includes(String(type)) && others.some((other) => other["type"] === "CNAME"))
    return refuse(400, 81054, "A CNAME record with that host already exists.")
  return undefined
}

/** A proxied record's TTL is always automatic. */
export const recordDefaults = (fields: Fields): Fields => ({
  ...fields,
  proxied: fields["proxied"] ?? false,
  ttl: fields["proxied"] === true ? 1 : (fields["ttl"] ?? 1),
  comment: fields["comment"] ?? null,
  tags: [],
  settings: fields["settings"] ?? {},
  proxiable: fields["type"] !== "TXT",
  meta: {}
})

export const monitorRules = (_world: World, fields: Fields): Refusal | undefined => {
  const { interval = 60, retries = 2, timeout = 5 } = fields
  return Number(interval) <= Number(timeout) * (Number(retries) + 1)
    ? refuse(400, 1002, "monitor interval must be greater than timeout * (retries + 1): validation failed")
    : undefined
}

/** A TCP monitor answers with the HTTP fields empty. */
export const monitorDefaults = (fields: Fields): Fields => ({
  description: "",
  method: fields["type"] === "tcp" ? "connection_established" : "GET",
  path: fields["type"] === "tcp" ? "" : "/",
  header: null,
  expected_codes: "",
  expected_body: "",
  follow_redirects: false,
  allow_insecure: false,
  interval: 60,
  timeout: 5,
  retries: 2,
  consecutive_up: 0,
  consecutive_down: 0,
  ...fields
})

export const poolRules = (world: World, fields: Fields, id?: string): Refusal | undefined => {
  if (world.pools.all().some((other) => other.id !== id && other["name"] === fields["name"]))
    return refuse(400, 1003, "name: value not unique")
  if ("latitude" in fields !== "longitude" in fields)
    return refuse(400, 1002, "latitude and longitude must be set together: validation failed")
  const { monitor } = fields
  if (typeof monitor === "string" && monitor !== "" && world.monitors.get(monitor) === undefined)
    return refuse(400, 1002, "monitor not found: validation failed")
  return undefined
}

export const poolDefaults = (fields: Fields): Fields => ({
  description: "",
  enabled: true,
  minimum_origins: 1,
  monitor: "",
  notification_email: "",
  check_regions: null,
  networks: ["cloudflare"],
  ...fields,
  origins: list(fields["origins"]).map((origin) => ({ enabled: true, weight: 1, ...object(origin) }))
})

const object = (value: unknown): Fields => JSON.parse(JSON.stringify(value))

export const loadBalancerRules = (world: World, fields: Fields, id?: string): Refusal | undefined => {
  if (!within(world.zone.name, fields["name"]))
    return refuse(400, 1002, `invalid hostname: ${String(fields["name"])}: validation failed`)
  if (world.loadBalancers.all().some((other) => other.id !== id && other["name"] === fields["name"]))
    return refuse(400, 1003, "name: value not unique")
  const pools = [...list(fields["default_pools"]), fields["fallback_pool"]]
  if (pools.some((pool) => world.pools.get(String(pool)) === undefined))
    return refuse(400, 1002, "pool not found: validation failed")
  const defaults = list(fields["default_pools"])
  if (new Set(defaults).size !== defaults.length)
    return refuse(400, 1002, "default_pools: value not unique: validation failed")
  return undefined
}

export const loadBalancerDefaults = (fields: Fields): Fields => ({
  description: "",
  enabled: true,
  proxied: false,
  steering_policy: "off",
  session_affinity: "none",
  region_pools: {},
  country_pools: {},
  pop_pools: {},
  ...fields
})

const referenced = refuse(412, 1005, "This object is referenced by other objects, delete them first.")

export const monitorInUse = (world: World, monitor: Stored<string>): Refusal | undefined =>
  world.pools.all().some((pool) => pool["monitor"] === monitor.id) ? referenced : undefined

export const poolInUse = (world: World, pool: Stored<string>): Refusal | undefined =>
  world.loadBalancers.all().some((balancer) => JSON.stringify(balancer).includes(pool.id))
    ? referenced
    : undefined
