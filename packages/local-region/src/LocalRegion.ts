/**
 * LocalRegion: a whole region on this machine out of real servers, in one bundle of namespaces.
 *
 * The same servers as in production: etcd, Kubernetes, containerd, gVisor, CoreDNS, Traefik, registry and BuildKit.
 */
import { readdirSync } from "node:fs"
import { basename, join } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Bundle from "./Bundle.ts"
import { dataFolder, defaultCacheFolder, defaultDataFolder } from "./DataFolder.ts"
import type { ExistingParts } from "./Existing.ts"
import * as FileLock from "./FileLock.ts"
import {
  LocalRegionError,
  type LocalRegionReason,
  MachineUnsuitable,
  ToolUnavailable
} from "./LocalRegionError.ts"
import type { RegionEvent } from "./RegionEvent.ts"
import type { OptionalPart, RegionEndpoints } from "./RegionState.ts"
import * as Toolchain from "./Toolchain.ts"
import { extraTools, giteaTool, goTools, temporalTool } from "./Tools.ts"
import * as Up from "./Up.ts"

const allTools = [...goTools, ...extraTools, temporalTool, giteaTool]

/** Which region is meant. */
export interface RegionOptions {
  /** Default: `$XDG_STATE_HOME/mcpdeploy/local`. */
  readonly dataFolder?: string
  /** Shared by all regions. Default: `$XDG_CACHE_HOME/mcpdeploy`. */
  readonly cacheFolder?: string
}

/** What a region is brought up with. */
export interface UpOptions extends RegionOptions {
  readonly existing?: ExistingParts
  /** Parts that a region has only when asked for. */
  readonly with?: ReadonlyArray<OptionalPart>
  readonly onEvent?: (event: RegionEvent) => Effect.Effect<void>
}

/** How a region stands. */
export type RegionStatus =
  | { readonly state: "down" }
  /** Processes are there, but the region is not ready, or does not answer. */
  | { readonly state: "starting" | "unhealthy" }
  | { readonly state: "up"; readonly endpoints: RegionEndpoints }

/** Whose logs, and from where on. */
export interface LogOptions extends RegionOptions {
  /** One server; all of them when absent. */
  readonly server?: string
  readonly follow?: boolean
  /** Lines of each log to begin with. Default: 200. */
  readonly lines?: number
}

/** A whole region on this machine: up, down, its state and its logs. */
export class LocalRegion extends Context.Service<
  LocalRegion,
  {
    /** Brings the region up. Up already: gives its endpoints at once. Interrupted or killed, and called again: goes on. */
    readonly up: (options?: UpOptions) => Effect.Effect<RegionEndpoints, LocalRegionError>
    /** Ends every process of the region and removes what it left; its data stays. Down already: does nothing. */
    readonly down: (options?: RegionOptions) => Effect.Effect<void, LocalRegionError>
    readonly status: (options?: RegionOptions) => Effect.Effect<RegionStatus, LocalRegionError>
    /** The folder of a tool's programs (`kubectl`, or one of the region's own); compiled first where it is missing. */
    readonly tool: (
      name: string,
      options?: Pick<UpOptions, "cacheFolder" | "onEvent">
    ) => Effect.Effect<string, LocalRegionError>
    /** The servers' logs, as `tail` gives them. */
    readonly logs: (options?: LogOptions) => Stream.Stream<string, LocalRegionError>
  }
>()("mcpdeploy/local-region/LocalRegion") {
  static readonly layer: Layer.Layer<
    LocalRegion,
    never,
    FileSystem.FileSystem | ChildProcessSpawner.ChildProcessSpawner
  > = Layer.effect(
    LocalRegion,
    Effect.gen(function* () {
      const services = Context.merge(
        Context.make(FileSystem.FileSystem, yield* FileSystem.FileSystem),
        Context.make(ChildProcessSpawner.ChildProcessSpawner, yield* ChildProcessSpawner.ChildProcessSpawner)
      )
      type Services = FileSystem.FileSystem | ChildProcessSpawner.ChildProcessSpawner
      const finish =
        (operation: LocalRegionError["operation"]) =>
        <A>(
          effect: Effect.Effect<
            A,
            LocalRegionReason | { readonly _tag: "PlatformError"; readonly message: string },
            Services
          >
        ) =>
          effect.pipe(
            Effect.mapError(
              (reason) =>
                new LocalRegionError({
                  operation,
                  reason:
                    reason._tag === "PlatformError"
                      ? new MachineUnsuitable({ detail: reason.message })
                      : reason
                })
            ),
            Effect.provideContext(services)
          )
      const folderOf = (options?: RegionOptions) => dataFolder(options?.dataFolder ?? defaultDataFolder())

      const up = Effect.fn("LocalRegion.up")(function* (options: UpOptions = {}) {
        return yield* Up.up(
          {
            dataFolder: folderOf(options).root,
            cacheFolder: options.cacheFolder ?? defaultCacheFolder(),
            ...(options.existing === undefined ? {} : { existing: options.existing }),
            ...(options.with === undefined ? {} : { with: options.with })
          },
          options.onEvent ?? (() => Effect.void)
        ).pipe(finish("up"))
      })

      const down = Effect.fn("LocalRegion.down")(function* (options?: RegionOptions) {
        const folder = folderOf(options)
        yield* Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          if (!(yield* fs.exists(folder.root))) return
          yield* FileLock.exclusive(folder.lock)
          yield* fs.remove(folder.region, { force: true })
          yield* Bundle.stop(folder)
        }).pipe(Effect.scoped, finish("down"))
      })

      const status = Effect.fn("LocalRegion.status")(function* (options?: RegionOptions) {
        const folder = folderOf(options)
        return yield* Effect.gen(function* (): Effect.fn.Return<
          RegionStatus,
          LocalRegionReason | { readonly _tag: "PlatformError"; readonly message: string },
          Services
        > {
          if (!(yield* Bundle.isAlive(folder))) {
            yield* Bundle.removeCgroups(folder)
            return { state: "down" }
          }
          const endpoints = yield* Up.readRegion(folder)
          if (endpoints === undefined) return { state: "starting" }
          const parts = (yield* Up.readSettings(folder))?.parts ?? {
            buildkit: true,
            registry: true,
            cluster: true
          }
          return (yield* Up.answers(endpoints, parts)) ? { state: "up", endpoints } : { state: "unhealthy" }
        }).pipe(finish("status"))
      })

      const tool = Effect.fn("LocalRegion.tool")(function* (
        name: string,
        options?: Pick<UpOptions, "cacheFolder" | "onEvent">
      ) {
        const cache = options?.cacheFolder ?? defaultCacheFolder()
        return yield* Effect.gen(function* () {
          const wanted = allTools.filter((each) => each.name === name)
          const plan = yield* Toolchain.plan(cache, wanted)
          const folder = plan.folders[name]
          if (wanted.length === 0 || folder === undefined) {
            const names = allTools.map((each) => each.name).join(", ")
            return yield* new ToolUnavailable({ tool: name, advice: `the tools are ${names}` })
          }
          yield* Toolchain.buildAll(cache, plan.toBuild, options?.onEvent ?? (() => Effect.void))
          return folder
        }).pipe(finish("tools"))
      })

      const logs = (options: LogOptions = {}) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const folder = folderOf(options)
            const names = yield* Effect.try({
              try: () => readdirSync(folder.logs).filter((name) => name.endsWith(".log")),
              catch: () => new MachineUnsuitable({ detail: `there are no logs in ${folder.logs}` })
            })
            const chosen = names.filter(
              (name) => options.server === undefined || basename(name, ".log") === options.server
            )
            if (chosen.length === 0) {
              return yield* new MachineUnsuitable({
                detail: `no server is called ${options.server}; there are ${names.map((name) => basename(name, ".log")).join(", ")}`
              })
            }
            const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
            const paths = chosen.map((name) => join(folder.logs, name))
            const flags = [`--lines=${options.lines ?? 200}`, ...(options.follow === true ? ["-F"] : [])]
            return spawner
              .streamLines(ChildProcess.make("tail", [...flags, ...paths], { extendEnv: true }))
              .pipe(
                Stream.mapError(
                  (error) =>
                    new LocalRegionError({
                      operation: "logs",
                      reason: new MachineUnsuitable({ detail: error.message })
                    })
                )
              )
          }).pipe(finish("logs"))
        )

      return LocalRegion.of({ up, down, status, tool, logs })
    })
  )
}
