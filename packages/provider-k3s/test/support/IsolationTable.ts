/** Who may reach whom, as the product promises it: written down by first and last addresses, and by who is who. */
import { isIPv6 } from "node:net"
import type { Endpoint, Traffic } from "./PolicyEvaluator.ts"

/** First and last address of everything that is not the public internet. */
export const closedRanges: ReadonlyArray<readonly [first: string, last: string]> = [
  ["0.0.0.0", "0.255.255.255"],
  ["10.0.0.0", "10.255.255.255"],
  ["100.64.0.0", "100.127.255.255"],
  ["127.0.0.0", "127.255.255.255"],
  ["169.254.0.0", "169.254.255.255"],
  ["172.16.0.0", "172.31.255.255"],
  ["192.0.0.0", "192.0.0.255"],
  ["192.0.2.0", "192.0.2.255"],
  ["192.88.99.0", "192.88.99.255"],
  ["192.168.0.0", "192.168.255.255"],
  ["198.18.0.0", "198.19.255.255"],
  ["198.51.100.0", "198.51.100.255"],
  ["203.0.113.0", "203.0.113.255"],
  ["224.0.0.0", "255.255.255.255"],
  // Everything before global unicast: unspecified, loopback, mapped IPv4, NAT64, discard.
  ["::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"],
  // Everything after it: unique local (fc00::/7), link-local (fe80::/10), site-local, multicast.
  ["4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
]

/** Public addresses of the region's own, in `ownCidrs`. */
export const ownCidrs = ["95.216.10.0/24", "2a01:4f8:c0c::/48"]
export const ownRanges: typeof closedRanges = [
  ["95.216.10.0", "95.216.10.255"],
  ["2a01:4f8:c0c::", "2a01:4f8:c0c:ffff:ffff:ffff:ffff:ffff"]
]

const groupsOf = (address: string): ReadonlyArray<string> => {
  if (!isIPv6(address)) return address.split(".")
  const [head = "", tail] = address.split("::")
  const groups = (text: string) => (text === "" ? [] : text.split(":"))
  const after = groups(tail ?? "")
  return [
    ...groups(head),
    ...(tail === undefined ? [] : Array.from({ length: 8 - groups(head).length - after.length }, () => "0")),
    ...after
  ]
}
export const toNumber = (address: string): bigint =>
  groupsOf(address).reduce(
    (sum, group) => (isIPv6(address) ? sum * 65_536n + BigInt(`0x${group}`) : sum * 256n + BigInt(group)),
    0n
  )
const toAddress = (number: bigint, six: boolean): string =>
  Array.from({ length: six ? 8 : 4 }, (_, index) => {
    const shift = BigInt((six ? 7 - index : 3 - index) * (six ? 16 : 8))
    const group = (number >> shift) & (six ? 0xff_ffn : 0xffn)
    return six ? group.toString(16) : String(group)
  }).join(six ? ":" : ".")

/** The first and last address of every range, and the ones before and after them. */
export const edges: ReadonlyArray<string> = [...closedRanges, ...ownRanges].flatMap(([first, last]) => {
  const six = isIPv6(first)
  const end = six ? 2n ** 128n : 2n ** 32n
  return [toNumber(first) - 1n, toNumber(first), toNumber(last), toNumber(last) + 1n]
    .filter((number) => number >= 0n && number < end)
    .map((number) => toAddress(number, six))
})

const isPublic = (address: string): boolean =>
  ![...closedRanges, ...ownRanges].some(
    ([first, last]) =>
      isIPv6(first) === isIPv6(address) &&
      toNumber(first) <= toNumber(address) &&
      toNumber(address) <= toNumber(last)
  )

const isCustomer = ({ pod }: Endpoint): boolean =>
  pod !== undefined && pod.namespace.startsWith("dp-") && pod.namespace !== "dp-system"
const isIn = ({ pod }: Endpoint, namespace: string, label: string, value: string): boolean =>
  pod?.namespace === namespace && pod.labels[label] === value
const sameProject = ({ destination, source }: Traffic): boolean =>
  source.pod !== undefined && source.pod.namespace === destination.pod?.namespace

/** The product's promise for one cell. */
export const promised = (traffic: Traffic): boolean => {
  const { destination, port, protocol, source } = traffic
  const out =
    !isCustomer(source) ||
    sameProject(traffic) ||
    (isIn(destination, "kube-system", "k8s-app", "kube-dns") && port === 53 && protocol !== "SCTP") ||
    isPublic(destination.address)
  const into =
    !isCustomer(destination) ||
    sameProject(traffic) ||
    isIn(source, "dp-system", "app.kubernetes.io/name", "traefik")
  return out && into
}
