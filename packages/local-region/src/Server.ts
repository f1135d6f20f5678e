/** A server of the region: a process in a scope, with its log and its health check. */
import { join } from "node:path"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { ServerFailed } from "./LocalRegionError.ts"
import * as LogFile from "./LogFile.ts"
import * as Network from "./Network.ts"
import { Supervision } from "./Supervision.ts"

export interface ServerOptions {
  /** Also the name of its log and its state folder. */
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Runs in the machine's network instead of the bundle's; it ends with the bundle all the same. */
  readonly onMachine?: true
  /** Runs in the network of builds. */
  readonly inBuilds?: true
  /** Fails until the server serves. */
  readonly healthy: Effect.Effect<unknown, unknown, ChildProcessSpawner.ChildProcessSpawner>
  readonly deadline?: Duration.Input
}

/** Starts the server and returns when it is healthy. When it ends by itself, the region ends. */
export const start = Effect.fn("Server.start")(function* (options: ServerOptions) {
  const supervision = yield* Supervision
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const fs = yield* FileSystem.FileSystem
  const begun = yield* Clock.currentTimeMillis
  yield* fs.makeDirectory(supervision.folder.state(options.name), { recursive: true })
  const log = yield* LogFile.open(join(supervision.folder.logs, `${options.name}.log`))
  const failed = (detail: string) =>
    Effect.flatMap(log.lastLines, (lastLines) =>
      Effect.fail(new ServerFailed({ server: options.name, detail, logFile: log.path, lastLines }))
    )
  const network =
    options.onMachine === true ? Network.onMachine : options.inBuilds === true ? Network.inBuilds : undefined
  const [command, args] =
    network === undefined
      ? [options.command, options.args]
      : ["nsenter", [...network, options.command, ...options.args]]
  const handle = yield* spawner
    .spawn(
      ChildProcess.make(command, args, {
        cwd: supervision.folder.state(options.name),
        env: { PATH: supervision.path, ...options.env },
        extendEnv: true,
        stdin: "ignore",
        forceKillAfter: "2 seconds"
      })
    )
    .pipe(Effect.catchTag("PlatformError", (error) => failed(`cannot be started: ${error.message}`)))
  const output = yield* handle.all.pipe(Stream.runForEach(log.write), Effect.ignore, Effect.forkScoped)
  const ended = Effect.gen(function* () {
    const exitCode = yield* Effect.orElseSucceed(handle.exitCode, () => "a signal")
    yield* Effect.timeoutOption(Fiber.join(output), "1 second")
    return yield* failed(`ended by itself (${exitCode})`)
  })
  yield* options.healthy.pipe(
    Effect.timeout("2 seconds"),
    Effect.retry(Schedule.spaced("100 millis")),
    // The schedule has no end: only the deadline ends it.
    Effect.catch(() => failed("is not healthy")),
    Effect.timeoutOrElse({
      duration: options.deadline ?? "60 seconds",
      orElse: () => failed("did not get healthy in time")
    }),
    Effect.raceFirst(ended)
  )
  yield* ended.pipe(Effect.catch(supervision.fail), Effect.forkScoped)
  const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
  yield* supervision.report({ _tag: "ServerReady", server: options.name, seconds })
})
