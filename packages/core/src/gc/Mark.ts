/** Mark: what of a registry is in use. Pure. */
import type { ServiceImages } from "../Projects.ts"
import type { ImageDigest } from "../domain/Image.ts"
import type { StoredBlob, StoredRepository } from "./RegistryStorage.ts"

/** The tag of a service's build cache. */
export const buildCacheTag = "buildcache"

/** Only customers' repositories are collected: `dp-{user}-{project}/{service}`. What the platform itself runs stays. */
export const isCustomers = (repository: string): boolean => /^dp-[a-z0-9-]+\/[a-z0-9-]+$/.test(repository)

export interface Times {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** What is younger is never removed: longer than any push, and than any deploy from its build to its receipt. */
  readonly graceMs: number
}

const isOld = ({ graceMs, now }: Times, writtenAt: number): boolean => writtenAt <= now - graceMs

/** Whether a deploy of the service may be under way: it was asked for, before anything is built, and has no receipt yet. */
export const isBusy = ({ deployed, requested, requestedAt }: ServiceImages, times: Times): boolean =>
  requested !== undefined &&
  requested > (deployed?.generation ?? 0) &&
  !isOld(times, requestedAt ?? times.now)

/** `digest` and what it names in the same repository: an index's manifests. */
const closure = (repository: StoredRepository, roots: Iterable<ImageDigest>): ReadonlySet<ImageDigest> => {
  const found = new Set<ImageDigest>()
  const follow = (digest: ImageDigest): void => {
    if (found.has(digest)) return
    const manifest = repository.manifests.get(digest)
    if (manifest === undefined) return
    found.add(digest)
    for (const name of manifest.names) follow(name)
  }
  for (const root of roots) follow(root)
  return found
}

/** Manifests of a repository that nothing needs: not running, in no kept receipt, and old. */
export const unusedManifests = (
  repository: StoredRepository,
  service: ServiceImages | undefined,
  times: Times
): ReadonlyArray<ImageDigest> => {
  const cache = service === undefined ? undefined : repository.tags.get(buildCacheTag)
  const young = [...repository.manifests.values()].filter(({ writtenAt }) => !isOld(times, writtenAt))
  const kept = closure(repository, [
    ...(service?.digests ?? []),
    ...(cache === undefined ? [] : [cache]),
    ...young.map(({ digest }) => digest)
  ])
  return [...repository.manifests.keys()].filter((digest) => !kept.has(digest))
}

/** Links of a repository that none of its manifests names, and that are old. `without`: manifests that are about to go. */
export const unusedLinks = (
  repository: StoredRepository,
  times: Times,
  without: ReadonlyArray<ImageDigest> = []
): ReadonlyArray<ImageDigest> => {
  const gone = new Set(without)
  const named = new Set(
    [...repository.manifests.values()].flatMap(({ digest, names }) => (gone.has(digest) ? [] : [...names]))
  )
  return [...repository.links].flatMap(([digest, linkedAt]) =>
    !named.has(digest) && isOld(times, linkedAt) ? [digest] : []
  )
}

/** Whatever a repository holds or may hold next: manifests, what they name, and links. */
export const inUseBy = (repositories: ReadonlyArray<StoredRepository>): ReadonlySet<ImageDigest> =>
  new Set(
    repositories.flatMap(({ links, manifests }) => [
      ...manifests.keys(),
      ...[...manifests.values()].flatMap(({ names }) => [...names]),
      ...links.keys()
    ])
  )

/** Blobs that no repository holds, and that are old. */
export const unusedBlobs = (
  blobs: ReadonlyArray<StoredBlob>,
  repositories: ReadonlyArray<StoredRepository>,
  times: Times
): ReadonlyArray<StoredBlob> => {
  const inUse = inUseBy(repositories)
  return blobs.filter(({ digest, writtenAt }) => !inUse.has(digest) && isOld(times, writtenAt))
}
