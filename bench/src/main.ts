/**
 * `pnpm bench NAME`: measures ours against its peer in the same run. Prints one line a measure, then a table.
 *
 * Names: `deploy`, `context`, `apply`, `domain`, `memory`, `orchestration`, `webhooks`. Addresses come from the environment, else from the local region.
 */
import { defaultDataFolder } from "@mcpdeploy/local-region/DataFolder"
import { regionEnvironment } from "@mcpdeploy/local-region/RegionEnvironment"
import { Effect } from "effect"
import { type Measure, measureLine, measureTable } from "./measure.ts"

interface Bench {
  readonly run: Effect.Effect<ReadonlyArray<Measure>, { readonly message: string }>
}

const benches = {
  deploy: () => import("./deploy.ts"),
  context: () => import("./context.ts"),
  apply: () => import("./apply.ts"),
  domain: () => import("./domain.ts"),
  memory: () => import("./memory.ts"),
  orchestration: () => import("./orchestration.ts"),
  webhooks: () => import("./webhooks.ts")
}

const isBench = (name: string | undefined): name is keyof typeof benches =>
  name !== undefined && name in benches

const name = process.argv[2]
if (!isBench(name)) {
  process.stderr.write(`usage: pnpm bench ${Object.keys(benches).join("|")}\n`)
  process.exit(2)
}

/** They bring what they need. */
const withoutRegion: ReadonlyArray<keyof typeof benches> = ["orchestration", "webhooks"]

if (!withoutRegion.includes(name)) {
  const folder = process.env["MCPDEPLOY_LOCAL_DATA"] ?? defaultDataFolder(process.env)
  process.env["MCPDEPLOY_LOCAL_DATA"] = folder
  for (const [variable, value] of Object.entries(regionEnvironment(folder))) process.env[variable] ??= value
}

const { run }: Bench = await benches[name]()
const measures = await Effect.runPromise(run)
// `orchestration` has no peer to compare with, and has printed its figures.
if (measures.length > 0)
  process.stdout.write(`${measures.map(measureLine).join("\n")}\n\n${measureTable(measures)}\n`)
