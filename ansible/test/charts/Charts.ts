/**
 * The charts themselves, where they are at hand: `MCPDEPLOY_TEST_CHARTS` is a folder of what `helm pull` has brought, as archives or
 * unpacked (`helm pull --untar`).
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { temporary } from "../lab/Folder.ts"
import { toolFolder } from "../lab/ToolCache.ts"
import { merged } from "./Values.ts"

const folder = process.env["MCPDEPLOY_TEST_CHARTS"] ?? ""

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const helm = [toolFolder("helm") ?? "", ...(process.env["PATH"] ?? "").split(delimiter)]
  .filter((directory) => directory !== "")
  .map((directory) => join(directory, "helm"))
  .find(isProgram)

/** Why charts cannot be rendered here; empty when they can. */
export const missingCharts =
  folder === ""
    ? "(SKIPPED: set MCPDEPLOY_TEST_CHARTS to a folder of the charts, see test/README.md)"
    : helm === undefined
      ? "(SKIPPED: there is no helm; node packages/local-region/src/main.ts tool helm)"
      : ""

/** An unpacked chart, as long as the scope. Fails where it is not in the folder. */
export const unpacked = Effect.fn("Charts.unpacked")(function* (name: string, version: string) {
  const archive = join(folder, `${name}-${version}.tgz`)
  if (!existsSync(archive)) return join(folder, name)
  const target = yield* temporary("mcpdeploy-chart-")
  yield* run("tar", ["-xzf", archive, "-C", target])
  return join(target, name)
})

const text = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "")

/** The values that the chart has by itself, and the text that describes them; of its subcharts too. */
export const valuesOf = (
  chart: string
): { readonly defaults: Record<string, unknown>; readonly text: string } => {
  const own = text(join(chart, "values.yaml"))
  const below = existsSync(join(chart, "charts"))
    ? readdirSync(join(chart, "charts"), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    : []
  const subcharts = below.map(({ name }) => ({ name, values: valuesOf(join(chart, "charts", name)) }))
  return {
    defaults: merged(
      Object.fromEntries(subcharts.map(({ name, values }) => [name, values.defaults])),
      Object(parse(own))
    ),
    text: [own, ...subcharts.map(({ values }) => values.text)].join("\n")
  }
}

/** Version of the chart. */
export const versionOf = (chart: string): string =>
  String(Object(parse(text(join(chart, "Chart.yaml")))).version)

/** What the release would be made of; fails where the chart refuses the values. */
export const template = (release: {
  readonly chart: string
  readonly name: string
  readonly namespace: string
  readonly values: string
  readonly kubernetes: string
}) =>
  run(
    helm ?? "helm",
    [
      ...["template", release.name, release.chart, "--namespace", release.namespace, "--include-crds"],
      ...["--kube-version", release.kubernetes, "--values", "-"]
    ],
    { stdin: release.values }
  )
