/** Placeholders: what a region's files still have of an example, and a person has to fill in. Pure. */
import { isIPv4, isIPv6 } from "node:net"
import { IpRange, Ipv4, Ipv6, isInRange } from "@mcpdeploy/core/region/Address"
import type * as Schema from "effect/Schema"

/** What stands where nothing could be an example. */
export const fillIn = "fill-in"

/** Ranges for documentation, which no machine has: RFC 5737, RFC 3849, RFC 9637. */
const documentation = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"].map(
  (range) => IpRange.make(range)
)
/** Names for examples and tests, which nobody has: RFC 2606. */
const exampleDomains = ["example.com", "example.net", "example.org"]
const exampleTopLevels = ["example", "invalid", "test"]

const isExampleAddress = (text: string): boolean => {
  const address = isIPv4(text) ? Ipv4.make(text) : isIPv6(text) ? Ipv6.make(text) : undefined
  return address !== undefined && documentation.some((range) => isInRange(address, range))
}

const isExampleHost = (text: string): boolean => {
  const labels = text.toLowerCase().split(".")
  return (
    exampleDomains.includes(labels.slice(-2).join(".")) ||
    (labels.length > 1 && exampleTopLevels.includes(labels.at(-1) ?? ""))
  )
}

const isPlaceholder = (text: string): boolean =>
  text.includes(fillIn) ||
  (text.match(/[0-9a-f:.]+/gi) ?? []).some(isExampleAddress) ||
  (text.match(/[a-z0-9.-]+/gi) ?? []).some(isExampleHost)

/** A field, and what stands there. */
export interface Placeholder {
  readonly field: ReadonlyArray<string>
  readonly text: string
}

/** All of a file's, in its order. */
export const placeholdersIn = (
  value: Schema.Json,
  field: ReadonlyArray<string> = []
): ReadonlyArray<Placeholder> => {
  if (typeof value === "string") return isPlaceholder(value) ? [{ field, text: value }] : []
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => placeholdersIn(inner, [...field, key]))
}
