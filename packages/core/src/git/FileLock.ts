/**
 * Locks between processes, by flock(2). The kernel gives a lock back when its last holder is gone, however it ended, so
 * nothing has to be cleaned up after kill -9, and no process id is compared (several containers may share a cache).
 *
 * Node has no flock: flock(1) of util-linux locks the open file that it inherits, and leaves the lock to this process.
 */
import { type FileHandle, open, stat } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { GitFailed, type GitReason, ToolMissing } from "./GitReason.ts"
import { runProcess } from "./Process.ts"

export interface FileLock {
  /** The open file that carries the lock. A program that inherits it holds the lock as well. */
  readonly fd: number
}

const failed = (path: string) => (cause: unknown) =>
  new GitFailed({ detail: `the lock ${path} cannot be taken: ${String(cause)}` })

/** Between opening and locking, another process may have removed the file and made it anew. */
const isStillThere = (handle: FileHandle, path: string): Effect.Effect<boolean, GitReason> =>
  Effect.tryPromise({
    try: async () => {
      const [locked, there] = await Promise.all([
        handle.stat(),
        stat(path).catch((error: NodeJS.ErrnoException) => {
          if (error.code === "ENOENT") return undefined
          throw error
        })
      ])
      return there !== undefined && locked.ino === there.ino && locked.dev === there.dev
    },
    catch: failed(path)
  })

const attempt = Effect.fnUntraced(function* (path: string, args: ReadonlyArray<string>) {
  const handle = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => open(path, "a", 0o600), catch: failed(path) }),
    (handle) => Effect.promise(() => handle.close().catch(() => undefined))
  )
  const { exitCode, stderr } = yield* runProcess({
    command: "flock",
    args: [...args, "3"],
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    inherit: handle.fd
  }).pipe(
    Effect.catchTag("ToolMissing", () =>
      Effect.fail(
        new ToolMissing({ tool: "flock", detail: "install util-linux (apt-get install util-linux)" })
      )
    )
  )
  if (exitCode === 1) return "busy"
  if (exitCode !== 0) return yield* failed(path)(stderr)
  return (yield* isStillThere(handle, path)) ? { fd: handle.fd } : "gone"
})

/** Runs an effect in a part of the scope that is closed at once unless a lock was taken. */
const take = Effect.fnUntraced(function* (path: string, args: ReadonlyArray<string>) {
  const scope = yield* Scope.Scope
  for (;;) {
    const own = yield* Scope.fork(scope)
    const result = yield* attempt(path, args).pipe(
      Scope.provide(own),
      Effect.onExit((exit) =>
        exit._tag === "Success" && typeof exit.value !== "string" ? Effect.void : Scope.close(own, exit)
      )
    )
    if (result !== "gone") return result
  }
})

/** Waits for the lock, and holds it as long as the scope. The file is made where it is missing. */
export const acquire = Effect.fnUntraced(function* (
  path: string,
  mode: "shared" | "exclusive"
): Effect.fn.Return<FileLock, GitReason, Scope.Scope> {
  const result = yield* take(path, [`--${mode}`])
  return result === "busy" ? yield* failed(path)("flock did not wait") : result
})

/** The exclusive lock, or undefined when anybody holds it. */
export const tryAcquire = (path: string): Effect.Effect<FileLock | undefined, GitReason, Scope.Scope> =>
  Effect.map(take(path, ["--exclusive", "--nonblock"]), (result) => (result === "busy" ? undefined : result))
