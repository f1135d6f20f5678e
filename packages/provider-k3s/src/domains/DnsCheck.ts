/**
 * DnsCheck: whether a host leads to the region and may have a certificate, asked before an ACME order is spent on it.
 * Otherwise it says which record is wrong, and which would be right.
 */
import { isIPv6 } from "node:net"
import { DnsNotReady, type DnsProblem, type DnsRecord, type DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Caa from "./Caa.ts"
import type { DomainSettings } from "./DomainsConfig.ts"
import { registeredDomain } from "./HostPolicy.ts"
import type { Answer, LookupFailed, NameServers } from "./NameServers.ts"
import { isCloudflare, sameAddress } from "./Proxies.ts"

/** As many aliases as resolvers follow. */
const maxAliases = 8

type Settings = Pick<DomainSettings, "caaIdentity" | "cnameTarget" | "loadBalancerAddresses">

const addressRecord = (name: string, address: string): DnsRecord => ({
  name,
  type: isIPv6(address) ? "AAAA" : "A",
  value: address
})

/** An alias may not stand at a registered domain itself, beside its SOA (RFC 1034, 3.6.2). */
export const recordsToSet = (
  host: string,
  { cnameTarget, loadBalancerAddresses }: Settings
): ReadonlyArray<DnsRecord> =>
  registeredDomain(host) === host && loadBalancerAddresses.length > 0
    ? loadBalancerAddresses.map((address) => addressRecord(host, address))
    : [{ name: host, type: "CNAME", value: cnameTarget }]

/** What the DNS says about a host: its aliases one after the other, and the addresses of the last. */
export interface Resolution {
  readonly aliases: ReadonlyArray<string>
  readonly isLoop: boolean
  readonly addresses: ReadonlyArray<string>
  readonly nameExists: boolean
}

const recordsOf = <A>(answer: Answer<A>): ReadonlyArray<A> =>
  answer._tag === "Records" ? answer.records : []

const resolve = Effect.fnUntraced(function* (
  servers: NameServers,
  host: string
): Effect.fn.Return<Resolution, LookupFailed> {
  const aliases: Array<string> = []
  for (let name = host; ;) {
    const [next] = recordsOf(yield* servers.cname(name))
    if (next === undefined) break
    name = next.toLowerCase().replace(/\.$/, "")
    const isLoop = name === host || aliases.includes(name) || aliases.length >= maxAliases
    aliases.push(name)
    if (isLoop) return { aliases, isLoop, addresses: [], nameExists: true }
  }
  const last = aliases.at(-1) ?? host
  const [a, aaaa] = yield* Effect.all([servers.a(last), servers.aaaa(last)], { concurrency: "unbounded" })
  const isThere = (answer: Answer<string>) => answer._tag === "Records" || answer.nameExists
  return {
    aliases,
    isLoop: false,
    addresses: [...recordsOf(a), ...recordsOf(aaaa)],
    nameExists: isThere(a) || isThere(aaaa)
  }
})

/** What is wrong with where the host leads; undefined when it leads to the region. */
export const judge = (
  host: DomainName,
  { addresses, aliases, isLoop, nameExists }: Resolution,
  settings: Settings
): DnsNotReady | undefined => {
  const toSet = recordsToSet(host, settings)
  const problem = (
    problem: DnsProblem,
    detail: string,
    remove: ReadonlyArray<DnsRecord> = [],
    set: ReadonlyArray<DnsRecord> = toSet
  ) => new DnsNotReady({ host, problem, detail, set, remove })
  const [alias] = aliases
  const last = aliases.at(-1) ?? host
  const ownAlias: ReadonlyArray<DnsRecord> =
    alias === undefined ? [] : [{ name: host, type: "CNAME", value: alias }]
  if (isLoop)
    return problem("AliasLoop", `its aliases never end: ${[host, ...aliases].join(" -> ")}`, ownAlias)
  if (addresses.length === 0) {
    if (alias === undefined)
      return nameExists
        ? problem("NoAddress", "it exists, but has neither an A nor an AAAA nor a CNAME record")
        : problem("NoSuchName", "it does not exist in the DNS")
    return aliases.includes(settings.cnameTarget)
      ? problem("DanglingAlias", `${last}, the platform's own name, has no address at the moment`, [], [])
      : problem("DanglingAlias", `it is an alias of ${last}, which has no address`, ownAlias)
  }
  const proxies = addresses.filter(isCloudflare)
  if (proxies.length > 0)
    return problem(
      "Proxied",
      `Cloudflare's proxy answers for it (${proxies.join(", ")}): set the record to "DNS only" (grey cloud)`
    )
  // The target's addresses are the platform's business; they differ from region to region.
  if (aliases.includes(settings.cnameTarget)) return undefined
  const isOurs = (address: string) => settings.loadBalancerAddresses.some((own) => sameAddress(own, address))
  const wrong = addresses.filter((address) => !isOurs(address))
  if (wrong.length === 0) return undefined
  const wrongRecords = wrong.map((address) => addressRecord(last, address))
  if (wrong.length === addresses.length)
    return alias === undefined
      ? problem("WrongAddress", `it leads to ${wrong.join(", ")}, which is not this region`, wrongRecords)
      : problem("WrongAlias", `it is an alias of ${alias}, which is not this region`, ownAlias)
  return wrong.every((address) => isIPv6(address)) && addresses.some((address) => !isIPv6(address))
    ? problem(
        "StaleIpv6",
        `over IPv6 it leads to ${wrong.join(", ")}, which is not this region`,
        wrongRecords,
        []
      )
    : problem(
        "MixedAddresses",
        `some of its addresses are not this region: ${wrong.join(", ")}`,
        wrongRecords,
        []
      )
}

/** Fails with the first thing that is wrong, and the records that mend it. */
export const check = Effect.fn("DnsCheck.check")(
  function* (
    servers: NameServers,
    host: DomainName,
    settings: Settings
  ): Effect.fn.Return<void, DnsNotReady | LookupFailed> {
    const [resolution, refusal] = yield* Effect.all(
      [resolve(servers, host), Caa.check(servers, host, settings.caaIdentity)],
      { concurrency: "unbounded" }
    )
    const wrong = judge(host, resolution, settings)
    if (wrong !== undefined) return yield* wrong
    if (refusal !== undefined) return yield* new DnsNotReady({ host, problem: "CaaForbids", ...refusal })
  },
  (effect, _servers, host) =>
    Effect.catchTag(effect, "LookupFailed", ({ message, problem }) =>
      Effect.fail(new DnsNotReady({ host, problem, detail: message, set: [], remove: [] }))
    )
)
