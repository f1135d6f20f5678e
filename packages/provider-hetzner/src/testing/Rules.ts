/** What Hetzner makes of a request, and refuses beyond a body's shape. */
import type { Collection, Fields, Stored } from "@mcpdeploy/core/testing/Collection"
import { IpRange, Ipv4, isInRange } from "@mcpdeploy/core/region/Address"
import type * as Schema from "effect/Schema"
import type { Catalog } from "./Catalog.ts"

export interface World {
  readonly servers: Collection<number>
  readonly networks: Collection<number>
  readonly firewalls: Collection<number>
  readonly placement_groups: Collection<number>
  readonly load_balancers: Collection<number>
  readonly ssh_keys: Collection<number>
  /** What can be ordered; a test may change it. */
  readonly catalog: Catalog
  readonly dedicated: ReadonlyArray<string>
  readonly balancerAddress: { readonly ipv4: string; readonly ipv6: string } | undefined
  readonly addressOf: (name: string) => string
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

type Changed = Refusal | { readonly fields: Fields }

const refuse = (status: number, code: string, message: string): Refusal => ({ status, code, message })
const listOf = (value: Schema.Json | undefined): ReadonlyArray<Schema.Json> =>
  Array.isArray(value) ? value : []
const fieldOf = (value: Schema.Json | undefined, key: string): Schema.Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined
const isSame = (a: Schema.Json | undefined, b: Schema.Json | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b)
const overlaps = (a: string, b: string): boolean => {
  const inside = (one: string, other: string) =>
    isInRange(Ipv4.make(one.split("/")[0] ?? ""), IpRange.make(other))
  return inside(a, b) || inside(b, a)
}

const subnetRefusal = (range: string, others: ReadonlyArray<Schema.Json>, subnet: Schema.Json) => {
  const own = String(fieldOf(subnet, "ip_range"))
  if (!overlaps(own, range)) return refuse(422, "invalid_input", "the subnet is not in the network's range")
  return others.some((other) => overlaps(own, String(fieldOf(other, "ip_range"))))
    ? refuse(422, "invalid_input", "the subnet overlaps with another one")
    : undefined
}

/** The addresses of a network that are taken. */
const takenIn = (world: World, network: number): ReadonlyArray<string> =>
  [...world.servers.all(), ...world.load_balancers.all()].flatMap((object) =>
    listOf(object["private_net"]).flatMap((net) =>
      fieldOf(net, "network") === network ? [String(fieldOf(net, "ip"))] : []
    )
  )

const joined = (world: World, object: Fields, network: Schema.Json | undefined, ip: string): Changed => {
  const found = world.networks.get(Number(network))
  if (found === undefined) return refuse(404, "not_found", "network not found")
  const cloud = listOf(found["subnets"]).filter((subnet) => fieldOf(subnet, "type") === "cloud")
  const isOfSubnet = cloud.some((subnet) =>
    isInRange(Ipv4.make(ip), IpRange.make(String(fieldOf(subnet, "ip_range"))))
  )
  if (!isOfSubnet) return refuse(422, "no_subnet_available", "no cloud subnet holds the address")
  if (takenIn(world, found.id).includes(ip)) return refuse(409, "ip_not_available", "the address is taken")
  return {
    fields: {
      private_net: [
        ...listOf(object["private_net"]),
        { network: found.id, ip, alias_ips: [], mac_address: "86:00:ff:2a:7d:e1" }
      ]
    }
  }
}

const placed = (object: Fields) => ({
  location: { name: object["location"] ?? "fsn1" },
  created: new Date(0).toISOString(),
  protection: { delete: false }
})

/** The server's type, or why none of it is sold in the location. In those words of the API's, as its users quote them. */
const orderRefusal = (world: World, body: Fields): Refusal | undefined => {
  const type = world.catalog.server_types.find(({ name }) => name === body["server_type"])
  if (type === undefined) return refuse(422, "invalid_input", "server type not found")
  const there = type.locations.find(({ name }) => name === body["location"])
  if (
    there === undefined ||
    (there.deprecation !== null && Date.parse(there.deprecation.unavailable_after) <= Date.now())
  )
    return refuse(422, "invalid_input", "unsupported location for server type")
  if (!there.available) return refuse(412, "resource_unavailable", "server location disabled")
  return world.catalog.images.some(
    ({ architecture, name }) => name === body["image"] && architecture === type.architecture
  )
    ? undefined
    : refuse(422, "invalid_input", "image not found")
}

/** A new object, as it is shown afterwards. `violate`: what a client that asked first would not send. */
export const created = (
  world: World,
  kind: string,
  body: Fields,
  violate: (what: string) => void
): Changed => {
  const labels = body["labels"] ?? {}
  switch (kind) {
    case "networks": {
      const subnets = listOf(body["subnets"])
      const refusal = subnets
        .map((subnet, index) => subnetRefusal(String(body["ip_range"]), subnets.slice(0, index), subnet))
        .find((one) => one !== undefined)
      return refusal ?? { fields: { ...body, labels, subnets, routes: [], servers: [], load_balancers: [] } }
    }
    case "ssh_keys": {
      const isSameKey = (key: Fields) =>
        [key, body]
          .map((one) => String(one["public_key"]).split(" ").slice(0, 2).join(" "))
          .every((one, _, [first]) => one === first)
      return world.ssh_keys.all().some(isSameKey)
        ? refuse(409, "uniqueness_error", "SSH key not unique")
        : {
            fields: {
              ...body,
              labels,
              fingerprint: "b7:2f:30:a0:2f:6c:58:6c:21:04:58:61:ba:06:3b:2f",
              created: new Date(0).toISOString()
            }
          }
    }
    case "placement_groups":
      return { fields: { ...body, labels, servers: [] } }
    case "firewalls":
      return {
        fields: {
          name: body["name"] ?? "",
          labels,
          rules: listOf(body["rules"]),
          applied_to: listOf(body["apply_to"])
        }
      }
    case "servers": {
      const group = body["placement_group"]
      if (group !== undefined && world.placement_groups.get(Number(group)) === undefined)
        return refuse(404, "not_found", "placement group not found")
      const keys = listOf(body["ssh_keys"])
      if (keys.length === 0) violate("POST servers: without an SSH key its password would be sent by mail")
      const known = world.ssh_keys.all().flatMap(({ id, name }) => [String(id), name])
      if (keys.some((key) => !known.includes(key))) return refuse(404, "not_found", "SSH key not found")
      const refusal = orderRefusal(world, body)
      if (refusal !== undefined) {
        violate(`POST servers: ${refusal.message}`)
        return refusal
      }
      return {
        fields: {
          ...placed(body),
          name: body["name"] ?? "",
          labels,
          status: "running",
          server_type: { name: String(body["server_type"]) },
          public_net: {
            ipv4: { ip: world.addressOf(String(body["name"])), blocked: false },
            ipv6: { ip: "2001:db8::/64", blocked: false },
            firewalls: []
          },
          private_net: []
        }
      }
    }
    default: {
      const number = world.load_balancers.all().length + 5
      const net = body["network"]
      const network = net === undefined ? { fields: {} } : joined(world, {}, net, "10.0.0.2")
      if ("code" in network) return network
      const isSold = world.catalog.load_balancer_types.some(
        ({ name, prices }) =>
          name === body["load_balancer_type"] &&
          listOf(prices).some((price) => isSame(fieldOf(price, "location"), body["location"]))
      )
      if (!isSold) return refuse(422, "invalid_input", "unsupported load balancer type")
      return {
        fields: {
          ...placed(body),
          name: body["name"] ?? "",
          labels,
          load_balancer_type: { name: String(body["load_balancer_type"]) },
          public_net: {
            enabled: true,
            ipv4: { ip: world.balancerAddress?.ipv4 ?? `203.0.113.${number}` },
            ipv6: { ip: world.balancerAddress?.ipv6 ?? `2001:db8:5::${number}` }
          },
          private_net: [],
          services: listOf(body["services"]),
          targets: listOf(body["targets"]),
          ...network.fields
        }
      }
    }
  }
}

const hasNetwork = (object: Fields | undefined): ReadonlyArray<Schema.Json | undefined> =>
  listOf(object?.["private_net"]).map((net) => fieldOf(net, "network"))

const addTarget = (world: World, balancer: Fields, target: Fields): Changed => {
  const targets = listOf(balancer["targets"])
  const isDefined = targets.some(
    (one) => isSame(fieldOf(one, "server"), target["server"]) && isSame(fieldOf(one, "ip"), target["ip"])
  )
  if (isDefined) return refuse(409, "target_already_defined", "the target is already defined")
  if (target["type"] === "ip") {
    const ip = String(fieldOf(target["ip"], "ip"))
    if (world.servers.all().some((server) => fieldOf(fieldOf(server["public_net"], "ipv4"), "ip") === ip))
      return refuse(422, "cloud_resource_ip_not_allowed", "it belongs to a Cloud server")
    const isOf = (kind: string) => (subnet: Schema.Json) =>
      fieldOf(subnet, "type") === kind &&
      isInRange(Ipv4.make(ip), IpRange.make(String(fieldOf(subnet, "ip_range"))))
    const subnets = hasNetwork(balancer).flatMap((id) => listOf(world.networks.get(Number(id))?.["subnets"]))
    const isPrivate = isInRange(Ipv4.make(ip), IpRange.make("10.0.0.0/8"))
    if (isPrivate && subnets.length === 0)
      return refuse(422, "load_balancer_not_attached_to_network", "the load balancer is in no network")
    if (isPrivate ? !subnets.some(isOf("vswitch")) : !world.dedicated.includes(ip))
      return refuse(403, "ip_not_owned", "the address is not the account's")
    return { fields: { targets: [...targets, { ...target, health_status: [] }] } }
  }
  const server = world.servers.get(Number(fieldOf(target["server"], "id")))
  if (server === undefined) return refuse(404, "not_found", "server not found")
  const networks = hasNetwork(balancer)
  if (target["use_private_ip"] === true && networks.length === 0)
    return refuse(422, "load_balancer_not_attached_to_network", "the load balancer is in no network")
  if (target["use_private_ip"] === true && !hasNetwork(server).some((network) => networks.includes(network)))
    return refuse(422, "server_not_attached_to_network", "the server is not in the load balancer's network")
  return { fields: { targets: [...targets, { use_private_ip: false, ...target, health_status: [] }] } }
}

/** What an action changes of its object. */
export const perform = (world: World, action: string, object: Stored<number>, body: Fields): Changed => {
  switch (action) {
    case "networks add_subnet": {
      const subnets = listOf(object["subnets"])
      return (
        subnetRefusal(String(object["ip_range"]), subnets, body) ?? {
          fields: { subnets: [...subnets, body] }
        }
      )
    }
    case "firewalls set_rules":
      return { fields: { rules: listOf(body["rules"]) } }
    case "firewalls apply_to_resources": {
      const applied = listOf(object["applied_to"])
      const more = listOf(body["apply_to"])
      return more.some((one) => applied.some((other) => isSame(one, other)))
        ? refuse(409, "firewall_already_applied", "the firewall is already applied")
        : { fields: { applied_to: [...applied, ...more] } }
    }
    case "servers attach_to_network":
      return hasNetwork(object).includes(body["network"])
        ? refuse(409, "server_already_attached", "the server is already attached")
        : joined(world, object, body["network"], String(body["ip"]))
    case "load_balancers attach_to_network":
      return hasNetwork(object).includes(body["network"])
        ? refuse(409, "load_balancer_already_attached", "the load balancer is already attached")
        : joined(world, object, body["network"], "10.0.0.2")
    case "load_balancers add_target":
      return addTarget(world, object, body)
    case "load_balancers remove_target": {
      const isIt = (one: Schema.Json) =>
        isSame(fieldOf(one, "server"), body["server"]) && isSame(fieldOf(one, "ip"), body["ip"])
      const targets = listOf(object["targets"])
      return targets.some(isIt)
        ? { fields: { targets: targets.filter((one) => !isIt(one)) } }
        : refuse(404, "not_found", "target not found")
    }
    case "load_balancers add_service":
      return listOf(object["services"]).some((one) =>
        isSame(fieldOf(one, "listen_port"), body["listen_port"])
      )
        ? refuse(409, "source_port_already_used", "the port is already used")
        : { fields: { services: [...listOf(object["services"]), body] } }
    case "load_balancers update_service": {
      const isIt = (one: Schema.Json) => isSame(fieldOf(one, "listen_port"), body["listen_port"])
      return {
        fields: {
          services: listOf(object["services"]).map((one) =>
            isIt(one) && typeof one === "object" && one !== null ? { ...one, ...body } : one
          )
        }
      }
    }
    default:
      return refuse(404, "not_found", `no action ${action}`)
  }
}
