/** Usage: what the registry's disk is used for, before it is full. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ImageDigest } from "../domain/Image.ts"
import { Projects } from "../Projects.ts"
import { isCustomers, unusedManifests } from "./Mark.ts"
import type { RegistryStorage, StoredRepository } from "./RegistryStorage.ts"

/** What the registry's disk is used for. */
export interface RegistryUsage {
  /** Bytes of the disk that the registry is on. */
  readonly disk: { readonly free: number; readonly total: number }
  /** Bytes of all blobs. */
  readonly bytes: number
  /** Bytes of blobs that something needs. */
  readonly rooted: number
  /** By project's namespace, and `platform`: bytes of what its repositories name. A blob of several counts in each. */
  readonly projects: ReadonlyArray<{ readonly project: string; readonly bytes: number }>
}

const held = ({ manifests }: StoredRepository): ReadonlyArray<ImageDigest> =>
  [...manifests.values()].flatMap(({ digest, names }) => [digest, ...names])

/** Reads only. */
export const usageOf = Effect.fn("GarbageCollection.usage")(function* (
  storage: RegistryStorage,
  graceSeconds: number
) {
  yield* storage.check
  const cluster = yield* Projects
  const repositories = yield* Effect.forEach(yield* storage.repositories, (name) => storage.repository(name))
  const services = new Map((yield* cluster.images()).map((service) => [service.repository, service]))
  const sizes = new Map((yield* storage.blobs).map(({ bytes, digest }) => [digest, bytes]))
  const times = { now: yield* Clock.currentTimeMillis, graceMs: graceSeconds * 1000 }
  const total = (digests: Iterable<ImageDigest>): number =>
    [...new Set(digests)].reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0)
  const rooted = repositories.flatMap((repository) => {
    if (!isCustomers(repository.name)) return held(repository)
    const unused = new Set(unusedManifests(repository, services.get(repository.name), times))
    const kept = [...repository.manifests].filter(([digest]) => !unused.has(digest))
    return held({ ...repository, manifests: new Map(kept) })
  })
  const projects = Map.groupBy(repositories, ({ name }) =>
    isCustomers(name) ? (name.split("/")[0] ?? "") : "platform"
  )
  return {
    disk: yield* storage.disk,
    bytes: total(sizes.keys()),
    rooted: total(rooted),
    projects: [...projects]
      .map(([project, own]) => ({ project, bytes: total(own.flatMap(held)) }))
      .toSorted((a, b) => b.bytes - a.bytes)
  } satisfies RegistryUsage
})
