/**
 * `pnpm bench NAME`: measures ours against its peer in the same run. Prints one line a measure, then a table.
 *
 * Names: `deploy`, `context`, `apply`. Addresses come from the environment, else from the local region.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { dataFolder, defaultDataFolder } from "@mcpdeploy/local-region/DataFolder"
import { Effect } from "effect"
import { measureLine, measureTable } from "./measure.ts"

const benches = {
  deploy: () => import("./deploy.ts"),
  context: () => import("./context.ts"),
  apply: () => import("./apply.ts")
}

const isBench = (name: string | undefined): name is keyof typeof benches =>
  name !== undefined && name in benches

const name = process.argv[2]
if (!isBench(name)) {
  process.stderr.write(`usage: pnpm bench ${Object.keys(benches).join("|")}\n`)
  process.exit(2)
}

const folder = process.env["MCPDEPLOY_LOCAL_DATA"] ?? defaultDataFolder(process.env)
const region = JSON.parse(readFileSync(dataFolder(folder).region, "utf8"))
process.env["MCPDEPLOY_TEST_REGION"] ??= join(folder, "region.json")
process.env["MCPDEPLOY_TEST_BUILDKIT"] ??= region.buildkit.address
process.env["MCPDEPLOY_TEST_REGISTRY"] ??= new URL(region.registry.endpoint).host
process.env["MCPDEPLOY_TEST_KUBECONFIG"] ??= region.kubeconfig
process.env["MCPDEPLOY_TEST_INGRESS"] ??= region.ingress.http

const { run } = await benches[name]()
const measures = await Effect.runPromise(run)
process.stdout.write(`${measures.map(measureLine).join("\n")}\n\n${measureTable(measures)}\n`)
