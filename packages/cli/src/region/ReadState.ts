/** ReadState: what the checklist judges, read from the region's directory, the roles, the vendors and the nodes. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import { hostsFile, type Region, readRegion, variablesFile } from "@mcpdeploy/core/region/Region"
import type { RegionFacts, RegionPlan } from "@mcpdeploy/core/region/RegionInfrastructure"
import { webSourcesFile, webSourcesIn } from "@mcpdeploy/core/region/WebSources"
import { parseYaml } from "@mcpdeploy/core/YamlFile"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { isFirewallPlanned, manifests, type RegionState } from "./Checklist.ts"
import { askNode } from "./NodeFirewall.ts"
import { placeholdersIn } from "./Placeholders.ts"
import { infrastructureOf, loadProviders } from "./Providers.ts"
import { vaultProblem } from "./VaultCheck.ts"

/** The plain names and addresses of lines of `known_hosts` (sshd(8)); a hashed one says nothing here. */
export const hostsOf = (knownHosts: string): ReadonlySet<string> =>
  new Set(
    knownHosts.split("\n").flatMap((line) => {
      const [first = "", second = ""] = line.trim().split(/\s+/)
      if (first === "" || first.startsWith("#")) return []
      const names = first.startsWith("@") ? second : first
      return names.split(",").map((name) => name.replace(/^\[(.+)\](?::\d+)?$/, "$1"))
    })
  )

const regionFile = "region.json"

/** Groups of the inventory say nothing to who looks for a node. */
const shortened = (field: ReadonlyArray<string>): string => {
  const hosts = field.indexOf("hosts")
  return (hosts === -1 ? field : field.slice(hosts + 1)).join(".")
}

const said = (error: { readonly message: string }) => Effect.succeed(error.message)

interface AtVendors {
  readonly plan: RegionPlan | string
  readonly facts: RegionFacts
}

const readVendors = (directory: string, region: Region) =>
  infrastructureOf(directory, region).pipe(
    Effect.flatMap((infrastructure) =>
      Effect.all({ plan: infrastructure.plan, facts: infrastructure.facts })
    ),
    Effect.catch(
      Effect.fnUntraced(function* (error): Effect.fn.Return<AtVendors> {
        return { plan: yield* said(error), facts: {} }
      })
    ),
    Effect.scoped
  )

/** Reads only. What cannot be read is part of the state, no failure. */
export const readState = Effect.fn("readState")(function* (
  directory: string,
  ansible: string
): Effect.fn.Return<RegionState, never, FileSystem.FileSystem | Path.Path | ChildProcessSpawner> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = (file: string) => Effect.orElseSucceed(fs.readFileString(path.join(directory, file)), () => "")
  const entries = (folder: string) =>
    Effect.orElseSucceed(fs.readDirectory(folder), (): ReadonlyArray<string> => [])
  // JSON is YAML. What is neither is told elsewhere.
  const values = Effect.fnUntraced(function* (file: string) {
    const parsed = yield* parseYaml(file, yield* text(file))
    return { file, value: yield* parsed.decode(Schema.Json) }
  })
  const placeholders = yield* Effect.forEach([hostsFile, variablesFile, regionFile], (file) =>
    values(file).pipe(
      Effect.map(({ value }) =>
        placeholdersIn(value).map((one) => `${file}: ${shortened(one.field)} ${one.text}`)
      ),
      Effect.orElseSucceed((): ReadonlyArray<string> => [])
    )
  )
  const region = yield* readRegion(directory).pipe(Effect.catch(said))
  const texts = yield* Effect.forEach(manifests, (file) =>
    Effect.map(text(file), (found) => [file, found] as const)
  )
  const state = {
    name: path.basename(directory),
    region,
    manifests: Object.fromEntries(texts),
    placeholders: placeholders.flat(),
    vault: yield* vaultProblem(directory),
    processes: yield* decodeRegionFile(yield* text(regionFile)).pipe(Effect.catch(said)),
    readme: yield* text("README.md"),
    knownHosts: hostsOf(yield* text("known_hosts")),
    roles: new Set(yield* entries(path.join(ansible, "roles"))),
    loadBalancer: undefined,
    asked: []
  }
  if (typeof region === "string") return { ...state, providers: [], plan: region }
  const providers = yield* loadProviders(directory, region).pipe(Effect.catch(said))
  if (typeof providers === "string") return { ...state, providers: [], plan: providers }
  const { facts, plan } = yield* readVendors(directory, region)
  const wanted = webSourcesIn(yield* text(webSourcesFile))
  const runNodes = region.nodes.filter(({ pool }) => pool === "run_pool")
  const asked =
    typeof plan === "string" || !isFirewallPlanned(plan)
      ? []
      : yield* Effect.forEach(
          runNodes,
          (node) => askNode(path.join(directory, "known_hosts"), region.loginUser, node, wanted),
          { concurrency: "unbounded" }
        )
  return { ...state, providers, plan, loadBalancer: facts.loadBalancer, asked }
})
