/** Offer: what Hetzner sells at the moment, and why something that is wanted cannot be had. Pure. */
import type { Image, LoadBalancerType, ServerType, SshKey } from "./api/Resources.ts"

export interface Offer {
  readonly serverTypes: ReadonlyArray<ServerType>
  readonly loadBalancerTypes: ReadonlyArray<LoadBalancerType>
  readonly images: ReadonlyArray<Image>
  /** Those of the project. */
  readonly sshKeys: ReadonlyArray<SshKey>
  /** When this was read, in milliseconds since the epoch. */
  readonly readAt: number
}

interface WantedServer {
  readonly serverType: string
  readonly location: string
  readonly image: string
}

type TypeLocation = ServerType["locations"][number]

const isOver = ({ deprecation }: Pick<TypeLocation, "deprecation">, { readAt }: Offer): boolean =>
  deprecation !== null && deprecation.unavailable_after.getTime() <= readAt

const dateOf = (date: Date): string => date.toISOString().slice(0, 10)

/** Where a type can be ordered. */
const ordersOf = (offer: Offer, type: ServerType): ReadonlyArray<string> =>
  type.locations.filter((one) => one.available && !isOver(one, offer)).map(({ name }) => name)

const mostShown = 6

/** What could be had in the location instead: with as much memory at least, the smallest first. */
const instead = (offer: Offer, location: string, wanted: ServerType | undefined): string => {
  const fit = offer.serverTypes
    .filter(
      (type) =>
        ordersOf(offer, type).includes(location) &&
        (wanted === undefined || (type.architecture === wanted.architecture && type.memory >= wanted.memory))
    )
    .toSorted((a, b) => a.memory - b.memory || a.cores - b.cores || a.name.localeCompare(b.name))
    .slice(0, mostShown)
    .map(({ cores, memory, name }) => `${name} (${cores} cores, ${memory} GB)`)
  return fit.length === 0
    ? `in ${location} nothing of the kind can be ordered`
    : `in ${location} can be ordered: ${fit.join(", ")}`
}

const typeProblem = (offer: Offer, { location, serverType }: WantedServer): string | undefined => {
  const type = offer.serverTypes.find(({ name }) => name === serverType)
  if (type === undefined)
    return `Hetzner has no server type ${serverType}; ${instead(offer, location, undefined)}`
  const orders = ordersOf(offer, type)
  if (orders.includes(location)) return undefined
  const there = type.locations.find(({ name }) => name === location)
  const why =
    there === undefined
      ? "is not offered there"
      : there.deprecation !== null && isOver(there, offer)
        ? `can no longer be ordered there since ${dateOf(there.deprecation.unavailable_after)}`
        : "is sold out there at the moment"
  const elsewhere = orders.length === 0 ? "" : `; ${serverType} can be ordered in ${orders.join(", ")}`
  return `${serverType} in ${location}: it ${why}; ${instead(offer, location, type)}${elsewhere}`
}

const imageProblem = (offer: Offer, { image, serverType }: WantedServer): string | undefined => {
  const architecture = offer.serverTypes.find(({ name }) => name === serverType)?.architecture
  const usable = offer.images.filter((one) => one.status === "available" && one.architecture === architecture)
  return usable.some(({ name }) => name === image)
    ? undefined
    : `Hetzner has no image ${image} for ${architecture} any more; it has ${usable.flatMap(({ name }) => name ?? []).join(", ")}: set hetzner.image`
}

/** Why a server cannot be made, and what could. Undefined where it can. */
export const serverProblem = (offer: Offer, wanted: WantedServer): string | undefined => {
  const problem = typeProblem(offer, wanted)
  return problem === undefined
    ? imageProblem(offer, wanted)
    : `${problem}: set server_type or location of the node`
}

/** Until when a server of this type can be made, where that has an end. */
export const orderableUntil = (offer: Offer, { location, serverType }: WantedServer): string | undefined => {
  const there = offer.serverTypes
    .find(({ name }) => name === serverType)
    ?.locations.find(({ name }) => name === location)
  return there?.deprecation == null ? undefined : dateOf(there.deprecation.unavailable_after)
}

/** Why a load balancer cannot be made, and what could. Undefined where it can. */
export const loadBalancerProblem = (
  offer: Offer,
  { location, type }: { readonly location: string; readonly type: string }
): string | undefined => {
  const orderable = offer.loadBalancerTypes
    .filter(
      ({ deprecation = null, prices }) =>
        prices.some((price) => price.location === location) && !isOver({ deprecation }, offer)
    )
    .map(({ name }) => name)
  return orderable.includes(type)
    ? undefined
    : `a load balancer ${type} cannot be ordered in ${location}, where there is ${orderable.join(", ") || "none"}: set hetzner.load_balancer`
}
