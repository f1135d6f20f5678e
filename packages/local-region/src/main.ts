/** The package's own entry: the supervisor inside the bundle, and `up`, `down` and `status` for scripts. */
import { parseArgs } from "node:util"
import { resolve } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { defaultCacheFolder, defaultDataFolder } from "./DataFolder.ts"
import { LocalRegion } from "./LocalRegion.ts"
import type { RegionEvent } from "./RegionEvent.ts"
import { supervise } from "./Supervisor.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { data: { type: "string" }, cache: { type: "string" }, with: { type: "string" } }
})

const folders = {
  dataFolder: resolve(values.data ?? defaultDataFolder()),
  cacheFolder: resolve(values.cache ?? defaultCacheFolder())
}

const parts = (values.with ?? "").split(",").filter((part) => part === "acme")

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const minutes = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`

const line = (event: RegionEvent): string | undefined => {
  switch (event._tag) {
    case "ToolsPlanned":
      return event.build.length + event.install.length === 0
        ? "all tools are there"
        : `to install: ${event.install.join(", ") || "nothing"}; to build: ${event.build.join(", ") || "nothing"}, about ${minutes(event.estimateSeconds)}`
    case "ToolProgress":
      return `${minutes(event.elapsedSeconds)} building ${event.tool} ${Math.round(event.fraction * 100)}%, about ${minutes(event.remainingSeconds)} left`
    case "ToolReady":
      return `built ${event.tool} in ${minutes(event.seconds)}`
    case "PackagesInstalled":
      return `installed ${event.packages.join(", ")} in ${event.seconds.toFixed(1)} s`
    case "ServerReady":
      return `${event.server} is ready after ${event.seconds.toFixed(1)} s`
    case "ImagesProgress":
      return `base images ${Math.round(event.fraction * 100)}%: ${event.message}`
    case "BuildReady":
      return `images can be built: ${event.endpoints.buildkit.address}`
    case "RegionReady":
      return `the region is up after ${event.seconds.toFixed(1)} s`
    case "RegionFailed":
      return event.reason.message
  }
}

/** Once in ten seconds is enough for a log. */
const throttled = () => {
  let last = 0
  return (event: RegionEvent) => {
    if (event._tag === "ToolProgress") {
      if (Date.now() - last < 10_000) return Effect.void
      last = Date.now()
    }
    const text = line(event)
    return text === undefined ? Effect.void : print(text)
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
        "usage: main.ts up|down|status|tool NAME [--data FOLDER] [--cache FOLDER] [--with acme]"
      )
  }
})

program.pipe(
  Effect.provide(LocalRegion.layer.pipe(Layer.provideMerge(NodeServices.layer))),
  NodeRuntime.runMain
)
