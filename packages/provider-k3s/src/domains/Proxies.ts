/** Proxies: addresses of proxies that answer in a region's place, so that HTTP-01 and TLS do not reach it. */
import { BlockList, isIPv6 } from "node:net"

/** Published at https://www.cloudflare.com/ips/; the last change was in 2023. */
const cloudflare = [
  "173.245.48.0/20",
  "103.21.244.0/22",
  "103.22.200.0/22",
  "103.31.4.0/22",
  "141.101.64.0/18",
  "108.162.192.0/18",
  "190.93.240.0/20",
  "188.114.96.0/20",
  "197.234.240.0/22",
  "198.41.128.0/17",
  "162.158.0.0/15",
  "104.16.0.0/13",
  "104.24.0.0/14",
  "172.64.0.0/13",
  "131.0.72.0/22",
  "2400:cb00::/32",
  "2606:4700::/32",
  "2803:f800::/32",
  "2405:b500::/32",
  "2405:8100::/32",
  "2a06:98c0::/29",
  "2c0f:f248::/32"
]

const ranges = new BlockList()
for (const range of cloudflare) {
  const [address = "", bits = ""] = range.split("/")
  ranges.addSubnet(address, Number(bits), isIPv6(address) ? "ipv6" : "ipv4")
}

export const isCloudflare = (address: string): boolean =>
  ranges.check(address, isIPv6(address) ? "ipv6" : "ipv4")

/** Whether two texts are the same address: an IPv6 address has many. */
export const sameAddress = (one: string, other: string): boolean => {
  if (isIPv6(one) !== isIPv6(other)) return false
  const family = isIPv6(one) ? "ipv6" : "ipv4"
  const list = new BlockList()
  list.addAddress(one, family)
  return list.check(other, family)
}
