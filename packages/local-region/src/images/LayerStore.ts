/**
 * The folder in which made layers are kept, for all regions of a machine.
 *
 * `blobs/sha256/<hex>` holds compressed layers; `layers/<recipe hash>.json` says which blob a recipe made. Both appear
 * whole, by a rename, blob first. `scratch/` holds layers in the making; what lies there when nobody holds `lock` is a
 * remnant of a process that was killed.
 */
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream } from "node:fs"
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FileLock from "../FileLock.ts"
import { CacheUnusable } from "./BaseImagesError.ts"
import type { Layer } from "./OciImage.ts"

const Digest = Schema.String.pipe(Schema.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/)))
const Record = Schema.fromJsonString(Schema.Struct({ digest: Digest, diffId: Digest, size: Schema.Int }))

/** How long another process may take that makes layers: many times what all of them take. */
const lockTimeout = "20 minutes"

const digesting = () => {
  const hash = createHash("sha256")
  let size = 0
  return {
    through: new Transform({
      transform(chunk: Buffer, _encoding, next) {
        hash.update(chunk)
        size += chunk.length
        next(null, chunk)
      }
    }),
    digest: () => `sha256:${hash.digest("hex")}`,
    size: () => size
  }
}

export const make = (folder: string) => {
  const scratch = join(folder, "scratch")
  const blobs = join(folder, "blobs", "sha256")
  const records = join(folder, "layers")
  const fileOf = (digest: string) => join(blobs, digest.slice("sha256:".length))
  const attempt = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, CacheUnusable> =>
    Effect.tryPromise({ try: run, catch: (cause) => new CacheUnusable({ folder, detail: String(cause) }) })

  /** The layer that a recipe made, if its record and its whole blob are there. */
  const find = Effect.fn("LayerStore.find")(function* (recipeHash: string) {
    const record = yield* attempt(() => readFile(join(records, `${recipeHash}.json`), "utf8")).pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(Record)),
      Effect.orElseSucceed(() => undefined)
    )
    if (record === undefined) return undefined
    const file = fileOf(record.digest)
    const size = yield* attempt(() => stat(file)).pipe(
      Effect.map((found) => found.size),
      Effect.orElseSucceed(() => -1)
    )
    const layer: Layer = { ...record, file }
    return size === record.size ? layer : undefined
  })

  /** Compresses and keeps a layer. */
  const keep = Effect.fn("LayerStore.keep")((recipeHash: string, tar: string) =>
    attempt(async (signal): Promise<Layer> => {
      const diff = digesting()
      const compressed = digesting()
      const partial = `${tar}.zst`
      await pipeline(
        createReadStream(tar, { highWaterMark: 1 << 20 }),
        diff.through,
        createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 }, chunkSize: 1 << 18 }),
        compressed.through,
        createWriteStream(partial, { flush: true }),
        { signal }
      )
      const record = { digest: compressed.digest(), diffId: diff.digest(), size: compressed.size() }
      const file = fileOf(record.digest)
      await rename(partial, file)
      const written = join(scratch, `${recipeHash}.json`)
      await writeFile(written, JSON.stringify(record), { flush: true })
      await rename(written, join(records, `${recipeHash}.json`))
      return { ...record, file }
    })
  )

  /** Writes a layer's tar. */
  const unpack = Effect.fn("LayerStore.unpack")((layer: Layer, tar: string) =>
    attempt((signal) =>
      pipeline(createReadStream(layer.file), createZstdDecompress(), createWriteStream(tar), { signal })
    )
  )

  /** Removes a layer whose bytes are not what its digest says (a disk's doing), so that it is made again. */
  const discardDamaged = Effect.fn("LayerStore.discardDamaged")((layer: Layer) =>
    attempt(async (signal) => {
      const hash = createHash("sha256")
      await pipeline(createReadStream(layer.file), hash, { signal })
      if (`sha256:${hash.digest("hex")}` !== layer.digest) await rm(layer.file, { force: true })
    })
  )

  /** An empty folder for making a layer, gone with the scope. */
  const workplace = Effect.fn("LayerStore.workplace")((name: string) =>
    Effect.acquireRelease(
      attempt(async () => {
        const path = join(scratch, name)
        await rm(path, { recursive: true, force: true })
        await mkdir(path, { recursive: true })
        return path
      }),
      (path) => Effect.ignore(attempt(() => rm(path, { recursive: true, force: true })))
    )
  )

  /** Held as long as the scope: one process at a time makes layers. */
  const lock = FileLock.exclusive(join(folder, "lock")).pipe(
    Effect.mapError((error) => new CacheUnusable({ folder, detail: error.message })),
    Effect.timeoutOrElse({
      duration: lockTimeout,
      orElse: () =>
        Effect.fail(new CacheUnusable({ folder, detail: `another process held it for ${lockTimeout}` }))
    }),
    Effect.andThen(
      attempt(async () => {
        await rm(scratch, { recursive: true, force: true })
        for (const path of [blobs, records, scratch]) await mkdir(path, { recursive: true })
      })
    )
  )

  return { find, keep, unpack, discardDamaged, workplace, lock }
}
