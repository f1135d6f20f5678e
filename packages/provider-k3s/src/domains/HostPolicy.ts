/** HostPolicy: which hosts may be a service's own at all. */
import { domainToASCII, domainToUnicode } from "node:url"
import { type DomainName, DomainReserved } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import { parse } from "tldts"
import type { DomainSettings } from "./DomainsConfig.ts"

const isUnder = (host: string, domain: string): boolean => host === domain || host.endsWith(`.${domain}`)

/**
 * The domain that somebody registered, such as `example.co.uk`: by the Public Suffix List, private entries included, as
 * Let's Encrypt counts. undefined for a public suffix itself, and for what is under none.
 */
export const registeredDomain = (host: string): string | undefined => {
  const { domain, isIcann, isPrivate } = parse(host, { allowPrivateDomains: true })
  return domain !== null && (isIcann === true || isPrivate === true) ? domain : undefined
}

/** Fails for the platform's own names, public suffixes, and names that no public certificate is made for. */
export const checkHost = (
  host: DomainName,
  { cnameTarget, platformDomain, reserved }: DomainSettings
): Effect.Effect<void, DomainReserved> => {
  const refused = (detail: string) => Effect.fail(new DomainReserved({ host, detail }))
  if ([platformDomain, cnameTarget, ...reserved].some((domain) => isUnder(host, domain)))
    return refused("it is one of the platform's own names")
  // A certificate authority refuses a label that only looks like punycode: it stays as it is when decoded.
  const isUndecodable = (label: string) => label.startsWith("xn--") && domainToUnicode(label) === label
  if (host.split(".").some(isUndecodable) || domainToASCII(domainToUnicode(host)) !== host)
    return refused("it is no valid international name")
  if (registeredDomain(host) === undefined)
    return refused(
      parse(host, { allowPrivateDomains: true }).domain === null
        ? "it is a public suffix, under which everybody registers names"
        : "its last label is no public top-level domain, so no certificate can be had for it"
    )
  return Effect.void
}
