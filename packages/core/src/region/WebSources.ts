/**
 * WebSources: the file of the inventory from which the firewall role knows who may reach ports 80 and 443 of a run node, and the role
 * traefik whom of them to believe about the client's address. It is made of what the vendors say, so it comes last.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { IpRange } from "./Address.ts"
import { failedAt, type RegionFacts, type RegionPart } from "./RegionInfrastructure.ts"

const provider = "inventory"
/** Who may reach run nodes' web ports, as the firewall role reads it, in a region's directory. */
export const webSourcesFile = "inventory/group_vars/all/web_sources.yml"

const head = `---
# Written by \`mcpdeploy region apply\`: from where ports 80 and 443 of run nodes are reached, and who of them says the client's address
# by PROXY protocol or in X-Forwarded-For. Do not edit.
`

const listOf = (name: string, ranges: ReadonlyArray<string>): string =>
  ranges.length === 0 ? `${name}: []\n` : `${name}:\n${ranges.map((range) => `  - "${range}"\n`).join("")}`

const sorted = (ranges: ReadonlyArray<IpRange> = []): ReadonlyArray<string> =>
  [...new Set<string>(ranges)].toSorted()

type Sources = Pick<RegionFacts, "webSources" | "proxyProtocolSources" | "httpProxySources">

/** Variables of Ansible. */
export const renderWebSources = (sources: Sources): string => {
  const web = sorted(sources.webSources)
  const lists = {
    region_web_sources_ipv4: web.filter((range) => !range.includes(":")),
    region_web_sources_ipv6: web.filter((range) => range.includes(":")),
    region_proxy_protocol_sources: sorted(sources.proxyProtocolSources),
    region_http_proxy_sources: sorted(sources.httpProxySources)
  }
  return `${head}${Object.entries(lists)
    .map(([name, ranges]) => listOf(name, ranges))
    .join("")}`
}

const named: ReadonlyMap<string | undefined, string> = new Map([
  ["region_proxy_protocol_sources", "PROXY protocol from "],
  ["region_http_proxy_sources", "X-Forwarded-For from "]
])

/** One entry for each line of a list, as a change shows it. */
const entries = (text: string): ReadonlySet<string> => {
  const found = new Set<string>()
  let name: string | undefined
  for (const line of text.split("\n")) {
    name = /^(\w+):/.exec(line)?.[1] ?? name
    const range = /^ {2}- "(.+)"$/.exec(line)?.[1]
    if (range !== undefined) found.add(`${named.get(name) ?? ""}${range}`)
  }
  return found
}

/** Who may reach the web's ports, of {@link webSourcesFile}'s text. */
export const webSourcesIn = (text: string): ReadonlySet<string> =>
  new Set([...entries(text)].filter((entry) => ![...named.values()].some((kind) => entry.startsWith(kind))))

/** The ranges that a node's own ruleset lets in: of the sets `web4` and `web6` of the role `firewall`. */
export const webSourcesOf = (ruleset: string): ReadonlySet<string> =>
  new Set(
    [...ruleset.matchAll(/^ *set web[46] \{([^}]*)\{([^}]*)\}/gm)].flatMap(([, , elements = ""]) =>
      elements.split(",").flatMap((each) => each.trim() || [])
    )
  )

/** The part of a region that is its own directory. */
export const webSourcesPart = Effect.fn("webSourcesPart")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(directory, webSourcesFile)
  const failed = (error: { readonly message: string }) =>
    failedAt(provider)({ _tag: "FileFailed", message: `${file}: ${error.message}`, retryable: false })
  const read = fs.readFileString(file).pipe(
    Effect.catchIf(
      (error) => error.reason._tag === "NotFound",
      () => Effect.undefined
    ),
    Effect.mapError(failed)
  )
  const changesFor = Effect.fnUntraced(function* (known: RegionFacts) {
    const before = yield* read
    const after = renderWebSources(known)
    if (before === after) return []
    const [old, now] = [entries(before ?? ""), entries(after)]
    return [
      {
        area: "inventory" as const,
        action: before === undefined ? ("create" as const) : ("update" as const),
        resource: `file ${webSourcesFile}`,
        diff: [
          ...[...old].filter((range) => !now.has(range)).map((range) => `- ${range}`),
          ...[...now].filter((range) => !old.has(range)).map((range) => `+ ${range}`)
        ],
        destructive: false
      }
    ]
  })
  return {
    provider,
    facts: Effect.succeed({}),
    plan: (known) => Effect.map(changesFor(known), (changes) => ({ changes, conflicts: [] })),
    apply: Effect.fnUntraced(function* (known) {
      const made = yield* changesFor(known)
      if (made.length > 0) {
        // Written beside, then renamed: Ansible never reads half of it.
        const whole = `${file}.new`
        yield* fs.makeDirectory(path.dirname(file), { recursive: true }).pipe(Effect.mapError(failed))
        yield* fs.writeFileString(whole, renderWebSources(known)).pipe(Effect.mapError(failed))
        yield* fs.rename(whole, file).pipe(Effect.mapError(failed))
      }
      return { made, left: [] }
    })
  } satisfies RegionPart
})
