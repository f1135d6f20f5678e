/** DesiredState: what a region wants of Hetzner Cloud, as a pure function of its directory. */
import type { Pool, Region, RegionNode } from "@mcpdeploy/core/region/Region"
import * as Effect from "effect/Effect"
import type { FirewallRule, LoadBalancerService, Subnet } from "./api/Resources.ts"
import type { HetznerConflict } from "./Change.ts"
import { CloudNode, HetznerSettings, RobotNode } from "./HetznerSettings.ts"
import { networkProblems } from "./NetworkProblems.ts"
import { type DesiredSshKey, desiredSshKey } from "./SshKeys.ts"

/** Whose an object is: the label of everything that a region owns. */
export const regionLabel = "mcpdeploy-region"
const poolLabel = "mcpdeploy-pool"

type Labels = Readonly<Record<string, string>>

export interface DesiredServer {
  readonly name: string
  readonly serverType: string
  readonly location: string
  readonly image: string
  readonly labels: Labels
  readonly publicIpv4: string
  readonly privateIp: string
  /** Its placement group's name. */
  readonly placementGroup: string | undefined
}

export interface DesiredFirewall {
  readonly name: string
  readonly selector: string
  readonly rules: ReadonlyArray<FirewallRule>
}

export interface DesiredState {
  readonly region: string
  /** On all that the region owns. */
  readonly labels: Labels
  readonly network: { readonly name: string; readonly range: string; readonly subnets: ReadonlyArray<Subnet> }
  readonly placementGroup: string | undefined
  readonly firewalls: ReadonlyArray<DesiredFirewall>
  /** The firewall whose web rules also name the load balancer. */
  readonly runFirewall: string
  readonly servers: ReadonlyArray<DesiredServer>
  /** Which servers are made with. */
  readonly sshKeys: ReadonlyArray<DesiredSshKey>
  readonly loadBalancer: {
    readonly name: string
    readonly type: string
    readonly location: string
    readonly services: ReadonlyArray<LoadBalancerService>
    /** Names of Cloud servers. They and dedicated ones are reached over the private network. */
    readonly servers: ReadonlyArray<string>
    /** Addresses of dedicated servers in the vSwitch's subnet. */
    readonly addresses: ReadonlyArray<string>
  }
  /** What the region's directory says, and Hetzner cannot have. */
  readonly problems: ReadonlyArray<HetznerConflict>
}

/** Traefik's ports, passed through as they are but for the client's address, which goes before them. Seconds. */
const passedThrough = (port: number): LoadBalancerService => ({
  protocol: "tcp",
  listen_port: port,
  destination_port: port,
  proxyprotocol: true,
  health_check: { protocol: "tcp", port, interval: 15, timeout: 10, retries: 3 }
})

const everywhere = ["0.0.0.0/0", "::/0"]

const incoming = (
  description: string,
  protocol: string,
  sources: ReadonlyArray<string>,
  port?: string
): FirewallRule => ({
  direction: "in",
  protocol,
  ...(port === undefined ? {} : { port }),
  source_ips: sources,
  description
})

/** 80 and 443 for who may reach run nodes. */
export const webRules = (sources: ReadonlyArray<string>): ReadonlyArray<FirewallRule> =>
  sources.length === 0
    ? []
    : ["80", "443"].map((port) => incoming(`port ${port}`, "tcp", [...new Set(sources)].toSorted(), port))

const subnetsOf = ({ network }: HetznerSettings, vswitchId: number | undefined): ReadonlyArray<Subnet> => [
  { type: "cloud", ip_range: network.cloud_subnet, network_zone: network.zone },
  ...(network.vswitch_subnet === undefined || vswitchId === undefined
    ? []
    : [
        {
          type: "vswitch",
          ip_range: network.vswitch_subnet,
          network_zone: network.zone,
          vswitch_id: vswitchId
        }
      ])
]

/** `webSources`: from where vendors reach run nodes. `vswitch`: the number that Robot gave, where the inventory says none. */
export const desiredState = Effect.fn("Hetzner.desiredState")(function* (
  region: Region,
  webSources: ReadonlyArray<string>,
  vswitch?: number
) {
  const settings = yield* region.settings("hetzner", HetznerSettings)
  const cloud = yield* Effect.forEach(region.nodes, (node) =>
    Effect.map(node.settings("hetzner_cloud", CloudNode), (server) => ({ node, server }))
  )
  const robots = yield* Effect.filter(region.nodes, (node) =>
    Effect.map(node.settings("hetzner_robot", RobotNode), (server) => server !== undefined)
  )
  const labels = { [regionLabel]: region.name }
  const name = `mcpdeploy-${region.name}`
  const isRun = ({ pool }: { readonly pool: Pool }) => pool === "run_pool"
  const group = `${name}-run`
  const servers = cloud.flatMap(({ node, server }): ReadonlyArray<DesiredServer> =>
    server === undefined
      ? []
      : [
          {
            name: node.name,
            serverType: server.server_type,
            location: server.location,
            image: settings.image ?? "debian-12",
            labels: { ...labels, [poolLabel]: node.pool },
            publicIpv4: node.address,
            privateIp: node.privateAddress,
            placementGroup: isRun(node) ? group : undefined
          }
        ]
  )
  const runServers = servers.filter(({ placementGroup }) => placementGroup !== undefined)
  const runFirewall = `${name}-run`
  return {
    region: region.name,
    labels,
    network: {
      name,
      range: region.privateRange,
      subnets: subnetsOf(settings, settings.network.vswitch_id ?? vswitch)
    },
    placementGroup: runServers.length === 0 ? undefined : group,
    firewalls: [
      {
        name: `${name}-nodes`,
        selector: `${regionLabel}=${region.name}`,
        rules: [incoming("SSH", "tcp", region.adminRanges, "22"), incoming("ICMP", "icmp", everywhere)]
      },
      {
        name: runFirewall,
        selector: `${regionLabel}=${region.name},${poolLabel}=run_pool`,
        rules: webRules(webSources)
      }
    ],
    runFirewall,
    servers,
    sshKeys: region.sshKeys.map((key) => desiredSshKey(region.name, key)),
    loadBalancer: {
      name,
      ...settings.load_balancer,
      services: [80, 443].map(passedThrough),
      servers: runServers.map((server) => server.name),
      addresses: robots.filter(isRun).map(({ privateAddress }) => privateAddress)
    },
    problems: networkProblems(
      region,
      settings,
      cloud.flatMap(({ node, server }): ReadonlyArray<RegionNode> => (server === undefined ? [] : [node])),
      robots
    )
  } satisfies DesiredState
})
