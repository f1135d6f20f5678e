/**
 * The folders in which checkouts live, shared by all processes of a machine.
 *
 * `<cache>/checkouts/<repository>/<sha>/` holds `files/` and `checkout.json`, and appears whole, by one rename. Beside it:
 * `<sha>.use`, locked shared by who uses the checkout; `<sha>.make`, locked by who makes it; `<sha>.tmp/`, one in the
 * making or a remnant, which belongs to the holder of `<sha>.make`. Who removes a checkout holds both exclusively.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { CommitSha } from "../domain/Source.ts"
import * as FileLock from "./FileLock.ts"
import { saysDiskFull } from "./GitFailure.ts"
import { DiskFull, GitFailed, type GitReason } from "./GitReason.ts"

/** What is known about a checkout that is complete. */
const CheckoutRecord = Schema.fromJsonString(
  Schema.Struct({
    size: Schema.Int,
    files: Schema.Int,
    /** Of the machine's start in which it was written. */
    bootId: Schema.String
  })
)
type CheckoutRecord = typeof CheckoutRecord.Type

/** How to make a checkout: fill `files`. Both folders exist and are empty; `scratch` is removed afterwards. */
export type Fill = (place: {
  readonly files: string
  readonly scratch: string
  readonly lock: number
}) => Effect.Effect<{ readonly size: number; readonly files: number }, GitReason>

export interface CachedCheckout {
  readonly path: string
  readonly size: number
  readonly files: number
}

/** A file takes whole blocks on disk; this is the usual size of one. */
const blockBytes = 4096

const bootIdFile = "/proc/sys/kernel/random/boot_id"

export const make = Effect.fnUntraced(function* (options: {
  readonly folder: string
  /** Checkouts that nobody uses are removed, least recently used first, when all take more than this. */
  readonly maxBytes: number
}) {
  const fs = yield* FileSystem.FileSystem
  const checkouts = join(options.folder, "checkouts")
  const reason = (error: PlatformError): GitReason =>
    saysDiskFull(`${error.message} ${String(error.reason.cause)}`)
      ? new DiskFull({ folder: options.folder })
      : new GitFailed({ detail: error.message })
  const bootId = yield* fs.readFileString(bootIdFile).pipe(
    Effect.map((text) => text.trim()),
    Effect.orElseSucceed(() => "")
  )

  const pathsOf = (repository: string, name: string) => {
    const base = join(checkouts, repository, name)
    return {
      final: base,
      record: join(base, "checkout.json"),
      making: `${base}.tmp`,
      useLock: `${base}.use`,
      makeLock: `${base}.make`
    }
  }
  type Paths = ReturnType<typeof pathsOf>

  const remove = (path: string) =>
    fs.remove(path, { recursive: true, force: true }).pipe(Effect.mapError(reason))

  /** None for one that is not complete, or was written before the machine's last start: its bytes may never have reached the disk. */
  const read = (paths: Paths): Effect.Effect<CheckoutRecord | undefined> =>
    fs.readFileString(paths.record).pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(CheckoutRecord)),
      Effect.map((record) => (record.bootId === bootId ? record : undefined)),
      Effect.orElseSucceed(() => undefined)
    )

  /** Makes the checkout. `lock` is that of its making. */
  const produce = Effect.fnUntraced(function* (paths: Paths, lock: FileLock.FileLock, fill: Fill) {
    yield* Effect.all([remove(paths.making), remove(paths.final)])
    const files = join(paths.making, "files")
    const scratch = join(paths.making, "scratch")
    yield* Effect.gen(function* () {
      for (const folder of [files, scratch])
        yield* fs.makeDirectory(folder, { recursive: true }).pipe(Effect.mapError(reason))
      const { size, files: count } = yield* fill({ files, scratch, lock: lock.fd })
      yield* remove(scratch)
      const record = yield* Schema.encodeEffect(CheckoutRecord)({ size, files: count, bootId }).pipe(
        Effect.orDie
      )
      yield* fs
        .writeFileString(join(paths.making, "checkout.json"), record)
        .pipe(Effect.andThen(fs.rename(paths.making, paths.final)), Effect.mapError(reason))
    }).pipe(Effect.onError(() => Effect.ignore(remove(paths.making))))
  })

  /** All complete checkouts, least recently used first. */
  const list = Effect.gen(function* () {
    const found: Array<{ paths: Paths; bytes: number; usedAt: number }> = []
    for (const repository of yield* fs.readDirectory(checkouts)) {
      for (const name of yield* fs.readDirectory(join(checkouts, repository))) {
        if (name.includes(".")) continue
        const paths = pathsOf(repository, name)
        const record = yield* read(paths)
        const usedAt = yield* fs.stat(paths.useLock).pipe(
          Effect.map(({ mtime }) => (mtime._tag === "Some" ? mtime.value.getTime() : 0)),
          Effect.orElseSucceed(() => 0)
        )
        found.push({ paths, bytes: (record?.size ?? 0) + (record?.files ?? 0) * blockBytes, usedAt })
      }
    }
    return found.toSorted((a, b) => a.usedAt - b.usedAt)
  }).pipe(Effect.mapError(reason))

  /** Removes a checkout, or the remnants of one, unless somebody uses it. Returns whether it is gone. */
  const removeUnused = (paths: Paths) =>
    Effect.gen(function* () {
      if ((yield* FileLock.tryAcquire(paths.makeLock)) === undefined) return false
      if ((yield* FileLock.tryAcquire(paths.useLock)) === undefined) return false
      // Renamed first: a checkout is there whole or not at all, also while it is being removed.
      yield* remove(paths.making)
      yield* fs.rename(paths.final, paths.making).pipe(Effect.ignore)
      yield* remove(paths.making)
      yield* remove(paths.useLock)
      yield* remove(paths.makeLock)
      return true
    }).pipe(Effect.scoped)

  /** Removes unused checkouts, least recently used first, until all take at most `maxBytes`. */
  const evict = Effect.fnUntraced(function* (maxBytes: number) {
    const all = yield* list
    let total = all.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { paths, bytes } of all) {
      if (total <= maxBytes) return
      if (yield* removeUnused(paths)) total -= bytes
    }
  })

  /** Told of each new checkout. */
  const grown = yield* Queue.sliding<void>(1)

  /** Removes what processes that were killed have left. */
  const sweep = Effect.gen(function* () {
    for (const repository of yield* fs.readDirectory(checkouts)) {
      const names = new Set(yield* fs.readDirectory(join(checkouts, repository)))
      for (const name of names) {
        const [sha = "", ending] = name.split(".")
        if (ending === "tmp" || (ending !== undefined && !names.has(sha)))
          yield* removeUnused(pathsOf(repository, sha))
      }
    }
  }).pipe(Effect.mapError((error) => (error._tag === "PlatformError" ? reason(error) : error)))

  /** Makes the checkout unless it is there, and then holds `use`, too. Returns whether it had to. */
  const makeMissing = Effect.fnUntraced(function* <R>(
    paths: Paths,
    fill: Fill,
    use: Effect.Effect<unknown, GitReason, R>
  ) {
    // Both at once, for each is a process. Who removes a checkout waits for neither, so their order is free.
    const [lock] = yield* Effect.all([FileLock.acquire(paths.makeLock, "exclusive"), use], {
      concurrency: "unbounded"
    })
    if ((yield* read(paths)) !== undefined) return false
    yield* produce(paths, lock, fill).pipe(
      // One more attempt with everything removed that nobody uses.
      Effect.catchTag("DiskFull", () => Effect.andThen(evict(0), produce(paths, lock, fill)))
    )
    return true
  }, Effect.scoped)

  /** The checkout of a commit, made by `fill` when it is not there. It stays as long as the scope. */
  const get = Effect.fnUntraced(function* (
    repository: string,
    commit: CommitSha,
    fill: Fill
  ): Effect.fn.Return<CachedCheckout, GitReason, Scope.Scope> {
    const paths = pathsOf(repository, commit)
    yield* fs.makeDirectory(join(checkouts, repository), { recursive: true }).pipe(Effect.mapError(reason))
    const scope = yield* Scope.Scope
    for (;;) {
      const lease = yield* Scope.fork(scope)
      const use = FileLock.acquire(paths.useLock, "shared").pipe(Scope.provide(lease))
      const made =
        (yield* read(paths)) === undefined
          ? yield* makeMissing(paths, fill, use).pipe(
              Effect.onError((cause) => Scope.close(lease, Exit.failCause(cause)))
            )
          : yield* Effect.as(use, false)
      const record = yield* read(paths)
      if (record === undefined) {
        // It was removed before the lock was held.
        yield* Scope.close(lease, Exit.void)
        continue
      }
      const now = new Date()
      yield* fs.utimes(paths.useLock, now, now).pipe(Effect.ignore)
      if (made) yield* Queue.offer(grown, undefined)
      return { path: join(paths.final, "files"), size: record.size, files: record.files }
    }
  })

  yield* fs.makeDirectory(checkouts, { recursive: true, mode: 0o700 }).pipe(Effect.mapError(reason))
  // Beside the deploys: it looks at every checkout there is. One round at a time, and one more for all that came meanwhile.
  yield* Queue.take(grown).pipe(
    Effect.andThen(evict(options.maxBytes)),
    Effect.catch((error) => Effect.logWarning(`unused checkouts were not removed: ${error.message}`)),
    Effect.forever,
    Effect.forkScoped
  )
  return { get, sweep }
})
