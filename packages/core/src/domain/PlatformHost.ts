/** PlatformHost: the host name under which a region serves a public service. */
import { createHash } from "node:crypto"
import * as Schema from "effect/Schema"
import { maxLabelLength, type ServiceTarget } from "./Identity.ts"

/** A DNS name has at most 253 characters (RFC 1035, 2.3.4, less the length bytes). */
const maxNameLength = 253

/** The domain under which a region serves its services, such as `ml.ink`. */
export const PlatformDomain = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(
      /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/,
      {
        expected: "a DNS name in lower case, such as apps.example.com"
      }
    ),
    Schema.isMaxLength(maxNameLength - maxLabelLength - ".".length)
  ),
  Schema.brand("PlatformDomain")
)
export type PlatformDomain = typeof PlatformDomain.Type

/** A host name of the platform: one label under a {@link PlatformDomain}, so that one wildcard certificate covers all. */
export const PlatformHost = Schema.String.pipe(Schema.brand("PlatformHost"))
export type PlatformHost = typeof PlatformHost.Type

/** RFC 4648, in lower case: every character may stand in a DNS label. */
const base32 = "abcdefghijklmnopqrstuvwxyz234567"

/**
 * 80 bits. Two services must not meet by chance, nor by intent: who tries out names of projects until one has the host of
 * another customer's service would need only a day for 50 bits.
 */
export const suffixLength = 16
const suffixBytes = (suffixLength * 5) / 8

const suffixOf = (target: ServiceTarget): string => {
  const hash = createHash("sha256").update(target.key).digest("hex")
  const bits = BigInt(`0x${hash.slice(0, 2 * suffixBytes)}`)
  return Array.from({ length: suffixLength }, (_, index) =>
    base32.charAt(Number((bits >> BigInt(5 * (suffixLength - 1 - index))) & 31n))
  ).join("")
}

/**
 * `{service}-{16 characters of the target's hash}.{domain}`: the same for a target every time, another for another
 * target. The service's name is shortened where the label would be too long.
 */
export const platformHost = (target: ServiceTarget, domain: PlatformDomain): PlatformHost => {
  const service = target.service.slice(0, maxLabelLength - suffixLength - "-".length).replace(/-+$/, "")
  return PlatformHost.make(`${service}-${suffixOf(target)}.${domain}`)
}
