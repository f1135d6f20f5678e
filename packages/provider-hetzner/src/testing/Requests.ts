/**
 * Bodies that Hetzner documents, for the double: a field that is not documented, of another type, or missing is refused. Written from
 * the API reference and the types of Hetzner's own library (hcloud-go 2.47), not from this package's client.
 */
import { isIP, isIPv4 } from "node:net"
import * as Schema from "effect/Schema"

const optional = Schema.optionalKey
const where = (test: (value: string) => boolean, expected: string) =>
  Schema.String.pipe(Schema.check(Schema.makeFilter((value) => test(value) || expected)))
const between = (minimum: number, maximum: number) =>
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum })))

const isCidr = (text: string): boolean => {
  const [address = "", bits = "", ...more] = text.split("/")
  const family = isIP(address)
  return family !== 0 && more.length === 0 && /^\d+$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
}
const cidr = where(isCidr, "a range in CIDR notation")
const cidrs = Schema.Array(cidr).pipe(Schema.check(Schema.isMinLength(1), Schema.isMaxLength(100)))
const privateRange = where(
  (text) => isCidr(text) && /^(10|172\.(1[6-9]|2\d|3[01])|192\.168)\./.test(text),
  "a private range (RFC 1918)"
)
const ipv4 = where(isIPv4, "an IPv4 address")
const id = between(1, Number.MAX_SAFE_INTEGER)
const idOrName = Schema.Union([id, Schema.NonEmptyString])
const name = where((text) => /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$/.test(text), "a name")
/** "Must be unique per Project and valid hostnames as per RFC 1123." */
const hostName = where((text) => /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(text), "a host name (RFC 1123)")
const labelName = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
const labels = Schema.Record(
  Schema.String,
  where(
    (value) => value === "" || /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(value),
    "a label's value"
  )
).pipe(
  Schema.check(
    Schema.makeFilter((all: Readonly<Record<string, string>>) =>
      Object.keys(all).every((key) => labelName.test(key) && !key.startsWith("hetzner.cloud/"))
        ? true
        : "labels' names"
    )
  )
)

const commonSubnet = { ip_range: optional(privateRange), network_zone: Schema.NonEmptyString }
const subnet = Schema.Union([
  Schema.Struct({ ...commonSubnet, type: Schema.Literals(["cloud", "server"]) }),
  Schema.Struct({ ...commonSubnet, type: Schema.Literal("vswitch"), vswitch_id: id })
])

const ruleOf = (direction: "in" | "out", ends: "source_ips" | "destination_ips") => {
  const common = { direction: Schema.Literal(direction), [ends]: cidrs, description: optional(Schema.String) }
  return [
    Schema.Struct({
      ...common,
      protocol: Schema.Literals(["tcp", "udp"]),
      port: where((text) => /^(any|\d{1,5}(-\d{1,5})?)$/.test(text), "a port or a range of ports")
    }),
    Schema.Struct({ ...common, protocol: Schema.Literals(["icmp", "esp", "gre"]) })
  ] as const
}
const rules = Schema.Array(
  Schema.Union([...ruleOf("in", "source_ips"), ...ruleOf("out", "destination_ips")])
).pipe(Schema.check(Schema.isMaxLength(50)))
const firewallResources = Schema.Array(
  Schema.Union([
    Schema.Struct({ type: Schema.Literal("server"), server: Schema.Struct({ id }) }),
    Schema.Struct({
      type: Schema.Literal("label_selector"),
      label_selector: Schema.Struct({ selector: Schema.NonEmptyString })
    })
  ])
)

const healthCheck = {
  protocol: Schema.Literals(["tcp", "http"]),
  port: between(1, 65535),
  interval: between(3, 60),
  timeout: between(1, 60),
  retries: between(1, 5)
}
const service = {
  protocol: Schema.Literals(["tcp", "http", "https"]),
  listen_port: between(1, 65535),
  destination_port: between(1, 65535),
  proxyprotocol: Schema.Boolean,
  health_check: Schema.Struct(healthCheck)
}
const target = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("server"),
    server: Schema.Struct({ id }),
    use_private_ip: optional(Schema.Boolean)
  }),
  Schema.Struct({ type: Schema.Literal("ip"), ip: Schema.Struct({ ip: ipv4 }) })
])

const update = Schema.Struct({ name: optional(name), labels: optional(labels) })

type Body = Schema.Codec<unknown, unknown>

/** A public key as OpenSSH writes it. */
const publicKey = where(
  (text) => /^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\n]*)?$/.test(text),
  "a public key"
)

/** By `METHOD kind` or `METHOD kind action`. */
export const requests: Readonly<Record<string, Body>> = {
  "POST networks": Schema.Struct({
    name,
    ip_range: privateRange,
    subnets: optional(Schema.Array(subnet)),
    routes: optional(Schema.Array(Schema.Struct({ destination: cidr, gateway: ipv4 }))),
    labels: optional(labels),
    expose_routes_to_vswitch: optional(Schema.Boolean)
  }),
  "POST networks add_subnet": subnet,
  "PUT networks": update,
  "POST placement_groups": Schema.Struct({ name, type: Schema.Literal("spread"), labels: optional(labels) }),
  "PUT placement_groups": update,
  "POST ssh_keys": Schema.Struct({ name, public_key: publicKey, labels: optional(labels) }),
  "PUT ssh_keys": update,
  "POST firewalls": Schema.Struct({
    name,
    labels: optional(labels),
    rules: optional(rules),
    apply_to: optional(firewallResources)
  }),
  "PUT firewalls": update,
  "POST firewalls set_rules": Schema.Struct({ rules }),
  "POST firewalls apply_to_resources": Schema.Struct({ apply_to: firewallResources }),
  "POST servers": Schema.Struct({
    name: hostName,
    server_type: idOrName,
    image: idOrName,
    location: optional(Schema.NonEmptyString),
    /** As strings, so the API's description: a name, or an id. */
    ssh_keys: optional(Schema.Array(Schema.NonEmptyString)),
    user_data: optional(Schema.String),
    start_after_create: optional(Schema.Boolean),
    labels: optional(labels),
    networks: optional(Schema.Array(id)),
    firewalls: optional(Schema.Array(Schema.Struct({ firewall: id }))),
    placement_group: optional(id),
    public_net: optional(Schema.Struct({ enable_ipv4: Schema.Boolean, enable_ipv6: Schema.Boolean }))
  }),
  "PUT servers": update,
  "POST servers attach_to_network": Schema.Struct({
    network: id,
    ip: optional(ipv4),
    alias_ips: optional(Schema.Array(ipv4)),
    ip_range: optional(privateRange)
  }),
  "POST load_balancers": Schema.Struct({
    name,
    load_balancer_type: idOrName,
    algorithm: optional(Schema.Struct({ type: Schema.Literals(["round_robin", "least_connections"]) })),
    location: optional(Schema.NonEmptyString),
    network_zone: optional(Schema.NonEmptyString),
    labels: optional(labels),
    targets: optional(Schema.Array(target)),
    services: optional(Schema.Array(Schema.Struct(service))),
    public_interface: optional(Schema.Boolean),
    network: optional(id)
  }),
  "PUT load_balancers": update,
  "POST load_balancers add_target": target,
  "POST load_balancers remove_target": Schema.Union([
    Schema.Struct({ type: Schema.Literal("server"), server: Schema.Struct({ id }) }),
    Schema.Struct({ type: Schema.Literal("ip"), ip: Schema.Struct({ ip: ipv4 }) })
  ]),
  "POST load_balancers add_service": Schema.Struct(service),
  "POST load_balancers update_service": Schema.Struct({
    listen_port: service.listen_port,
    protocol: optional(service.protocol),
    destination_port: optional(service.destination_port),
    proxyprotocol: optional(service.proxyprotocol),
    health_check: optional(Schema.Struct(healthCheck))
  }),
  "POST load_balancers attach_to_network": Schema.Struct({
    network: id,
    ip: optional(ipv4),
    ip_range: optional(privateRange)
  })
}
