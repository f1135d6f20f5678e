/**
 * GarbageCollection: removes from the registry what nothing needs, while it goes on taking pushes.
 *
 * Roots are what runs, the kept receipts, and each service's build cache. Everything younger than the grace is kept, and all of a
 * service whose deploy is under way. Then, in this order, so that no push is ever told that something is there which then goes:
 *
 * 1. A service's unused manifests are deleted through the registry, and its unused layer links unlinked: right after the cluster
 *    was asked what the service needs. A deploy that begins later registers its request first, and builds then: by the time it
 *    asks the registry, it is told that they are not there, and sends them.
 * 2. A blob that no repository holds or links is removed when it was unlinked longer than the grace ago, so in a later run. It is
 *    hidden first; then all repositories are read again, and what one of them holds by now is brought back.
 *
 * The registry must not cache blob descriptors (`storage.cache`): it would say that a blob is there which is not.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Projects } from "../Projects.ts"
import { type ImageDigest, internalRegistry } from "../domain/Image.ts"
import { Namespace } from "../domain/Identity.ts"
import { Registry } from "../Registry.ts"
import {
  inUseBy,
  isBusy,
  isCustomers,
  type Times,
  unusedBlobs,
  unusedLinks,
  unusedManifests
} from "./Mark.ts"
import type { RegistryStorage } from "./RegistryStorage.ts"

/** Of which registry, and how carefully. */
export interface CollectOptions {
  readonly storage: RegistryStorage
  /** What is younger is never removed. */
  readonly graceSeconds: number
  /** Only says what it would remove. */
  readonly dryRun: boolean
  /** Of this project alone. Blobs that no repository holds go wherever they came from. */
  readonly namespace?: Namespace
}

/** What a run has removed, and what it has left for the next. */
export interface Collected {
  /** `repository@digest` of manifests that were deleted. */
  readonly manifests: ReadonlyArray<string>
  /** Layers that were unlinked from a repository; their blobs go in a later run. */
  readonly links: number
  readonly blobs: number
  /** Of the blobs that were removed. */
  readonly bytes: number
  /** Repositories that were left alone because a deploy is under way. */
  readonly busy: ReadonlyArray<string>
}

/** A batch's answer of the cluster is not relied on for longer. */
const freshMs = 500

const namespaceOf = (repository: string): Namespace => Namespace.make(repository.split("/")[0] ?? "")

const timesOf = (graceSeconds: number): Effect.Effect<Times> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({ now, graceMs: graceSeconds * 1000 }))

/** What the cluster says of one service, now. */
const needsOf = Effect.fnUntraced(function* (repository: string) {
  const projects = yield* Projects
  const all = yield* projects.images(namespaceOf(repository))
  return all.find((service) => service.repository === repository)
})

/** Step 1 for one repository. */
const collectRepository = Effect.fn("GarbageCollection.repository")(function* (
  { dryRun, graceSeconds, storage }: CollectOptions,
  name: string
) {
  const registry = yield* Registry
  const removed: Array<ImageDigest> = []
  let links = 0
  for (;;) {
    const stored = yield* storage.repository(name)
    const service = yield* needsOf(name)
    const asked = yield* Clock.currentTimeMillis
    const times = yield* timesOf(graceSeconds)
    // A service that the cluster does not know may be one whose first deploy is under way: then all of it is young.
    if (service !== undefined && isBusy(service, times)) return { removed, links, isBusy: true }
    const manifests = unusedManifests(stored, service, times)
    const layers = unusedLinks(stored, times, dryRun ? manifests : [])
    if (dryRun) return { removed: manifests, links: layers.length, isBusy: false }
    const isFresh = Effect.map(Clock.currentTimeMillis, (now) => now - asked < freshMs)
    for (const digest of manifests) {
      if (!(yield* isFresh)) break
      yield* registry.delete({ registry: internalRegistry, repository: name }, digest)
      removed.push(digest)
    }
    for (const digest of layers) {
      if (!(yield* isFresh)) break
      yield* storage.unlink(name, digest)
      links++
    }
    // What the deleted manifests alone had named is unlinked in the next round.
    if (manifests.length === 0 && layers.length === 0) return { removed, links, isBusy: false }
  }
})

/** Step 2. */
const sweep = Effect.fn("GarbageCollection.sweep")(function* ({
  dryRun,
  graceSeconds,
  storage
}: CollectOptions) {
  const read = Effect.flatMap(storage.repositories, (names) =>
    Effect.forEach(names, (name) => storage.repository(name))
  )
  const settle = Effect.fnUntraced(function* (hidden: ReadonlyArray<ImageDigest>) {
    const inUse = inUseBy(yield* read)
    for (const digest of hidden)
      yield* inUse.has(digest) ? storage.restore(digest) : storage.removeHidden(digest)
    return hidden.filter((digest) => !inUse.has(digest))
  })
  if (!dryRun) yield* settle(yield* storage.hidden)
  const blobs = yield* storage.blobs
  const unused = unusedBlobs(blobs, yield* read, yield* timesOf(graceSeconds))
  if (dryRun) return unused
  const hidden = yield* Effect.filter(unused, ({ digest }) => storage.hide(digest))
  const gone = new Set(yield* settle(hidden.map(({ digest }) => digest)))
  return hidden.filter(({ digest }) => gone.has(digest))
})

/** Killed at any point and run again, it goes on. Two at a time do no harm. */
export const collect = Effect.fn("GarbageCollection.collect")(function* (options: CollectOptions) {
  yield* options.storage.check
  const names = (yield* options.storage.repositories).filter(
    (name) =>
      isCustomers(name) && (options.namespace === undefined || namespaceOf(name) === options.namespace)
  )
  const manifests: Array<string> = []
  const busy: Array<string> = []
  let links = 0
  for (const name of names) {
    const found = yield* collectRepository(options, name)
    manifests.push(...found.removed.map((digest) => `${name}@${digest}`))
    links += found.links
    if (found.isBusy) busy.push(name)
  }
  const blobs = yield* sweep(options)
  const bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0)
  return { manifests, links, blobs: blobs.length, bytes, busy } satisfies Collected
})
