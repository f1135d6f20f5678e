/** A lock between processes that ends with its holder, however that ends: flock(1) holds it, our pipe holds flock. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { dirname } from "node:path"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { MachineUnsuitable } from "./LocalRegionError.ts"

/** Waits for the exclusive lock, and holds it as long as the scope. */
export const exclusive = Effect.fn("FileLock.exclusive")(
  function* (path: string) {
    const fs = yield* FileSystem.FileSystem
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    yield* fs.makeDirectory(dirname(path), { recursive: true })
    const handle = yield* spawner.spawn(
      // `cat` ends with our end of the pipe, so with this process.
      ChildProcess.make("flock", ["--exclusive", path, "sh", "-c", "echo locked; exec cat"], {
        stdin: Stream.never,
        extendEnv: true
      })
    )
    const locked = yield* Deferred.make<void, MachineUnsuitable>()
    yield* handle.stdout.pipe(
      Stream.runForEach(() => Deferred.succeed(locked, undefined)),
      Effect.andThen(Deferred.fail(locked, new MachineUnsuitable({ detail: `${path} cannot be locked` }))),
      Effect.ignore,
      Effect.forkScoped
    )
    yield* Deferred.await(locked)
  },
  (effect, path) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(new MachineUnsuitable({ detail: `${path} cannot be locked: ${error.message}` }))
    )
)
