/** A Temporal dev server for tests and benchmarks: `temporal server start-dev`, in memory, for as long as a scope lives. */
import { accessSync, constants } from "node:fs"
import { createServer } from "node:net"
import { delimiter, join } from "node:path"
import { Connection } from "@temporalio/client"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"

/** The dev server cannot be started. */
export class DevServerFailed extends Schema.TaggedError<DevServerFailed>()("DevServerFailed", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the Temporal dev server: ${this.detail}`
  }
}

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const variable = "MCPDEPLOY_TEMPORAL"

/** Why tests that need a dev server are skipped. */
export const missingProgram = `no Temporal dev server: set ${variable} to the \`temporal\` program (v1.5.1), or put it on PATH`

/** The `temporal` program: `MCPDEPLOY_TEMPORAL`, else the one on PATH. */
export const temporalProgram = (env: NodeJS.ProcessEnv = process.env): string | undefined =>
  [env[variable], ...(env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "temporal"))].find(
    (path) => path !== undefined && isProgram(path)
  )

const freePort = Effect.callback<number, DevServerFailed>((resume) => {
  const server = createServer()
  server.once("error", (error) => resume(Effect.fail(new DevServerFailed({ detail: error.message }))))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      resume(
        typeof address === "object" && address !== null
          ? Effect.succeed(address.port)
          : Effect.fail(new DevServerFailed({ detail: "no free port" }))
      )
    )
  })
})

/** How a dev server is started. */
export interface DevServerOptions {
  /** A free one when absent; a restarted server keeps its address by it. */
  readonly port?: number
  /** A SQLite file that outlives the server; in memory when absent. */
  readonly file?: string
  /** `key=value` of the server's dynamic configuration. */
  readonly settings?: ReadonlyArray<string>
}

/** Temporal's dev server, for a test's time. */
export class DevServer extends Context.Service<
  DevServer,
  {
    /** `host:port` of the frontend. */
    readonly address: string
    readonly port: number
    readonly namespace: string
    /** Process id, for tests that end or stop it. */
    readonly pid: number
  }
>()("mcpdeploy/temporal-adapter/testing/DevServer") {
  static readonly start = Effect.fn("DevServer.start")(function* (options: DevServerOptions = {}) {
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    const program = temporalProgram()
    if (program === undefined) return yield* new DevServerFailed({ detail: missingProgram })
    const port = options.port ?? (yield* freePort)
    const address = `127.0.0.1:${port}`
    const handle = yield* spawner
      .spawn(
        ChildProcess.make(
          program,
          [
            ...["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", String(port)],
            ...["--log-level", "error"],
            ...(options.file === undefined ? [] : ["--db-filename", options.file]),
            ...(options.settings ?? []).flatMap((setting) => ["--dynamic-config-value", setting])
          ],
          { stdin: "ignore", forceKillAfter: "2 seconds" }
        )
      )
      .pipe(Effect.mapError((error) => new DevServerFailed({ detail: error.message })))
    yield* handle.all.pipe(Stream.runDrain, Effect.ignore, Effect.forkScoped)
    yield* Effect.tryPromise({
      try: async () => {
        const connection = await Connection.connect({ address, connectTimeout: "2 seconds" })
        await connection.workflowService.describeNamespace({ namespace: "default" })
        await connection.close()
      },
      catch: (cause) => new DevServerFailed({ detail: String(cause) })
    }).pipe(
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.fail(new DevServerFailed({ detail: `${address} does not answer` }))
      })
    )
    return DevServer.of({ address, port, namespace: "default", pid: handle.pid })
  })

  static readonly layer = (options?: DevServerOptions) => Layer.effect(DevServer, DevServer.start(options))
}
