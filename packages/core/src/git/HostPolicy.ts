/**
 * Which hosts a repository may be on. A URL comes from a customer: it must not lead to the cluster's own services or to
 * a cloud's metadata, by whatever name, notation or DNS answer. The name is resolved here, once; git is told to use
 * these addresses and no others, so that a second DNS answer changes nothing.
 */
import { lookup } from "node:dns/promises"
import { BlockList, isIP } from "node:net"
import * as Effect from "effect/Effect"
import {
  GitFailed,
  type GitReason,
  HostNotAllowed,
  HostUnreachable,
  TransportNotAllowed
} from "./GitReason.ts"

/** IANA's special-purpose registries (RFC 6890 and updates), and the IPv6 ranges that embed an IPv4 address. */
const notPublic = new BlockList()
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
] as const)
  notPublic.addSubnet(network, prefix, "ipv4")
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20]
] as const)
  notPublic.addSubnet(network, prefix, "ipv6")
/** The only range of IPv6 from which public addresses are given out. */
const globalUnicast = new BlockList()
globalUnicast.addSubnet("2000::", 3, "ipv6")

/** Whether an address is one of the public internet. */
export const isPublicAddress = (address: string): boolean => {
  switch (isIP(address)) {
    case 4:
      return !notPublic.check(address, "ipv4")
    case 6:
      return globalUnicast.check(address, "ipv6") && !notPublic.check(address, "ipv6")
    default:
      return false
  }
}

const defaultPorts: Readonly<Record<string, string>> = { "https:": "443", "http:": "80" }

export interface HostPolicy {
  readonly allowFile: boolean
  /** Hosts (`host` or `host:port`) that may be at an address which is not public. */
  readonly privateHosts: ReadonlyArray<string>
}

/** Whether a URL's host is one of those that may be at an address which is not public. */
export const mayBePrivate = (policy: HostPolicy, url: URL): boolean =>
  policy.privateHosts.some((host) => host === url.hostname || host === url.host)

/**
 * Checks where a URL leads. Returns git's `http.curloptResolve` setting, which pins the host to the checked addresses;
 * undefined where nothing has to be pinned.
 */
export const checkHost = Effect.fnUntraced(function* (
  url: URL,
  policy: HostPolicy
): Effect.fn.Return<string | undefined, GitReason> {
  if (url.protocol === "file:") {
    return policy.allowFile ? undefined : yield* new TransportNotAllowed({ protocol: "file" })
  }
  const port = url.port === "" ? defaultPorts[url.protocol] : url.port
  if (port === undefined) return yield* new TransportNotAllowed({ protocol: url.protocol.replace(/:$/, "") })
  const isPrivate = mayBePrivate(policy, url)
  const literal = url.hostname.replace(/^\[|\]$/g, "")
  if (isIP(literal) !== 0) {
    return isPrivate || isPublicAddress(literal)
      ? undefined
      : yield* new HostNotAllowed({ host: url.host, address: literal })
  }
  const addresses = yield* Effect.tryPromise({
    try: () => lookup(url.hostname, { all: true }),
    catch: (error) => new HostUnreachable({ detail: `${url.hostname} does not resolve (${codeOf(error)})` })
  })
  if (addresses.length === 0) return yield* new GitFailed({ detail: `${url.hostname} has no address` })
  const refused = isPrivate ? undefined : addresses.find(({ address }) => !isPublicAddress(address))
  if (refused !== undefined)
    return yield* new HostNotAllowed({ host: url.hostname, address: refused.address })
  const list = addresses.map(({ address, family }) => (family === 6 ? `[${address}]` : address))
  return `${url.hostname}:${port}:${list.join(",")}`
})

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "unknown error"
