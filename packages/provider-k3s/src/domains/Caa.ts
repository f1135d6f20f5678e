/** Caa: whether the DNS lets the certificate authority issue (RFC 8659), over HTTP-01 (RFC 8657). */
import type { CaaRecord } from "node:dns"
import type { DnsRecord } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import type { LookupFailed, NameServers } from "./NameServers.ts"

/** The properties that a certificate authority has to know (RFC 8659, 4; RFC 9495). */
const known = new Set([
  "critical",
  "issue",
  "issuewild",
  "iodef",
  "contactemail",
  "contactphone",
  "issuemail"
])
const criticalFlag = 128

/** A CAA set that forbids, and what mends it. */
export interface CaaRefusal {
  readonly detail: string
  readonly set: ReadonlyArray<DnsRecord>
  readonly remove: ReadonlyArray<DnsRecord>
}

interface Issue {
  readonly issuer: string
  readonly parameters: ReadonlyMap<string, string>
}

/** `issuer; name=value; …` */
export const parseIssue = (value: string): Issue => {
  const [issuer = "", ...rest] = value.split(";").map((part) => part.trim())
  return {
    issuer: issuer.toLowerCase().replace(/\.$/, ""),
    parameters: new Map(
      rest
        .filter((part) => part !== "")
        .map((part) => {
          const at = part.indexOf("=")
          return at < 0
            ? [part.toLowerCase(), ""]
            : [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()]
        })
    )
  }
}

const permits = (value: string, identity: string): boolean => {
  const { issuer, parameters } = parseIssue(value)
  const methods = parameters.get("validationmethods")
  return (
    issuer === identity &&
    (methods === undefined || methods.split(",").some((method) => method.trim() === "http-01"))
  )
}

/** What the set at `name` says about a certificate for one host (not a wildcard) from `identity`. */
export const judge = (
  name: string,
  records: ReadonlyArray<CaaRecord>,
  identity: string
): CaaRefusal | undefined => {
  const allow: DnsRecord = { name, type: "CAA", value: `0 issue "${identity}"` }
  const unknown = records.flatMap((record) =>
    (record.critical & criticalFlag) === 0 ? [] : Object.keys(record).filter((key) => !known.has(key))
  )
  if (unknown.length > 0)
    return {
      detail: `the CAA record of ${name} has a critical property that no certificate authority knows: ${unknown.join(", ")}`,
      set: [],
      remove: unknown.map((property) => ({ name, type: "CAA", value: `${criticalFlag} ${property}` }))
    }
  const issues = records.flatMap(({ issue }) => (issue === undefined ? [] : [issue]))
  if (issues.length === 0 || issues.some((issue) => permits(issue, identity))) return undefined
  return {
    detail: `the CAA record of ${name} does not let ${identity} issue certificates over http-01 (it says ${issues.map((issue) => JSON.stringify(issue)).join(", ")})`,
    set: [allow],
    remove: []
  }
}

/** The first set from `host` towards the root decides; an empty one is none (RFC 8659, 3). */
export const check = Effect.fnUntraced(function* (
  servers: NameServers,
  host: string,
  identity: string
): Effect.fn.Return<CaaRefusal | undefined, LookupFailed> {
  for (let name = host; name !== ""; name = name.includes(".") ? name.slice(name.indexOf(".") + 1) : "") {
    const answer = yield* servers.caa(name)
    if (answer._tag === "Records" && answer.records.length > 0) return judge(name, answer.records, identity)
  }
  return undefined
})
