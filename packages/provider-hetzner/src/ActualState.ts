/** ActualState: what is in the project now: five reads. */
import * as Effect from "effect/Effect"
import { HetznerApi } from "./api/HetznerApi.ts"
import type { HetznerReason } from "./api/HetznerReason.ts"
import type { Firewall, LoadBalancer, Network, PlacementGroup, Server } from "./api/Resources.ts"

export interface ActualState {
  readonly servers: ReadonlyArray<Server>
  readonly networks: ReadonlyArray<Network>
  readonly firewalls: ReadonlyArray<Firewall>
  readonly placementGroups: ReadonlyArray<PlacementGroup>
  readonly loadBalancers: ReadonlyArray<LoadBalancer>
}

export const readActualState: Effect.Effect<ActualState, HetznerReason, HetznerApi> = HetznerApi.use((api) =>
  Effect.all({
    servers: api.servers,
    networks: api.networks,
    firewalls: api.firewalls,
    placementGroups: api.placementGroups,
    loadBalancers: api.loadBalancers
  })
)

/** The public addresses of a load balancer, where it has them. */
export const publicAddressOf = ({ public_net: { enabled, ipv4, ipv6 } }: LoadBalancer) =>
  enabled && ipv4.ip !== null ? { ipv4: ipv4.ip, ...(ipv6.ip === null ? {} : { ipv6: ipv6.ip }) } : undefined

/** From where a load balancer reaches its targets: dedicated servers publicly, Cloud servers over the network. */
export const sourcesOf = (balancer: LoadBalancer): ReadonlyArray<string> => {
  const { ipv4, ipv6 } = publicAddressOf(balancer) ?? {}
  return [
    ...(ipv4 === undefined ? [] : [`${ipv4}/32`]),
    ...(ipv6 === undefined ? [] : [`${ipv6}/128`]),
    ...balancer.private_net.map(({ ip }) => `${ip}/32`)
  ]
}
