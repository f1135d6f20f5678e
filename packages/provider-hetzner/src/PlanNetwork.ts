/** The private network and its subnets, and the placement group. */
import type { ActualState } from "./ActualState.ts"
import type { Network, Subnet } from "./api/Resources.ts"
import type { DesiredState } from "./DesiredState.ts"
import type { PlanPart } from "./Change.ts"
import { inTheWay, ownershipOf } from "./Ownership.ts"

const subnetText = ({ ip_range, network_zone, type, vswitch_id }: Subnet): string =>
  `${type} ${ip_range} in ${network_zone}${vswitch_id == null ? "" : ` of vSwitch ${vswitch_id}`}`

const isSame = (a: Subnet, b: Subnet): boolean => subnetText(a) === subnetText(b)

const json = ({ vswitch_id, ...subnet }: Subnet) => ({
  ...subnet,
  ...(vswitch_id == null ? {} : { vswitch_id })
})

const planSubnets = (part: PlanPart, resource: string, desired: DesiredState, network: Network): void => {
  for (const subnet of desired.network.subnets) {
    if (network.subnets.some((one) => isSame(one, subnet))) continue
    const other = network.subnets.find(({ ip_range }) => ip_range === subnet.ip_range)
    if (other !== undefined) {
      part.conflicts.push({
        resource: `${resource} subnet ${subnet.ip_range}`,
        detail: `it is ${subnetText(other)}, and ${subnetText(subnet)} is wanted: change the inventory, or delete it when nothing is in it`
      })
      continue
    }
    part.changes.push({
      area: "network",
      resource: `${resource} subnet ${subnet.ip_range}`,
      action: "create",
      diff: [`+ ${subnetText(subnet)}`],
      destructive: false,
      operation: { kind: "act", of: "networks", id: network.id, action: "add_subnet", fields: json(subnet) }
    })
  }
}

export const planNetwork = (desired: DesiredState, actual: ActualState): PlanPart => {
  const part: PlanPart = { changes: [], conflicts: [] }
  const { name, range, subnets } = desired.network
  const resource = `network ${name}`
  const network = actual.networks.find((one) => one.name === name)
  if (network === undefined) {
    part.changes.push({
      area: "network",
      resource,
      action: "create",
      diff: [`+ range: ${range}`, ...subnets.map((subnet) => `+ ${subnetText(subnet)}`)],
      destructive: false,
      operation: {
        kind: "create",
        of: "networks",
        fields: { name, ip_range: range, subnets: subnets.map(json), labels: desired.labels }
      }
    })
  } else if (network.ip_range !== range) {
    part.conflicts.push({
      resource,
      detail: `its range is ${network.ip_range}, and ${range} is wanted: a range can only grow, by hand`
    })
  } else if (ownershipOf(network.labels, desired) === "foreign") {
    part.conflicts.push(inTheWay(resource, network.labels, desired))
  } else {
    if (ownershipOf(network.labels, desired) === "unlabelled") {
      part.changes.push({
        area: "network",
        resource,
        action: "adopt",
        diff: [],
        destructive: false,
        operation: {
          kind: "label",
          of: "networks",
          id: network.id,
          labels: { ...network.labels, ...desired.labels }
        }
      })
    }
    planSubnets(part, resource, desired, network)
  }
  const group = desired.placementGroup
  if (group !== undefined) {
    const found = actual.placementGroups.find((one) => one.name === group)
    if (found === undefined) {
      part.changes.push({
        area: "node",
        resource: `placement group ${group}`,
        action: "create",
        diff: ["+ spread: each server on a host of its own"],
        destructive: false,
        operation: {
          kind: "create",
          of: "placement_groups",
          fields: { name: group, type: "spread", labels: desired.labels }
        }
      })
    } else if (found.type !== "spread" || ownershipOf(found.labels, desired) !== "owned") {
      part.conflicts.push(inTheWay(`placement group ${group}`, found.labels, desired))
    }
  }
  return part
}
