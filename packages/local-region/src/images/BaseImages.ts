/**
 * The images that ordinary Dockerfiles start from (`FROM node:24-alpine`), where none can be pulled: made on this machine
 * from packages, kept in a folder for all regions, and pushed to a region's registry as `library/<name>:<tag>`, where
 * BuildKit's mirror setting for docker.io finds them. What they are is in {@link table}.
 *
 * Killed at any point and run again, it goes on with the layers that are kept and the blobs that the registry has.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { ChildProcessSpawner as Spawner } from "effect/process/ChildProcessSpawner"
import { run } from "../Command.ts"
import { BaseImagesError, type BaseImagesReason, LayerFailed } from "./BaseImagesError.ts"
import * as LayerStore from "./LayerStore.ts"
import * as Machine from "./Machine.ts"
import * as OciImage from "./OciImage.ts"
import * as Recipes from "./Recipes.ts"
import * as RegistryPush from "./RegistryPush.ts"
import { type StandIn, standIns } from "./StandIns.ts"

/** What stands in for what. */
export const table: ReadonlyArray<{
  /** Name on Docker Hub, such as `node`. */
  readonly name: string
  readonly tags: ReadonlyArray<string>
  readonly madeFrom: string
  readonly differs: string
}> = standIns.map(({ name, tags, madeFrom, differs }) => ({ name, tags, madeFrom, differs }))

/** A layer or an image is being made, is made, or is in the registry. */
export const BaseImagesProgress = Schema.TaggedStruct("BaseImagesProgress", {
  message: Schema.String,
  /** Of everything, by the time that it usually takes: 0 to 1. */
  fraction: Schema.Finite
})
export type BaseImagesProgress = typeof BaseImagesProgress.Type

/** Into which registry, and from which cache. */
export interface SeedOptions {
  /** Such as `http://127.0.0.1:5000`. */
  readonly registryEndpoint: string
  /** Kept across regions: some 300 MB. While layers are made it takes 2 GB more. */
  readonly cacheFolder: string
  readonly onProgress?: (progress: BaseImagesProgress) => Effect.Effect<void>
}

/** What was made and pushed, and what was there. */
export interface SeedReport {
  readonly layersMade: ReadonlyArray<string>
  /** `node:24-alpine` and so on: were absent, or others. */
  readonly pushed: ReadonlyArray<string>
  /** Were there. */
  readonly present: ReadonlyArray<string>
  readonly bytesSent: number
}

/** Layers made at a time: each is a process or two, some of it waiting for downloads. */
const makers = 2
const makeTimeout = "10 minutes"
/** In namespaces of its own, which end with this process: nothing stays mounted, nothing goes on running. */
const isolated = [
  "--pdeathsig",
  "KILL",
  "unshare",
  "--mount",
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc"
]

/** Makes what is not kept yet (one to three minutes on two cores), and pushes what the registry lacks (seconds). */
export const seed = Effect.fn("BaseImages.seed")(
  function* (options: SeedOptions) {
    const onProgress = options.onProgress ?? (() => Effect.void)
    const store = LayerStore.make(options.cacheFolder)
    const registry = yield* RegistryPush.make(options.registryEndpoint)
    const recipes = yield* Effect.flatMap(Machine.inspect(), Recipes.resolve)

    const isKept = (recipe: Recipes.Recipe) =>
      Effect.map(store.find(recipe.hash), (layer) => layer !== undefined)
    const findMissing = Effect.filter([...recipes.values()], (recipe) =>
      Effect.map(isKept(recipe), (kept) => !kept)
    )
    let missing = yield* findMissing
    if (missing.length > 0) {
      yield* Machine.prepare()
      yield* onProgress({
        _tag: "BaseImagesProgress",
        message: "waiting for the folder of layers",
        fraction: 0
      })
      yield* store.lock
      missing = yield* findMissing
    }

    const layersMade: Array<string> = []
    const pushed: Array<string> = []
    const present: Array<string> = []
    let bytesSent = 0

    const total = missing.reduce((sum, { seconds }) => sum + seconds, standIns.length)
    let done = 0
    const tell = (message: string, seconds = 0) =>
      Effect.suspend(() => {
        done += seconds
        return onProgress({ _tag: "BaseImagesProgress", message, fraction: done / total })
      })

    const making = yield* Semaphore.make(makers)

    const makeLayer = Effect.fnUntraced(function* (recipe: Recipes.Recipe, base: OciImage.Layer | undefined) {
      const place = yield* store.workplace(recipe.name)
      yield* tell(`making ${recipe.name} (usually ${recipe.seconds} s)`)
      if (base !== undefined) yield* store.unpack(base, join(place, "base.tar"))
      yield* run("setpriv", [...isolated, "sh", join(Recipes.folder, recipe.script)], {
        cwd: place,
        env: { ...recipe.environment, LC_ALL: "C" }
      }).pipe(
        Effect.mapError((error) => new LayerFailed({ layer: recipe.name, output: error.message })),
        Effect.timeoutOrElse({
          duration: makeTimeout,
          orElse: () =>
            Effect.fail(new LayerFailed({ layer: recipe.name, output: `not done in ${makeTimeout}` }))
        })
      )
      const layer = yield* store.keep(recipe.hash, join(place, "layer.tar"))
      layersMade.push(recipe.name)
      yield* tell(`made ${recipe.name} (${Math.round(layer.size / 1e6)} MB)`, recipe.seconds)
      return layer
    }, Effect.scoped)

    const layers = new Map<Recipes.LayerName, Effect.Effect<OciImage.Layer, BaseImagesReason, Spawner>>()
    const layerOf = (name: Recipes.LayerName) =>
      layers.get(name) ?? Effect.die(new Error(`the recipe ${name} comes before its base`))
    for (const recipe of recipes.values()) {
      const { base } = recipe
      const layer = Effect.gen(function* () {
        const kept = yield* store.find(recipe.hash)
        if (kept !== undefined) return kept
        const below = base === undefined ? undefined : yield* layerOf(base)
        return yield* making.withPermits(1)(makeLayer(recipe, below))
      })
      layers.set(recipe.name, yield* Effect.cached(layer))
    }

    const seedOne = Effect.fnUntraced(function* (standIn: StandIn) {
      const parts = yield* Effect.forEach(standIn.layers, layerOf, { concurrency: "unbounded" })
      const image = OciImage.ofStandIn(standIn, parts)
      const repository = `library/${standIn.name}`
      const absent = yield* Effect.filter(standIn.tags, (tag) =>
        Effect.map(registry.has(repository, tag, image), (there) => !there)
      )
      const named = (tag: string) => `${standIn.name}:${tag}`
      present.push(...standIn.tags.filter((tag) => !absent.includes(tag)).map(named))
      if (absent.length > 0) {
        const sent = yield* registry
          .push(repository, absent, image)
          .pipe(Effect.tapError(() => Effect.forEach(parts, store.discardDamaged, { discard: true })))
        bytesSent += sent
        pushed.push(...absent.map(named))
      }
      yield* tell(`${standIn.name}:${standIn.tags.join(", ")}`, 1)
    })
    yield* Effect.forEach(standIns, (standIn) => seedOne(standIn), {
      concurrency: "unbounded",
      discard: true
    })
    const report: SeedReport = { layersMade, pushed, present, bytesSent }
    return report
  },
  Effect.scoped,
  Effect.mapError((reason) => new BaseImagesError({ reason }))
)
