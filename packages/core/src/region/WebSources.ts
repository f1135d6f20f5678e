/**
 * WebSources: the file of the inventory from which the firewall role knows who may reach ports 80 and 443 of a run node. It is made
 * of what the vendors say, so it comes last.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { IpRange } from "./Address.ts"
import { failedAt, type RegionFacts, type RegionPart } from "./RegionInfrastructure.ts"

const provider = "inventory"
export const webSourcesFile = "inventory/group_vars/all/web_sources.yml"

const head = `---
# Written by \`mcpdeploy region apply\`: from where ports 80 and 443 of run nodes are reached. Do not edit.
`

const listOf = (name: string, ranges: ReadonlyArray<string>): string =>
  ranges.length === 0 ? `${name}: []\n` : `${name}:\n${ranges.map((range) => `  - "${range}"\n`).join("")}`

/** Variables of Ansible: `region_web_sources_ipv4` and `region_web_sources_ipv6`. */
export const renderWebSources = (sources: ReadonlyArray<IpRange>): string => {
  const sorted = [...new Set<string>(sources)].toSorted()
  return `${head}${listOf(
    "region_web_sources_ipv4",
    sorted.filter((range) => !range.includes(":"))
  )}${listOf(
    "region_web_sources_ipv6",
    sorted.filter((range) => range.includes(":"))
  )}`
}

const entries = (text: string): ReadonlySet<string> =>
  new Set(text.split("\n").flatMap((line) => /^ {2}- "(.+)"$/.exec(line)?.[1] ?? []))

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
    const after = renderWebSources(known.webSources ?? [])
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
        yield* fs
          .writeFileString(whole, renderWebSources(known.webSources ?? []))
          .pipe(Effect.mapError(failed))
        yield* fs.rename(whole, file).pipe(Effect.mapError(failed))
      }
      return { made, left: [] }
    })
  } satisfies RegionPart
})
