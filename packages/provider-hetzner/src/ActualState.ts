/** ActualState: what is in the project now: five reads, and four more where something has to be bought. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { HetznerApi } from "./api/HetznerApi.ts"
import type { HetznerReason } from "./api/HetznerReason.ts"
import type { Firewall, LoadBalancer, Network, PlacementGroup, Server } from "./api/Resources.ts"
import type { DesiredState } from "./DesiredState.ts"
import type { Offer } from "./Offer.ts"

export interface ActualState {
  readonly servers: ReadonlyArray<Server>
  readonly networks: ReadonlyArray<Network>
  readonly firewalls: ReadonlyArray<Firewall>
  readonly placementGroups: ReadonlyArray<PlacementGroup>
  readonly loadBalancers: ReadonlyArray<LoadBalancer>
  /** Undefined where all servers and the load balancer are there. */
  readonly offer: Offer | undefined
}

const readOffer: Effect.Effect<Offer, HetznerReason, HetznerApi> = HetznerApi.use((api) =>
  Effect.all({
    serverTypes: api.serverTypes,
    loadBalancerTypes: api.loadBalancerTypes,
    images: api.images,
    sshKeys: api.sshKeys,
    readAt: Clock.currentTimeMillis
  })
)

/** `known`: an offer that was read just now, and is not read again. */
export const readActualState = Effect.fn("Hetzner.readActualState")(function* (
  desired: DesiredState,
  known?: Offer
): Effect.fn.Return<ActualState, HetznerReason, HetznerApi> {
  const api = yield* HetznerApi
  const found = yield* Effect.all({
    servers: api.servers,
    networks: api.networks,
    firewalls: api.firewalls,
    placementGroups: api.placementGroups,
    loadBalancers: api.loadBalancers
  })
  const lacks = (all: ReadonlyArray<{ readonly name: string }>, name: string) =>
    !all.some((one) => one.name === name)
  const isBuying =
    desired.servers.some(({ name }) => lacks(found.servers, name)) ||
    lacks(found.loadBalancers, desired.loadBalancer.name)
  return { ...found, offer: isBuying ? (known ?? (yield* readOffer)) : undefined }
})

/** The load balancer of a name. */
export const readLoadBalancer = Effect.fn("Hetzner.readLoadBalancer")(function* (
  name: string
): Effect.fn.Return<LoadBalancer | undefined, HetznerReason, HetznerApi> {
  const all = yield* HetznerApi.use(({ loadBalancers }) => loadBalancers)
  return all.find((one) => one.name === name)
})

/** The public addresses of a load balancer, where it has them. */
export const publicAddressOf = ({ public_net: { enabled, ipv4, ipv6 } }: LoadBalancer) =>
  enabled && ipv4.ip !== null ? { ipv4: ipv4.ip, ...(ipv6.ip === null ? {} : { ipv6: ipv6.ip }) } : undefined

/** From where a load balancer reaches its targets: over the network, and only there. */
export const sourcesOf = (balancer: LoadBalancer): ReadonlyArray<string> =>
  balancer.private_net.map(({ ip }) => `${ip}/32`)
