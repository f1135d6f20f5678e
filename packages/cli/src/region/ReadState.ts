/** ReadState: what the checklist judges, read from the region's directory, the roles and the vendors. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { readRegion } from "@mcpdeploy/core/region/Region"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import type { RegionState } from "./Checklist.ts"
import { infrastructureOf, loadProviders } from "./Providers.ts"

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

/** Reads only. What cannot be read is part of the state, no failure. */
export const readState = Effect.fn("readState")(function* (
  directory: string,
  ansible: string
): Effect.fn.Return<RegionState, never, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = (file: string) => Effect.orElseSucceed(fs.readFileString(path.join(directory, file)), () => "")
  const entries = (folder: string, recursive = false) =>
    Effect.orElseSucceed(fs.readDirectory(folder, { recursive }), (): ReadonlyArray<string> => [])
  const region = yield* readRegion(directory).pipe(Effect.catch(({ message }) => Effect.succeed(message)))
  const state = {
    name: path.basename(directory),
    region,
    files: new Set(yield* entries(directory, true)),
    processes: yield* decodeRegionFile(yield* text("region.json")).pipe(
      Effect.catch(({ message }) => Effect.succeed(message))
    ),
    readme: yield* text("README.md"),
    knownHosts: hostsOf(yield* text("known_hosts")),
    roles: new Set(yield* entries(path.join(ansible, "roles")))
  }
  if (typeof region === "string") return { ...state, providers: [], plan: region }
  const message = (error: { readonly message: string }) => Effect.succeed(error.message)
  const providers = yield* loadProviders(directory, region).pipe(Effect.catch(message))
  if (typeof providers === "string") return { ...state, providers: [], plan: providers }
  const plan = yield* infrastructureOf(directory, region).pipe(
    Effect.flatMap((infrastructure) => infrastructure.plan),
    Effect.catch(message),
    Effect.scoped
  )
  return { ...state, providers, plan }
})
