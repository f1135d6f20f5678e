/** Providers: the vendors that a region names. Those of this project by name, another by the package or file that exports it. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { Region } from "@mcpdeploy/core/region/Region"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { RegionProvider } from "@mcpdeploy/core/region/RegionProvider"
import { webSourcesPart } from "@mcpdeploy/core/region/WebSources"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { orFail } from "../commands/Root.ts"

const known: Readonly<Record<string, () => Promise<unknown>>> = {
  cloudflare: () => import("@mcpdeploy/provider-cloudflare/CloudflarePart"),
  hetzner: () => import("@mcpdeploy/provider-hetzner/HetznerPart"),
  "hetzner-robot": () => import("@mcpdeploy/provider-hetzner/robot/RobotPart")
}
/** Those that a region can name without a package of its own. */
export const knownProviders: ReadonlyArray<string> = Object.keys(known)

const unusable = (name: string, detail: string) =>
  new CommandFailed({
    exitCode: exitCodes.usage,
    detail: `region_providers names ${name}: ${detail} (known are ${knownProviders.join(", ")}; another is a package, or a file that begins with ./, and exports regionProvider)`
  })

const loadProvider = Effect.fn("loadProvider")(function* (directory: string, name: string) {
  const path = yield* Path.Path
  const url = name.startsWith("./") ? yield* path.toFileUrl(path.resolve(directory, name)) : undefined
  const module = yield* Effect.tryPromise({
    try: async (): Promise<unknown> =>
      Object.hasOwn(known, name) ? known[name]?.() : import(url?.href ?? name),
    catch: (error) => unusable(name, error instanceof Error ? error.message : String(error))
  })
  const provider =
    typeof module === "object" && module !== null && "regionProvider" in module
      ? module.regionProvider
      : undefined
  return provider instanceof RegionProvider ? provider : yield* unusable(name, "it exports no RegionProvider")
})

/** In the region's order. */
export const loadProviders = (directory: string, region: Region) =>
  Effect.forEach(region.providers, (name) => loadProvider(directory, name))

/** The region's infrastructure by its vendors, or by those of them that `only` names. Needs their secrets. */
export const infrastructureOf = Effect.fn("infrastructureOf")(function* (
  directory: string,
  region: Region,
  only: ReadonlyArray<string> = []
) {
  const stranger = only.find((name) => !region.providers.includes(name))
  if (stranger !== undefined)
    return yield* new CommandFailed({
      exitCode: exitCodes.usage,
      detail: `region ${region.name} has no provider ${stranger}; it has ${region.providers.join(", ")}`
    })
  const wanted = only.length === 0 ? region.providers : region.providers.filter((name) => only.includes(name))
  const providers = yield* Effect.forEach(wanted, (name) => loadProvider(directory, name))
  const parts = yield* orFail(Effect.forEach(providers, (provider) => provider.part(region, process.env)))
  const given = region.loadBalancer === undefined ? {} : { loadBalancer: region.loadBalancer }
  // What may reach run nodes is known of all of them together only.
  const sources = only.length === 0 ? [yield* webSourcesPart(directory)] : []
  return combine(region.name, [...parts, ...sources], given)
})

/** The directory of a region: `regions/<name>`, or the path itself. */
export const directoryOf = Effect.fn("directoryOf")(function* (regions: string, name: string) {
  const path = yield* Path.Path
  const fs = yield* FileSystem.FileSystem
  const directory = path.resolve(name.includes("/") ? name : path.join(regions, name))
  if (yield* Effect.orElseSucceed(fs.exists(directory), () => false)) return directory
  return yield* new CommandFailed({
    exitCode: exitCodes.usage,
    detail: `there is no region ${name}: ${directory} does not exist; lay it out with \`mcpdeploy region new ${name}\`, or say with --regions where regions are`
  })
})
