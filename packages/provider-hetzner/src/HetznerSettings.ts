/** HetznerSettings: what a region, and each of its nodes, says about Hetzner. */
import { IpRange } from "@mcpdeploy/core/region/Address"
import * as Schema from "effect/Schema"

/** Locations of Hetzner Cloud, and the zone that each one's networks are in: https://docs.hetzner.com/cloud/networks/faq */
export const networkZones: Readonly<Record<string, string>> = {
  fsn1: "eu-central",
  nbg1: "eu-central",
  hel1: "eu-central",
  ash: "us-east",
  hil: "us-west",
  sin: "ap-southeast"
}
/** The only zone whose networks can be joined to a vSwitch (the same page). */
export const vswitchZone = "eu-central"

/** What a region says about Hetzner, under `hetzner` of its variables. */
export const HetznerSettings = Schema.Struct({
  network: Schema.Struct({
    /** Such as `eu-central`. */
    zone: Schema.String,
    /** Of Cloud servers and the load balancer. */
    cloud_subnet: IpRange,
    /** Of dedicated servers, over the vSwitch. */
    vswitch_subnet: Schema.optionalKey(IpRange),
    /** The vSwitch's VLAN, which the role private_network sets on dedicated servers. */
    vlan: Schema.optionalKey(
      Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 4000, maximum: 4091 })))
    ),
    /** The vSwitch's number in Robot; told by Robot where the region's providers name it. */
    vswitch_id: Schema.optionalKey(Schema.Int)
  }),
  load_balancer: Schema.Struct({
    /** Such as `lb11`. */
    type: Schema.String,
    /** Such as `fsn1`. */
    location: Schema.String
  }),
  /** Of servers that are created; `debian-12` when absent. */
  image: Schema.optionalKey(Schema.String)
})
export type HetznerSettings = typeof HetznerSettings.Type

/** `hetzner_cloud` of a node. */
export const CloudNode = Schema.Struct({ server_type: Schema.String, location: Schema.String })
export type CloudNode = typeof CloudNode.Type

/** `hetzner_robot` of a node. */
export const RobotNode = Schema.Struct({ server_number: Schema.Int })
