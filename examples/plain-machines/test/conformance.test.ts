/** The provider of plain machines keeps every promise of RegionInfrastructure, and the command line takes it from a file. */
import { execFile, execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { hostsFile, readRegion, variablesFile } from "@mcpdeploy/core/region/Region"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { plainPart } from "@mcpdeploy/example-plain-machines/provider"
import { regionInfrastructureChecks } from "@mcpdeploy/provider-conformance/RegionInfrastructureChecks"
import { describeConformance } from "@mcpdeploy/provider-conformance/Vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const source = new URL("../src/provider.ts", import.meta.url).pathname
const cli = new URL("../../../packages/cli/src/main.ts", import.meta.url).pathname

const variables = (folder: string, provider: string) => `region_name: r1
region_domain: example.com
region_providers: ["${provider}"]
region_private_range: 10.0.0.0/16
region_pod_ranges: [10.42.0.0/16]
region_service_ranges: [10.43.0.0/16]
region_admin_ranges: [192.0.2.0/24]
plain: { folder: ${folder}, load_balancer: 203.0.113.5 }
`
const hosts = (run: ReadonlyArray<number>) => `all:
  children:
    k3s_cluster:
      children:
        ctrl: { hosts: { ctrl-1: { ansible_host: 203.0.113.1, private_ip: 10.0.0.1 } } }
        ops: { hosts: { ops-1: { ansible_host: 198.51.100.20, private_ip: 10.0.0.20 } } }
        build_pool: { hosts: { build-1: { ansible_host: 198.51.100.30, private_ip: 10.0.0.30 } } }
        run_pool: { hosts: { ${run.map((n) => `run-${n}: { ansible_host: 203.0.113.1${n}, private_ip: 10.0.0.1${n} }`).join(", ")} } }
`

const world = Effect.gen(function* () {
  const root = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-plain-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const folder = join(root, "files")
  const directory = join(root, "r1")
  mkdirSync(join(directory, "inventory/group_vars/all"), { recursive: true })
  writeFileSync(join(directory, variablesFile), variables(folder, "./provider.ts"))
  writeFileSync(join(directory, "provider.ts"), `export { regionProvider } from "${source}"\n`)
  const regionWith = Effect.fnUntraced(function* (run: ReadonlyArray<number>) {
    writeFileSync(join(directory, hostsFile), hosts(run))
    const region = yield* readRegion(directory).pipe(Effect.provide(NodeServices.layer))
    return combine("r1", [yield* plainPart(region)])
  })
  const larger = yield* regionWith([1, 2, 3])
  const region = yield* regionWith([1, 2])
  const names = () => (existsSync(folder) ? readdirSync(folder).toSorted() : [])
  return {
    ...{ root, folder, region, larger },
    allow: new Set<string>(),
    // A file that is written is another one afterwards.
    writes: () => names().reduce((sum, name) => sum + statSync(join(folder, name)).ino, 0),
    contents: () => names().map((name) => `${name}\n${readFileSync(join(folder, name), "utf8")}`).join("\n")
  }
}).pipe(Effect.orDie)

describeConformance(
  "RegionInfrastructure on plain machines",
  Layer.empty,
  regionInfrastructureChecks({ world, interruptions: [0, 1, 2, 4] })
)

describe("the command line", () => {
  it.live("takes a provider from a file beside the inventory", () =>
    Effect.gen(function* () {
      const { folder, root } = yield* world
      const region = (command: string) =>
        Effect.promise(() =>
          promisify(execFile)(process.execPath, [cli, "region", command, "r1", "--regions", root])
        )
      const { stdout } = yield* region("plan")
      assert.match(stdout, /\+ create plain file haproxy\.cfg/)
      assert.match(stdout, /create inventory file .*web_sources\.yml\n {4}\+ 203\.0\.113\.5\/32/)
      yield* region("apply")
      assert.match((yield* region("verify")).stdout, /region r1 is as its directory says/)
      assert.match(readFileSync(join(folder, "haproxy.cfg"), "utf8"), /server run-2 10\.0\.0\.12:443 check/)
    }).pipe(Effect.scoped)
  )
})

const hasHaproxy = spawnSync("haproxy", ["-v"]).status === 0
describe("the load balancer's file", () => {
  it.live.skipIf(!hasHaproxy)(
    `is one that HAProxy takes${hasHaproxy ? "" : " (SKIPPED: there is no haproxy; apt-get install haproxy)"}`,
    () =>
      Effect.gen(function* () {
        const { folder, region } = yield* world
        yield* region.apply(new Set())
        execFileSync("haproxy", ["-c", "-f", join(folder, "haproxy.cfg")], { stdio: "pipe" })
      }).pipe(Effect.scoped)
  )
})
