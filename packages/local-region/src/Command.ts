/** Runs a program for its result. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { CommandFailed, ToolUnavailable } from "./LocalRegionError.ts"

/** How a command is run. */
export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** Called with each line of output as it comes. */
  readonly onLine?: (line: string) => Effect.Effect<void>
}

const keptLines = 40

/** Succeeds with the output (both streams); fails when the program is missing or its exit code is not zero. */
export const run = Effect.fn("Command.run")(
  function* (command: string, args: ReadonlyArray<string>, options: RunOptions = {}) {
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    const handle = yield* spawner.spawn(
      ChildProcess.make(command, args, {
        stdin: options.stdin === undefined ? "ignore" : Stream.make(new TextEncoder().encode(options.stdin)),
        extendEnv: true,
        forceKillAfter: "5 seconds",
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.env === undefined ? {} : { env: options.env })
      })
    )
    const lines: Array<string> = []
    const [, exitCode] = yield* Effect.all(
      [
        handle.all.pipe(
          Stream.decodeText(),
          Stream.splitLines,
          Stream.runForEach((line) => {
            lines.push(line)
            return options.onLine?.(line) ?? Effect.void
          })
        ),
        handle.exitCode
      ],
      { concurrency: "unbounded" }
    )
    if (exitCode !== ChildProcessSpawner.ExitCode(0)) {
      return yield* new CommandFailed({
        command: [command, ...args].join(" ").slice(0, 200),
        exitCode: Number(exitCode),
        output: lines.slice(-keptLines).join("\n")
      })
    }
    return lines.join("\n")
  },
  Effect.scoped,
  (effect, command) =>
    Effect.catchTag(effect, "PlatformError", (error): Effect.Effect<never, CommandFailed | ToolUnavailable> =>
      error.reason._tag === "NotFound"
        ? Effect.fail(new ToolUnavailable({ tool: command, advice: "install it, or put it on PATH" }))
        : Effect.fail(new CommandFailed({ command, exitCode: -1, output: error.message }))
    )
)
