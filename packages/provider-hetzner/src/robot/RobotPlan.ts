/** What a region wants of Robot, and the difference to what is there: pure functions. */
import type { Region } from "@mcpdeploy/core/region/Region"
import type { PartPlan, RegionChange } from "@mcpdeploy/core/region/RegionInfrastructure"
import * as Effect from "effect/Effect"
import { HetznerSettings, RobotNode } from "../HetznerSettings.ts"
import type { FirewallRules, RobotFirewall, RobotRule, RobotServer, VSwitch } from "./RobotApi.ts"

/** Robot takes no more in one direction. */
export const maxRules = 10
/**
 * Local ports of connections from this machine: Linux takes its own from 32768 on, but a connection of a pod leaves by flannel's
 * masquerade, whose `--random-fully` takes any from 1024 on (Linux, net/netfilter/nf_nat_core.c).
 */
const answerPorts = "1024-65535"

/** A dedicated server as the region wants it. */
export interface DesiredDedicated {
  readonly name: string
  readonly number: number
  readonly address: string
  readonly rules: FirewallRules
}

/** What a region wants of Robot. */
export interface DesiredRobot {
  readonly vswitch: {
    readonly name: string
    readonly vlan: number | undefined
    /** As the inventory says. */
    readonly id: number | undefined
  }
  readonly servers: ReadonlyArray<DesiredDedicated>
}

const accept = (name: string, fields: Omit<RobotRule, "name" | "action"> = {}): RobotRule => ({
  name,
  ...fields,
  action: "accept"
})

/**
 * Robot's firewall keeps no state, filters at the switch port before the node, and has ten rules: enough for what no node answers, not for
 * Cloudflare's ranges. So ports 80 and 443 of run nodes are open here, and the node's own firewall decides who reaches them.
 */
export const rulesOf = (region: Region, isRun: boolean): FirewallRules => {
  const admins = region.adminRanges.filter((range) => !range.includes(":"))
  return {
    input: [
      accept("private network", { ip_version: "ipv4", src_ip: region.privateRange }),
      accept("icmp", { ip_version: "ipv4", protocol: "icmp" }),
      ...admins.map((range, index) =>
        accept(`ssh ${index + 1}`, { ip_version: "ipv4", src_ip: range, protocol: "tcp", dst_port: "22" })
      ),
      ...(isRun ? ["80", "443"] : []).map((port) =>
        accept(`port ${port}`, { ip_version: "ipv4", protocol: "tcp", dst_port: port })
      ),
      accept("tcp answers", {
        ip_version: "ipv4",
        protocol: "tcp",
        dst_port: answerPorts,
        tcp_flags: "ack"
      }),
      accept("udp answers", { ip_version: "ipv4", protocol: "udp", dst_port: answerPorts })
    ],
    output: [accept("all")]
  }
}

/** What a region wants of Robot, by its directory. */
export const desiredRobot = Effect.fn("Robot.desired")(function* (region: Region) {
  const { network } = yield* region.settings("hetzner", HetznerSettings)
  const servers = yield* Effect.forEach(region.nodes, (node) =>
    Effect.map(node.settings("hetzner_robot", RobotNode), (robot) =>
      robot === undefined
        ? []
        : [
            {
              name: node.name,
              number: robot.server_number,
              address: node.address,
              rules: rulesOf(region, node.pool === "run_pool")
            }
          ]
    )
  )
  return {
    vswitch: { name: `mcpdeploy-${region.name}`, vlan: network.vlan, id: network.vswitch_id },
    servers: servers.flat()
  } satisfies DesiredRobot
})

/** What is there at Robot. */
export interface ActualRobot {
  readonly servers: ReadonlyArray<RobotServer>
  /** Those of the wanted VLAN, oldest first. */
  readonly vswitches: ReadonlyArray<VSwitch>
  /** By the server's number. */
  readonly firewalls: ReadonlyMap<number, RobotFirewall>
}

/** The one call that makes a change. */
export type RobotOperation =
  | { readonly kind: "createVSwitch"; readonly name: string; readonly vlan: number }
  | { readonly kind: "cancelVSwitch"; readonly id: number }
  | { readonly kind: "addServers"; readonly id: number; readonly numbers: ReadonlyArray<number> }
  | { readonly kind: "removeServers"; readonly id: number; readonly numbers: ReadonlyArray<number> }
  | { readonly kind: "setFirewall"; readonly server: number; readonly rules: FirewallRules }

/** A change and the call that makes it. */
export interface RobotChange extends Omit<RegionChange, "provider"> {
  /** Undefined: it needs what another change of the same plan makes first. */
  readonly operation: RobotOperation | undefined
}

/** What has to change, and what stands in the way. */
export interface RobotPlan {
  readonly changes: ReadonlyArray<RobotChange>
  readonly conflicts: PartPlan["conflicts"]
}

const fields = ["ip_version", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "tcp_flags"] as const

/** As a person reads it; equal for rules that filter alike. */
const ruleText = (rule: RobotRule): string =>
  [
    rule.action,
    ...fields.flatMap((field) => {
      const value = rule[field] ?? ""
      return value === "" ? [] : [`${field} ${value}`]
    })
  ].join(" ")

const textsOf = ({
  input,
  output
}: {
  readonly input: ReadonlyArray<RobotRule>
  readonly output?: ReadonlyArray<RobotRule>
}) => [
  ...input.map((rule) => `in ${ruleText(rule)}`),
  ...(output ?? []).map((rule) => `out ${ruleText(rule)}`)
]

/** The order of rules matters: the first that matches decides. */
const firewallDiff = (actual: RobotFirewall, rules: FirewallRules): ReadonlyArray<string> => {
  const before = [
    `status ${actual.status}`,
    ...(actual.filter_ipv6 === true ? ["filters IPv6"] : []),
    ...(actual.whitelist_hos ? [] : ["Hetzner's services have no access"]),
    ...textsOf(actual.rules)
  ]
  const after = ["status active", ...textsOf(rules)]
  if (before.join("\n") === after.join("\n")) return []
  const lines = [
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`)
  ]
  return lines.length > 0 ? lines : ["~ the order of its rules"]
}

const planVSwitch = (
  { servers, vswitch: wanted }: DesiredRobot,
  actual: ActualRobot,
  changes: Array<RobotChange>,
  conflicts: Array<PartPlan["conflicts"][number]>
): void => {
  const resource = `vSwitch ${wanted.name}`
  if (wanted.vlan === undefined) {
    conflicts.push({
      resource,
      detail: "the inventory does not say its VLAN: write hetzner.network.vlan, of 4000 to 4091"
    })
    return
  }
  const [found, ...others] = actual.vswitches
  const members = (
    more: ReadonlyArray<DesiredDedicated>,
    id: number | undefined
  ): ReadonlyArray<RobotChange> =>
    more.length === 0
      ? []
      : [
          {
            area: "network",
            action: "update",
            resource: `${resource} servers`,
            diff: more.map(({ name, number }) => `+ ${name} (${number})`),
            destructive: false,
            operation:
              id === undefined
                ? undefined
                : { kind: "addServers", id, numbers: more.map(({ number }) => number) }
          }
        ]
  if (found === undefined) {
    if (wanted.id !== undefined) {
      conflicts.push({
        resource,
        detail: `the inventory says that it is ${wanted.id}, and the account has none with VLAN ${wanted.vlan}: remove hetzner.network.vswitch_id, or put its VLAN right`
      })
      return
    }
    changes.push({
      area: "network",
      action: "create",
      resource,
      diff: [`+ VLAN ${wanted.vlan}`],
      destructive: false,
      operation: { kind: "createVSwitch", name: wanted.name, vlan: wanted.vlan }
    })
    changes.push(...members(servers, undefined))
    return
  }
  if (wanted.id !== undefined && wanted.id !== found.id) {
    conflicts.push({
      resource,
      detail: `the inventory says that it is ${wanted.id}, and the vSwitch of VLAN ${wanted.vlan} is ${found.id}: put hetzner.network.vswitch_id right`
    })
    return
  }
  if (found.name !== wanted.name) {
    conflicts.push({
      resource,
      detail: `VLAN ${wanted.vlan} is that of the vSwitch ${found.name} (${found.id}): choose another, or rename that one in Robot if it is the region's`
    })
    return
  }
  // Robot gives a name and a VLAN twice: two runs at one moment may each have made one. The older is kept.
  for (const { id, name, server } of others) {
    if (name !== wanted.name || server.length > 0) {
      conflicts.push({
        resource,
        detail:
          name === wanted.name
            ? `vSwitch ${id} has the same name and VLAN, and servers: move them to ${found.id} in Robot, and cancel it`
            : `vSwitch ${name} (${id}) has the same VLAN: give the region another, hetzner.network.vlan`
      })
      continue
    }
    changes.push({
      area: "network",
      action: "delete",
      resource: `${resource} double ${id}`,
      diff: ["- empty"],
      destructive: false,
      operation: { kind: "cancelVSwitch", id }
    })
  }
  for (const { server_number: number, status } of found.server) {
    const name = servers.find((server) => server.number === number)?.name
    if (status === "failed")
      conflicts.push({
        resource: `${resource} server ${name ?? number}`,
        detail: "Robot could not join it: remove it from the vSwitch in Robot, then run this again"
      })
    if (name === undefined)
      changes.push({
        area: "network",
        action: "delete",
        resource: `${resource} server ${number}`,
        diff: [`- ${number}, which is no node of the inventory`],
        destructive: true,
        operation: { kind: "removeServers", id: found.id, numbers: [number] }
      })
  }
  const present = new Set(found.server.map(({ server_number }) => server_number))
  changes.push(
    ...members(
      servers.filter(({ number }) => !present.has(number)),
      found.id
    )
  )
}

/** The difference between what is wanted and what is there. */
export const planRobot = (desired: DesiredRobot, actual: ActualRobot): RobotPlan => {
  const changes: Array<RobotChange> = []
  const conflicts: Array<PartPlan["conflicts"][number]> = []
  if (desired.servers.length === 0) return { changes, conflicts }
  for (const { address, name, number } of desired.servers) {
    const server = actual.servers.find(({ server_number }) => server_number === number)
    const wrong =
      server === undefined
        ? "is not one of the account"
        : server.cancelled
          ? "is cancelled"
          : server.server_ip !== address
            ? `has the address ${server.server_ip ?? "none"}, and the inventory says ${address}`
            : undefined
    if (wrong !== undefined)
      conflicts.push({
        resource: `server ${name}`,
        detail: `server ${number} ${wrong}: put its server_number right`
      })
  }
  // A wrong number is another customer's machine, or another region's: nothing is planned on it.
  if (conflicts.length > 0) return { changes, conflicts }
  planVSwitch(desired, actual, changes, conflicts)
  for (const { name, number, rules } of desired.servers) {
    const resource = `firewall of ${name}`
    const firewall = actual.firewalls.get(number)
    if (rules.input.length > maxRules) {
      conflicts.push({
        resource,
        detail: `it needs ${rules.input.length} rules, and Robot takes ${maxRules}: name fewer IPv4 ranges in region_admin_ranges, such as a bastion host's`
      })
    } else if (firewall !== undefined) {
      const diff = firewallDiff(firewall, rules)
      if (diff.length > 0)
        changes.push({
          area: "firewall",
          action: firewall.status === "disabled" ? "create" : "update",
          resource,
          diff,
          destructive: false,
          operation: { kind: "setFirewall", server: number, rules }
        })
    }
  }
  return { changes, conflicts }
}
