/** RegionInfrastructure for machines without an API: HAProxy as the load balancer, and a zone file. */
import { IpRange } from "@mcpdeploy/core/region/Address"
import { failedAt, type PartPlan, type RegionPart } from "@mcpdeploy/core/region/RegionInfrastructure"
import { RegionProvider } from "@mcpdeploy/core/region/RegionProvider"
import type { Region } from "@mcpdeploy/core/region/Region"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import { filesOf, type PlainFile, PlainSettings } from "./files.ts"

const provider = "plain"

const attempt = <A>(path: string, operation: () => Promise<A>) =>
  Effect.tryPromise({
    try: operation,
    catch: (error) =>
      failedAt(provider)({
        _tag: "FileFailed",
        message: `${path}: ${error instanceof Error ? error.message : String(error)}`,
        retryable: false
      })
  })

const read = (path: string) =>
  attempt(path, () =>
    readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined
      throw error
    })
  )

/** Written beside, then renamed: whoever reads it sees the old one or the new one. Two at a time do no harm. */
const write = (path: string, text: string) =>
  attempt(path, async () => {
    const beside = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
    await mkdir(dirname(path), { recursive: true })
    await writeFile(beside, text)
    await rename(beside, path)
  })

const diffOf = (before: string | undefined, after: string): ReadonlyArray<string> => {
  const [old, now] = [(before ?? "").split("\n"), after.split("\n")]
  return [
    ...old.filter((line) => line !== "" && !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => line !== "" && !old.includes(line)).map((line) => `+ ${line}`)
  ]
}

export const plainPart = Effect.fn("plainPart")(function* (region: Region) {
  const settings = yield* region.settings(provider, PlainSettings)
  const files = filesOf(region, settings)
  const pathOf = ({ name }: PlainFile) => join(settings.folder, name)
  const differing = Effect.filter(files, (file) =>
    Effect.map(read(pathOf(file)), (text) => text !== file.text)
  )
  const changeOf = Effect.fnUntraced(function* (file: PlainFile) {
    const before = yield* read(pathOf(file))
    return {
      area: file.area,
      action: before === undefined ? ("create" as const) : ("update" as const),
      resource: `file ${file.name}`,
      diff: diffOf(before, file.text),
      destructive: false
    }
  })
  return {
    provider,
    facts: Effect.succeed({
      loadBalancer: { ipv4: settings.load_balancer },
      webSources: [IpRange.make(`${settings.load_balancer}/32`)]
    }),
    plan: () =>
      Effect.map(
        Effect.flatMap(differing, (due) => Effect.forEach(due, changeOf)),
        (changes): PartPlan => ({ changes, conflicts: [] })
      ),
    apply: Effect.fnUntraced(function* () {
      const due = yield* differing
      const made = yield* Effect.forEach(due, changeOf)
      yield* Effect.forEach(due, (file) => write(pathOf(file), file.text), { discard: true })
      return { made, left: [] }
    })
  } satisfies RegionPart
})

export const regionProvider = new RegionProvider({
  name: provider,
  areas: ["loadBalancer", "dns"],
  part: (region) => plainPart(region)
})
