/** Address: IP addresses and ranges of a region, of both families. */
import { BlockList, isIPv4, isIPv6 } from "node:net"
import * as Schema from "effect/Schema"

/** An IPv4 address. */
export const Ipv4 = Schema.String.pipe(
  Schema.check(Schema.makeFilter((text: string) => isIPv4(text), { expected: "an IPv4 address" })),
  Schema.brand("Ipv4")
)
export type Ipv4 = typeof Ipv4.Type

/** An IPv6 address. */
export const Ipv6 = Schema.String.pipe(
  Schema.check(Schema.makeFilter((text: string) => isIPv6(text), { expected: "an IPv6 address" })),
  Schema.brand("Ipv6")
)
export type Ipv6 = typeof Ipv6.Type

const isRange = (text: string): boolean => {
  const [address = "", length = "", ...more] = text.split("/")
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
  return more.length === 0 && /^(0|[1-9]\d{0,2})$/.test(length) && Number(length) <= bits
}

/** CIDR notation (RFC 4632, RFC 4291 2.3), such as `10.0.0.0/16`. */
export const IpRange = Schema.String.pipe(
  Schema.check(Schema.makeFilter(isRange, { expected: "a range such as 10.0.0.0/16" })),
  Schema.brand("IpRange")
)
export type IpRange = typeof IpRange.Type

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv4(address) ? "ipv4" : "ipv6")

const networkOf = (range: IpRange): readonly [address: string, bits: number] => {
  const [address = "", bits = ""] = range.split("/")
  return [address, Number(bits)]
}

/** Whether an address is in a range of its family. */
export const isInRange = (address: Ipv4 | Ipv6, range: IpRange): boolean => {
  const [network, bits] = networkOf(range)
  if (familyOf(network) !== familyOf(address)) return false
  const list = new BlockList()
  list.addSubnet(network, bits, familyOf(network))
  return list.check(address, familyOf(address))
}

const startsIn = (range: IpRange, other: IpRange): boolean => {
  const [network] = networkOf(range)
  return isInRange(isIPv4(network) ? Ipv4.make(network) : Ipv6.make(network), other)
}

/** Whether all of a range is in another one. */
export const isWithin = (range: IpRange, other: IpRange): boolean =>
  startsIn(range, other) && networkOf(range)[1] >= networkOf(other)[1]

/** Whether two ranges have an address in common. */
export const doOverlap = (a: IpRange, b: IpRange): boolean => startsIn(a, b) || startsIn(b, a)
