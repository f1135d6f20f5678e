/** The package's own entry: the supervisor inside the bundle, and `up`, `down` and `status` for scripts. */
import { parseArgs } from "node:util"
import { resolve } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { defaultCacheFolder, defaultDataFolder } from "./DataFolder.ts"
import { LocalRegion } from "./LocalRegion.ts"
import { describe, type RegionEvent } from "./RegionEvent.ts"
import { OptionalPart } from "./RegionState.ts"
import { supervise } from "./Supervisor.ts"

const decodeParts = Schema.decodeUnknownSync(Schema.Array(OptionalPart))

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { data: { type: "string" }, cache: { type: "string" }, with: { type: "string" } }
})

const folders = {
  dataFolder: resolve(values.data ?? defaultDataFolder()),
  cacheFolder: resolve(values.cache ?? defaultCacheFolder())
}

const parts = decodeParts((values.with ?? "").split(",").filter(Boolean))

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

/** Once in ten seconds is enough for a log. */
const throttled = () => {
  let last = 0
  return (event: RegionEvent) => {
    if (event._tag === "ToolProgress") {
      if (Date.now() - last < 10_000) return Effect.void
      last = Date.now()
    }
    return print(describe(event))
  }
}

const program = Effect.gen(function* () {
  const region = yield* LocalRegion
  switch (positionals[0]) {
    case "up": {
      const endpoints = yield* region.up({ ...folders, onEvent: throttled(), with: parts })
      return yield* print(JSON.stringify(endpoints, undefined, 2))
    }
    case "down":
      yield* region.down(folders)
      return yield* print("the region is down")
    case "status":
      return yield* print(JSON.stringify(yield* region.status(folders), undefined, 2))
    case "tool":
      return yield* print(yield* region.tool(positionals[1] ?? "", { cacheFolder: folders.cacheFolder }))
    case "supervise":
      return yield* supervise(folders.dataFolder)
    default:
      process.exitCode = 2
      return yield* print(
        "usage: main.ts up|down|status|tool NAME [--data FOLDER] [--cache FOLDER] [--with temporal,gitea,acme]"
      )
  }
})

program.pipe(
  Effect.provide(LocalRegion.layer.pipe(Layer.provideMerge(NodeServices.layer))),
  NodeRuntime.runMain
)
