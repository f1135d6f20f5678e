/** The TCP load balancer: services on 80 and 443, and the run nodes as targets. */
import type * as Schema from "effect/Schema"
import type { ActualState } from "./ActualState.ts"
import type { LoadBalancer, LoadBalancerService, Network, Target } from "./api/Resources.ts"
import type { Operation, PlanPart } from "./Change.ts"
import type { DesiredState } from "./DesiredState.ts"
import { loadBalancerProblem } from "./Offer.ts"
import { inTheWay, ownershipOf } from "./Ownership.ts"

const serviceText = ({
  destination_port,
  health_check,
  listen_port,
  protocol,
  proxyprotocol
}: LoadBalancerService): string =>
  `${protocol} ${listen_port} to ${destination_port}${proxyprotocol ? " with proxy protocol" : ""}, checked by ${health_check.protocol} ${health_check.port} every ${health_check.interval} s for ${health_check.timeout} s, ${health_check.retries} retries`

/** Cloud servers by name, dedicated ones by address. */
const targetName = (target: Target, actual: ActualState): string =>
  target.type === "server"
    ? (actual.servers.find(({ id }) => id === target.server?.id)?.name ?? `server ${target.server?.id}`)
    : (target.ip?.ip ?? target.type)

const act = (balancer: LoadBalancer, action: string, fields: Schema.JsonObject): Operation => ({
  kind: "act",
  of: "load_balancers",
  id: balancer.id,
  action,
  fields
})

const planServices = (
  part: PlanPart,
  resource: string,
  desired: DesiredState,
  balancer: LoadBalancer
): void => {
  for (const service of desired.loadBalancer.services) {
    const found = balancer.services.find(({ listen_port }) => listen_port === service.listen_port)
    if (found !== undefined && serviceText(found) === serviceText(service)) continue
    part.changes.push({
      area: "loadBalancer",
      resource: `${resource} port ${service.listen_port}`,
      action: found === undefined ? "create" : "update",
      diff: [...(found === undefined ? [] : [`- ${serviceText(found)}`]), `+ ${serviceText(service)}`],
      destructive: false,
      operation: act(balancer, found === undefined ? "add_service" : "update_service", service)
    })
  }
}

const planTargets = (
  part: PlanPart,
  resource: string,
  desired: DesiredState,
  actual: ActualState,
  balancer: LoadBalancer,
  network: Network | undefined
): void => {
  const isJoined = balancer.private_net.some((net) => net.network === network?.id)
  const wantedServers = desired.loadBalancer.servers.map((name) => ({
    name,
    server: actual.servers.find((server) => server.name === name)
  }))
  for (const { name, server } of wantedServers) {
    const isThere = balancer.targets.some(
      (target) =>
        target.type === "server" && target.server?.id === server?.id && target.use_private_ip === true
    )
    if (server !== undefined && isThere) continue
    const canReach = isJoined && server?.private_net.some((net) => net.network === network?.id) === true
    part.changes.push({
      area: "loadBalancer",
      resource: `${resource} target ${name}`,
      action: "create",
      diff: [`+ ${name}, over the private network`],
      destructive: false,
      operation:
        server !== undefined && canReach
          ? act(balancer, "add_target", { type: "server", server: { id: server.id }, use_private_ip: true })
          : undefined
    })
  }
  const hasVSwitch = network?.subnets.some(({ type }) => type === "vswitch") === true
  for (const address of desired.loadBalancer.addresses) {
    if (balancer.targets.some((target) => target.type === "ip" && target.ip?.ip === address)) continue
    part.changes.push({
      area: "loadBalancer",
      resource: `${resource} target ${address}`,
      action: "create",
      diff: [`+ ${address}, over the private network`],
      destructive: false,
      operation:
        isJoined && hasVSwitch ? act(balancer, "add_target", { type: "ip", ip: { ip: address } }) : undefined
    })
  }
  const kept = new Set<string>([...desired.loadBalancer.servers, ...desired.loadBalancer.addresses])
  for (const target of balancer.targets) {
    const name = targetName(target, actual)
    if (kept.has(name)) continue
    part.changes.push({
      area: "loadBalancer",
      resource: `${resource} target ${name}`,
      action: "delete",
      diff: [`- ${name}`],
      destructive: false,
      operation: act(balancer, "remove_target", {
        type: target.type,
        ...(target.server == null ? {} : { server: { id: target.server.id } }),
        ...(target.ip == null ? {} : { ip: { ip: target.ip.ip } })
      })
    })
  }
}

export const planLoadBalancer = (desired: DesiredState, actual: ActualState): PlanPart => {
  const part: PlanPart = { changes: [], conflicts: [] }
  const { addresses, location, name, servers, services, type } = desired.loadBalancer
  const resource = `load balancer ${name}`
  const network = actual.networks.find((one) => one.name === desired.network.name)
  const balancer = actual.loadBalancers.find((one) => one.name === name)
  if (balancer === undefined) {
    const problem =
      actual.offer === undefined ? undefined : loadBalancerProblem(actual.offer, { location, type })
    if (problem !== undefined) {
      part.conflicts.push({ resource, detail: problem })
      return part
    }
    part.changes.push({
      area: "loadBalancer",
      resource,
      action: "create",
      diff: [
        `+ type: ${type}`,
        `+ location: ${location}`,
        ...services.map((service) => `+ ${serviceText(service)}`),
        ...[...servers, ...addresses].map((target) => `+ target ${target}`)
      ],
      destructive: false,
      operation:
        network === undefined
          ? undefined
          : {
              kind: "create",
              of: "load_balancers",
              fields: {
                name,
                load_balancer_type: type,
                location,
                algorithm: { type: "round_robin" },
                services: [...services],
                network: network.id,
                labels: desired.labels
              }
            }
    })
    return part
  }
  if (ownershipOf(balancer.labels, desired) !== "owned") {
    part.conflicts.push(inTheWay(resource, balancer.labels, desired))
    return part
  }
  if (balancer.load_balancer_type.name !== type || balancer.location.name !== location) {
    part.conflicts.push({
      resource,
      detail: `it is a ${balancer.load_balancer_type.name} in ${balancer.location.name}, and the inventory says ${type} in ${location}: change the inventory, or its type by hand`
    })
    return part
  }
  if (!balancer.private_net.some((net) => net.network === network?.id)) {
    part.changes.push({
      area: "loadBalancer",
      resource: `${resource} private address`,
      action: "create",
      diff: [`+ in ${desired.network.name}`],
      destructive: false,
      operation:
        network === undefined ? undefined : act(balancer, "attach_to_network", { network: network.id })
    })
  }
  planServices(part, resource, desired, balancer)
  planTargets(part, resource, desired, actual, balancer, network)
  return part
}
