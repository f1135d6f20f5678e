/** The environment variables by which tests and benchmarks find a region that is up, and the programs it was started with. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Schema from "effect/Schema"
import { dataFolder } from "./DataFolder.ts"
import { RegionFile, SettingsFile } from "./RegionState.ts"

const decodeRegion = Schema.decodeSync(RegionFile)
const decodeSettings = Schema.decodeSync(SettingsFile)

/** Of the region whose data is in `root`. Throws when it is not up. */
export const regionEnvironment = (root: string): Readonly<Record<string, string>> => {
  const folder = dataFolder(root)
  const { acme, buildkit, ingress, kubeconfig, registry, temporal } = decodeRegion(
    readFileSync(folder.region, "utf8")
  )
  const { tools } = decodeSettings(readFileSync(folder.settings, "utf8"))
  const programs = tools["buildkit"] ?? ""
  return {
    MCPDEPLOY_TEST_REGION: folder.region,
    MCPDEPLOY_TEST_BUILDKIT: buildkit.address,
    MCPDEPLOY_TEST_REGISTRY: new URL(registry.endpoint).host,
    MCPDEPLOY_TEST_KUBECONFIG: kubeconfig,
    MCPDEPLOY_TEST_INGRESS: ingress.http,
    ...(acme === undefined ? {} : { MCPDEPLOY_TEST_REGION_ACME: folder.region }),
    ...(temporal === undefined ? {} : { MCPDEPLOY_TEMPORAL: join(tools["temporal"] ?? "", "temporal") }),
    MCPDEPLOY_TEST_BUILDKITD: join(programs, "buildkitd"),
    BUILDCTL: join(programs, "buildctl")
  }
}
