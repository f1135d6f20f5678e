/**
 * RegistryStorage: what the registry has on its disk, read as the CNCF distribution's file system driver lays it out
 * (docker/registry/v2, https://distribution.github.io/distribution/storage-drivers/filesystem). It runs where the disk is.
 */
import { readdir, readFile, rename, rm, rmdir, stat, statfs, utimes } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ImageDigest } from "../domain/Image.ts"

/** The registry's folder cannot be read or written. Nothing that is in use was removed. */
export class RegistryStorageFailed extends Schema.TaggedError<RegistryStorageFailed>()(
  "RegistryStorageFailed",
  { path: Schema.String, detail: Schema.String }
) {
  readonly retryable = true
  override get message(): string {
    return `the registry's storage ${this.path}: ${this.detail}`
  }
}

/** A manifest as the registry's disk has it. */
export interface StoredManifest {
  readonly digest: ImageDigest
  /** Milliseconds since the epoch of its last push. */
  readonly writtenAt: number
  /** Every digest in its text: configuration, layers, other manifests. Too many do no harm. */
  readonly names: ReadonlySet<ImageDigest>
}

/** A repository as the registry's disk has it. */
export interface StoredRepository {
  /** Path, such as `dp-ann-shop/web`. */
  readonly name: string
  readonly manifests: ReadonlyMap<ImageDigest, StoredManifest>
  readonly tags: ReadonlyMap<string, ImageDigest>
  /** Blobs that a push to this repository may take as there; when each was last linked. */
  readonly links: ReadonlyMap<ImageDigest, number>
}

/** A blob as the registry's disk has it. */
export interface StoredBlob {
  readonly digest: ImageDigest
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly writtenAt: number
}

const digestOf = (hex: string): ReadonlyArray<ImageDigest> =>
  /^[0-9a-f]{64}$/.test(hex) ? [ImageDigest.make(`sha256:${hex}`)] : []
const hexOf = (digest: ImageDigest): string => digest.slice("sha256:".length)
const inText = /sha256:[0-9a-f]{64}/g

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT"

/** What another process removes meanwhile is not there. */
const orNone = <A>(promise: Promise<A>): Promise<A | undefined> =>
  promise.catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
const entries = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await orNone(readdir(folder))) ?? []

/** Reads of `registry`'s folder: the one that its configuration calls `rootdirectory`. */
export class RegistryStorage {
  readonly root: string
  readonly #repositories: string
  readonly #blobs: string

  constructor(root: string) {
    this.root = root
    this.#repositories = join(root, "docker/registry/v2/repositories")
    this.#blobs = join(root, "docker/registry/v2/blobs/sha256")
  }

  #try<A>(path: string, operation: () => Promise<A>): Effect.Effect<A, RegistryStorageFailed> {
    return Effect.tryPromise({
      try: operation,
      catch: (error) =>
        new RegistryStorageFailed({ path, detail: error instanceof Error ? error.message : String(error) })
    })
  }

  #blobFolder(digest: ImageDigest): string {
    const hex = hexOf(digest)
    return join(this.#blobs, hex.slice(0, 2), hex)
  }

  /** That it is a registry's folder at all: an empty one would look as if nothing were in use. */
  readonly check: Effect.Effect<void, RegistryStorageFailed> = Effect.suspend(() =>
    Effect.flatMap(
      this.#try(this.root, () => orNone(stat(this.#repositories))),
      (found) =>
        found === undefined
          ? Effect.fail(
              new RegistryStorageFailed({
                path: this.root,
                detail: "there is no docker/registry/v2/repositories in it: name the registry's rootdirectory"
              })
            )
          : Effect.void
    )
  )

  /** Paths of all repositories. */
  readonly repositories: Effect.Effect<ReadonlyArray<string>, RegistryStorageFailed> = Effect.suspend(() =>
    this.#try(this.#repositories, async () => {
      const found: Array<string> = []
      const walk = async (path: string): Promise<void> => {
        const names = await entries(join(this.#repositories, path))
        if (names.includes("_manifests") || names.includes("_layers")) found.push(path)
        for (const name of names) if (!name.startsWith("_")) await walk(join(path, name))
      }
      await walk("")
      return found
    })
  )

  readonly repository = (name: string): Effect.Effect<StoredRepository, RegistryStorageFailed> => {
    const folder = join(this.#repositories, name)
    return this.#try(folder, async () => {
      const manifests = new Map<ImageDigest, StoredManifest>()
      const revisions = join(folder, "_manifests/revisions/sha256")
      for (const digest of (await entries(revisions)).flatMap(digestOf)) {
        const link = await orNone(stat(join(revisions, hexOf(digest), "link")))
        if (link === undefined) continue
        const text = (await orNone(readFile(join(this.#blobFolder(digest), "data"), "utf8"))) ?? ""
        const names = new Set((text.match(inText) ?? []).map((one) => ImageDigest.make(one)))
        manifests.set(digest, { digest, writtenAt: link.mtimeMs, names })
      }
      const tags = new Map<string, ImageDigest>()
      for (const tag of await entries(join(folder, "_manifests/tags"))) {
        const link = await orNone(readFile(join(folder, "_manifests/tags", tag, "current/link"), "utf8"))
        for (const digest of digestOf((link ?? "").trim().replace("sha256:", ""))) tags.set(tag, digest)
      }
      const links = new Map<ImageDigest, number>()
      for (const digest of (await entries(join(folder, "_layers/sha256"))).flatMap(digestOf)) {
        const link = await orNone(stat(join(folder, "_layers/sha256", hexOf(digest), "link")))
        if (link !== undefined) links.set(digest, link.mtimeMs)
      }
      return { name, manifests, tags, links }
    })
  }

  readonly blobs: Effect.Effect<ReadonlyArray<StoredBlob>, RegistryStorageFailed> = Effect.suspend(() =>
    this.#try(this.#blobs, async () => {
      const found: Array<StoredBlob> = []
      for (const prefix of await entries(this.#blobs))
        for (const digest of (await entries(join(this.#blobs, prefix))).flatMap(digestOf)) {
          const data = await orNone(stat(join(this.#blobFolder(digest), "data")))
          if (data !== undefined) found.push({ digest, bytes: data.size, writtenAt: data.mtimeMs })
        }
      return found
    })
  )

  /** From now on a push to the repository finds that the blob is not there, and sends it. Its age begins anew. */
  readonly unlink = (repository: string, digest: ImageDigest): Effect.Effect<void, RegistryStorageFailed> => {
    const folder = join(this.#repositories, repository, "_layers/sha256", hexOf(digest))
    return this.#try(folder, async () => {
      const now = new Date()
      await orNone(utimes(join(this.#blobFolder(digest), "data"), now, now))
      await rm(folder, { recursive: true, force: true })
    })
  }

  /** Takes a blob out of the registry's sight; {@link restore} brings it back. false: it is gone already. */
  readonly hide = (digest: ImageDigest): Effect.Effect<boolean, RegistryStorageFailed> => {
    const folder = this.#blobFolder(digest)
    return this.#try(folder, async () => {
      const hidden = await orNone(rename(join(folder, "data"), join(folder, hiddenName)).then(() => true))
      return hidden === true
    })
  }

  /** Blobs that an earlier run has hidden, and then was killed. */
  readonly hidden: Effect.Effect<ReadonlyArray<ImageDigest>, RegistryStorageFailed> = Effect.suspend(() =>
    this.#try(this.#blobs, async () => {
      const found: Array<ImageDigest> = []
      for (const prefix of await entries(this.#blobs))
        for (const digest of (await entries(join(this.#blobs, prefix))).flatMap(digestOf))
          if ((await entries(this.#blobFolder(digest))).includes(hiddenName)) found.push(digest)
      return found
    })
  )

  /** What was pushed anew meanwhile stays as it is: it is the same bytes. */
  readonly restore = (digest: ImageDigest): Effect.Effect<void, RegistryStorageFailed> => {
    const folder = this.#blobFolder(digest)
    return this.#try(folder, async () => {
      await orNone(rename(join(folder, hiddenName), join(folder, "data")))
    })
  }

  /** Removes what was hidden; not what was pushed anew meanwhile. */
  readonly removeHidden = (digest: ImageDigest): Effect.Effect<void, RegistryStorageFailed> => {
    const folder = this.#blobFolder(digest)
    return this.#try(folder, async () => {
      await rm(join(folder, hiddenName), { force: true })
      await rmdir(folder).catch(() => undefined)
    })
  }

  /** Bytes that are free, and that there are, on the disk. */
  readonly disk: Effect.Effect<{ readonly free: number; readonly total: number }, RegistryStorageFailed> =
    Effect.suspend(() =>
      this.#try(this.root, async () => {
        const { bavail, blocks, bsize } = await statfs(this.root)
        return { free: bavail * bsize, total: blocks * bsize }
      })
    )
}

const hiddenName = "data.collected"
