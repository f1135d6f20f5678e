/**
 * AddressRanges: the ranges that Cloudflare's requests come from, as a source for firewalls. What decides who may reach a node is
 * checked before it is believed: no answer of Cloudflare, right or wrong, opens a node to everybody or to nobody.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CloudflareApi } from "./api/CloudflareApi.ts"
import type { CloudflareReason } from "./api/CloudflareReason.ts"

/** The addresses that Cloudflare connects from. */
export interface AddressRanges {
  /** Cloudflare's own digest of them. */
  readonly etag: string
  /** CIDR, in order. */
  readonly ipv4: ReadonlyArray<string>
  readonly ipv6: ReadonlyArray<string>
}

/** What Cloudflare publishes cannot be a firewall's source. The firewall stays as it is. */
export class AddressRangesSuspect extends Schema.TaggedError<AddressRangesSuspect>()("AddressRangesSuspect", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the address ranges that Cloudflare publishes are not used: ${this.detail}; compare with https://www.cloudflare.com/ips`
  }
}

/** The widest ranges that are believed. Cloudflare's own are /12 to /22, and /29 to /32. */
const widest = { ipv4: 10, ipv6: 24 }

const notPublic = new BlockList()
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["224.0.0.0", 3]
] as const)
  notPublic.addSubnet(network, prefix, "ipv4")

const problemOf = (family: "ipv4" | "ipv6", cidr: string): string | undefined => {
  const [address = "", length = "", ...more] = cidr.split("/")
  const prefix = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN
  const known = family === "ipv4" ? isIPv4(address) && prefix <= 32 : isIPv6(address) && prefix <= 128
  if (!known || more.length > 0) return `${JSON.stringify(cidr)} is no ${family} range`
  if (prefix < widest[family]) return `${cidr} is too wide`
  if (family === "ipv4" ? notPublic.check(address) : !address.startsWith("2")) return `${cidr} is not public`
  return undefined
}

/** The published ranges, checked. */
export const fetchAddressRanges = Effect.fn("Cloudflare.fetchAddressRanges")(function* (): Effect.fn.Return<
  AddressRanges,
  CloudflareReason | AddressRangesSuspect,
  CloudflareApi
> {
  const api = yield* CloudflareApi
  const published = yield* api.addressRanges
  const problems = [
    ...published.ipv4_cidrs.map((cidr) => problemOf("ipv4", cidr)),
    ...published.ipv6_cidrs.map((cidr) => problemOf("ipv6", cidr)),
    published.ipv4_cidrs.length === 0 || published.ipv6_cidrs.length === 0 ? "a family has none" : undefined
  ]
  const detail = problems.find((problem) => problem !== undefined)
  if (detail !== undefined) return yield* new AddressRangesSuspect({ detail })
  return {
    etag: published.etag,
    ipv4: published.ipv4_cidrs.toSorted(),
    ipv6: published.ipv6_cidrs.toSorted()
  }
})

const source = "https://api.cloudflare.com/client/v4/ips"
const head = (etag: string) =>
  `# Written by mcpdeploy from ${source} (etag ${etag.replace(/[^\w"-]/g, "")}). Do not edit: it is written anew.\n`

/** Variables of Ansible: `cloudflare_ipv4` and `cloudflare_ipv6`. */
export const renderAnsible = ({ etag, ipv4, ipv6 }: AddressRanges): string => {
  const list = (name: string, ranges: ReadonlyArray<string>) =>
    `${name}:\n${ranges.map((range) => `  - ${range}\n`).join("")}`
  return `---\n${head(etag)}${list("cloudflare_ipv4", ipv4)}${list("cloudflare_ipv6", ipv6)}`
}

/** Definitions of nftables: `$cloudflare_ipv4` and `$cloudflare_ipv6`, for an interval set's elements. */
export const renderNftables = ({ etag, ipv4, ipv6 }: AddressRanges): string => {
  const define = (name: string, ranges: ReadonlyArray<string>) =>
    `define ${name} = {\n${ranges.map((range) => `  ${range},\n`).join("")}}\n`
  return `${head(etag)}${define("cloudflare_ipv4", ipv4)}${define("cloudflare_ipv6", ipv6)}`
}
