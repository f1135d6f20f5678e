/** NetworkProblems: what the inventory says about ranges and addresses, and Hetzner's networks cannot have. Pure. */
import { doOverlap, type IpRange, type Ipv4, isInRange, isWithin } from "@mcpdeploy/core/region/Address"
import type { Region, RegionNode } from "@mcpdeploy/core/region/Region"
import type { HetznerConflict } from "./Change.ts"
import { type HetznerSettings, vswitchZone } from "./HetznerSettings.ts"

const numberOf = (address: string): number =>
  address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)

/** A range's first address but one, which is its router's. */
const isRouter = (address: Ipv4, range: IpRange): boolean =>
  numberOf(address) === numberOf(range.split("/")[0] ?? "") + 1

const addressProblem = (
  { privateAddress }: RegionNode,
  subnet: IpRange,
  key: string,
  routed: IpRange
): string | undefined =>
  !isInRange(privateAddress, subnet)
    ? `its private_ip ${privateAddress} is not in hetzner.network.${key}, ${subnet}`
    : isRouter(privateAddress, routed)
      ? `its private_ip ${privateAddress} is that of the router of ${routed}: choose another`
      : undefined

/** `cloud` and `dedicated`: the region's nodes of either kind. */
export const networkProblems = (
  region: Region,
  {
    network: { cloud_subnet: cloudSubnet, vswitch_id: vswitchId, vswitch_subnet: vswitchSubnet, zone }
  }: HetznerSettings,
  cloud: ReadonlyArray<RegionNode>,
  dedicated: ReadonlyArray<RegionNode>
): ReadonlyArray<HetznerConflict> => {
  const inNetwork = (detail: string) => ({ resource: `network mcpdeploy-${region.name}`, detail })
  const ofNode = ({ name }: RegionNode, detail: string | undefined) =>
    detail === undefined ? [] : [{ resource: `server ${name}`, detail }]
  const outside = (key: string, subnet: IpRange) =>
    isWithin(subnet, region.privateRange)
      ? []
      : [inNetwork(`hetzner.network.${key} ${subnet} is not in region_private_range ${region.privateRange}`)]
  const ofCloud = [
    ...outside("cloud_subnet", cloudSubnet),
    ...cloud.flatMap((node) =>
      ofNode(node, addressProblem(node, cloudSubnet, "cloud_subnet", region.privateRange))
    )
  ]
  if (vswitchSubnet === undefined)
    return [
      ...ofCloud,
      ...dedicated.flatMap((node) =>
        ofNode(node, "it is a dedicated server, and hetzner.network.vswitch_subnet says no range for those")
      )
    ]
  return [
    ...ofCloud,
    ...outside("vswitch_subnet", vswitchSubnet),
    ...(doOverlap(cloudSubnet, vswitchSubnet)
      ? [inNetwork(`cloud_subnet ${cloudSubnet} and vswitch_subnet ${vswitchSubnet} overlap`)]
      : []),
    ...(dedicated.length === 0 || vswitchId !== undefined || region.providers.includes("hetzner-robot")
      ? []
      : [
          inNetwork(
            "which vSwitch joins its dedicated servers is not known: name hetzner-robot in region_providers, before hetzner"
          )
        ]),
    ...(zone === vswitchZone
      ? []
      : [inNetwork(`only networks in ${vswitchZone} can be joined to a vSwitch, and the zone is ${zone}`)]),
    ...dedicated.flatMap((node) =>
      ofNode(node, addressProblem(node, vswitchSubnet, "vswitch_subnet", vswitchSubnet))
    )
  ]
}
