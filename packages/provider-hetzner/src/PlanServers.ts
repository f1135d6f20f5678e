/** Cloud servers: made and deleted only when named; labels and network of those that are there. */
import type { ActualState } from "./ActualState.ts"
import type { Network, Server } from "./api/Resources.ts"
import { type DesiredServer, type DesiredState, regionLabel } from "./DesiredState.ts"
import type { HetznerChange, PlanPart } from "./Change.ts"
import { type Offer, orderableUntil, serverProblem } from "./Offer.ts"
import { inTheWay, ownershipOf } from "./Ownership.ts"
import { findSshKey } from "./SshKeys.ts"

/** Servers are made with the administrators' keys: without one nobody could ever open them. */
const planSshKeys = (part: PlanPart, { labels, sshKeys }: DesiredState, offer: Offer): void => {
  for (const key of sshKeys) {
    if (findSshKey(offer.sshKeys, key) !== undefined) continue
    part.changes.push({
      area: "node",
      resource: `ssh key ${key.name}`,
      action: "create",
      diff: [`+ ${key.publicKey}`],
      destructive: false,
      operation: {
        kind: "create",
        of: "ssh_keys",
        fields: { name: key.name, public_key: key.publicKey, labels }
      }
    })
  }
}

const creation = (
  desired: DesiredState,
  actual: ActualState,
  offer: Offer,
  server: DesiredServer
): HetznerChange => {
  const group = actual.placementGroups.find(({ name }) => name === server.placementGroup)
  const keys = desired.sshKeys.flatMap((key) => findSshKey(offer.sshKeys, key)?.name ?? [])
  const isReady =
    (server.placementGroup === undefined || group !== undefined) && keys.length === desired.sshKeys.length
  const end = orderableUntil(offer, server)
  return {
    area: "node",
    resource: `server ${server.name}`,
    action: "create",
    diff: [
      `+ type: ${server.serverType}`,
      `+ location: ${server.location}`,
      `+ image: ${server.image}`,
      ...(end === undefined ? [] : [`+ ordered until ${end} only: ${server.serverType}`]),
      ...Object.entries(server.labels).map(([key, value]) => `+ label ${key}=${value}`)
    ],
    destructive: true,
    operation: isReady
      ? {
          kind: "create",
          of: "servers",
          fields: {
            name: server.name,
            server_type: server.serverType,
            location: server.location,
            image: server.image,
            labels: server.labels,
            start_after_create: true,
            ssh_keys: keys,
            ...(group === undefined ? {} : { placement_group: group.id })
          }
        }
      : undefined
  }
}

/** What only a person can bring together. */
const mismatch = (wanted: DesiredServer, found: Server, network: Network | undefined): string | undefined => {
  const address = found.public_net.ipv4?.ip
  if (address !== wanted.publicIpv4) {
    return `it has the address ${address ?? "none"}, and the inventory says ${wanted.publicIpv4}: set ansible_host`
  }
  if (found.server_type.name !== wanted.serverType) {
    return `it is a ${found.server_type.name}, and the inventory says ${wanted.serverType}: change the inventory, or resize it by hand`
  }
  const joined = found.private_net.find((net) => net.network === network?.id)
  return joined !== undefined && joined.ip !== wanted.privateIp
    ? `its private address is ${joined.ip}, and the inventory says ${wanted.privateIp}: change the inventory, or detach it from the network`
    : undefined
}

const planServer = (
  part: PlanPart,
  desired: DesiredState,
  actual: ActualState,
  wanted: DesiredServer
): void => {
  const resource = `server ${wanted.name}`
  const found = actual.servers.find(({ name }) => name === wanted.name)
  const network = actual.networks.find(({ name }) => name === desired.network.name)
  if (found === undefined) {
    if (actual.offer === undefined) return
    const problem =
      desired.sshKeys.length === 0
        ? "nobody could open it, since region_ssh_keys is empty: write administrators' public keys there"
        : serverProblem(actual.offer, wanted)
    if (problem === undefined) part.changes.push(creation(desired, actual, actual.offer, wanted))
    else part.conflicts.push({ resource, detail: problem })
    return
  }
  if (ownershipOf(found.labels, desired) === "foreign") {
    part.conflicts.push(inTheWay(resource, found.labels, desired))
    return
  }
  const detail = mismatch(wanted, found, network)
  if (detail !== undefined) {
    part.conflicts.push({ resource, detail })
    return
  }
  const labels = Object.entries(wanted.labels).filter(([key, value]) => found.labels[key] !== value)
  if (labels.length > 0) {
    part.changes.push({
      area: "node",
      resource,
      action: ownershipOf(found.labels, desired) === "owned" ? "update" : "adopt",
      diff: labels.map(([key, value]) => `+ label ${key}=${value}`),
      destructive: false,
      operation: { kind: "label", of: "servers", id: found.id, labels: { ...found.labels, ...wanted.labels } }
    })
  }
  if (found.private_net.some((net) => net.network === network?.id)) return
  part.changes.push({
    area: "network",
    resource: `${resource} private address`,
    action: "create",
    diff: [`+ ${wanted.privateIp} in ${desired.network.name}`],
    destructive: false,
    operation:
      network === undefined
        ? undefined
        : {
            kind: "act",
            of: "servers",
            id: found.id,
            action: "attach_to_network",
            fields: { network: network.id, ip: wanted.privateIp }
          }
  })
}

export const planServers = (desired: DesiredState, actual: ActualState): PlanPart => {
  const part: PlanPart = { changes: [], conflicts: [] }
  const isBuying = desired.servers.some((server) => !actual.servers.some(({ name }) => name === server.name))
  if (isBuying && actual.offer !== undefined) planSshKeys(part, desired, actual.offer)
  for (const server of desired.servers) planServer(part, desired, actual, server)
  const names = new Set(desired.servers.map(({ name }) => name))
  for (const { id, labels, name } of actual.servers) {
    if (labels[regionLabel] !== desired.region || names.has(name)) continue
    part.changes.push({
      area: "node",
      resource: `server ${name}`,
      action: "delete",
      diff: ["- it is no longer in the inventory"],
      destructive: true,
      operation: { kind: "delete", of: "servers", id }
    })
  }
  return part
}
