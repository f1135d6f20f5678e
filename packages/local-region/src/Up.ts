/** Brings a region up, from whatever state it is in, and follows it until it is ready. */
import { closeSync, openSync, readSync } from "node:fs"
import { join } from "node:path"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Bundle from "./Bundle.ts"
import { type DataFolder, dataFolder, longestRoot } from "./DataFolder.ts"
import { type ExistingParts, withK3s } from "./Existing.ts"
import * as FileLock from "./FileLock.ts"
import * as BaseImages from "./images/BaseImages.ts"
import * as Health from "./Health.ts"
import { MachineUnsuitable, RegionEnded } from "./LocalRegionError.ts"
import { acmeTool } from "./servers/Acme.ts"
import { choose, machineAddresses } from "./Ports.ts"
import { RegionEvent } from "./RegionEvent.ts"
import {
  type BundleSettings,
  type OptionalPart,
  optionalParts,
  type Parts,
  type RegionEndpoints,
  RegionFile,
  SettingsFile
} from "./RegionState.ts"
import * as Toolchain from "./Toolchain.ts"
import { giteaTool, type GoTool, goTools, temporalTool } from "./Tools.ts"

export interface UpOptions {
  readonly dataFolder: string
  readonly cacheFolder: string
  readonly existing?: ExistingParts
  /** Also start these. */
  readonly with?: ReadonlyArray<OptionalPart>
  /** How long all of it may take, with nothing built yet. Default: 60 minutes. */
  readonly deadline?: "60 minutes" | "20 minutes" | "5 minutes"
}

const optionalTools: Readonly<Record<OptionalPart, GoTool>> = {
  temporal: temporalTool,
  gitea: giteaTool,
  acme: acmeTool
}

const toolsOf = (parts: Parts): ReadonlyArray<GoTool> => [
  ...goTools.filter(({ name }) =>
    name === "buildkit" ? parts.buildkit : name === "registry" ? parts.registry : parts.cluster
  ),
  ...optionalParts.filter((part) => parts[part] === true).map((part) => optionalTools[part])
]

/** region.json, when it is there and can be read. */
export const readRegion = Effect.fn("Up.readRegion")(function* (folder: DataFolder) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.readFileString(folder.region).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(RegionFile)),
    Effect.orElseSucceed(() => undefined)
  )
})

export const readSettings = Effect.fn("Up.readSettings")(function* (folder: DataFolder) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.readFileString(folder.settings).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(SettingsFile)),
    Effect.orElseSucceed(() => undefined)
  )
})

/** Whether the region's own servers answer through their forwarded ports. */
export const answers = (endpoints: RegionEndpoints, parts: Parts) =>
  Effect.all(
    [
      parts.registry ? Health.http(`${endpoints.registry.endpoint}/v2/`) : Effect.void,
      parts.cluster ? Health.http(endpoints.ingress.http, 200, 404) : Effect.void,
      endpoints.gitea === undefined ? Effect.void : Health.http(`${endpoints.gitea.url}/api/healthz`),
      endpoints.temporal === undefined
        ? Effect.void
        : Health.accepts({ host: "127.0.0.1", port: Number(endpoints.temporal.address.split(":")[1]) }),
      parts.buildkit
        ? Health.accepts({ path: endpoints.buildkit.address.replace("unix://", "") })
        : Effect.void
    ],
    { concurrency: "unbounded", discard: true }
  ).pipe(
    Effect.timeout("5 seconds"),
    Effect.as(true),
    Effect.orElseSucceed(() => false)
  )

const decodeEvent = Schema.decodeUnknownEffect(Schema.fromJsonString(RegionEvent))

/** Gives on what the supervisor reports, until the region is ready; fails when it fails or ends. */
const follow = Effect.fn("Up.follow")(function* (folder: DataFolder, onEvent: Toolchain.OnEvent) {
  const file = yield* Effect.acquireRelease(
    Effect.sync(() => openSync(folder.events, "r")),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  const buffer = Buffer.alloc(65_536)
  let rest = ""
  let checked = 0
  for (;;) {
    const count = readSync(file, buffer, 0, buffer.length, null)
    rest += buffer.toString("utf8", 0, count)
    const lines = rest.split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const event = yield* Effect.mapError(
        decodeEvent(line),
        (error) => new RegionEnded({ detail: `${folder.events}: ${error.message}` })
      )
      if (event._tag === "RegionFailed") return yield* event.reason
      if (event._tag === "RegionReady") return event
      yield* onEvent(event)
    }
    if (count > 0) continue
    yield* Effect.sleep("50 millis")
    const now = yield* Clock.currentTimeMillis
    if (now - checked > 2000) {
      checked = now
      if (!(yield* Bundle.isAlive(folder))) {
        return yield* new RegionEnded({ detail: `see ${folder.logs}/supervisor.log` })
      }
    }
  }
}, Effect.scoped)

const prepare = Effect.fn("Up.prepare")(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  if (Buffer.byteLength(root) > longestRoot || !/^\/[\w./+@-]+$/.test(root)) {
    return yield* new MachineUnsuitable({
      detail: `${root} cannot be the data folder: it must be an absolute path of at most ${longestRoot} plain characters`
    })
  }
  if (process.getuid?.() !== 0) {
    return yield* new MachineUnsuitable({
      detail:
        "a local region makes namespaces, mounts and cgroups, so it needs root; run it with sudo, or name an existing " +
        "cluster, BuildKit and registry instead"
    })
  }
  yield* fs.makeDirectory(root, { recursive: true, mode: 0o700 })
  return dataFolder(yield* fs.realPath(root))
})

const merged = (endpoints: RegionEndpoints, existing: ExistingParts): RegionEndpoints => ({
  ...endpoints,
  kubeconfig: existing.kubeconfig ?? endpoints.kubeconfig,
  buildkit: existing.buildkit === undefined ? endpoints.buildkit : { address: existing.buildkit },
  registry: existing.registry ?? endpoints.registry,
  ingress:
    existing.ingress === undefined ? endpoints.ingress : { ...endpoints.ingress, http: existing.ingress }
})

const sameTools = (one: BundleSettings | undefined, tools: BundleSettings["tools"], parts: Parts): boolean =>
  one !== undefined && JSON.stringify([one.tools, one.parts]) === JSON.stringify([tools, parts])

/** Idempotent: a region that is up is found and given back; one that is half up is completed. */
export const up = Effect.fn("Up.up")(function* (options: UpOptions, onEvent: Toolchain.OnEvent) {
  const existing = withK3s(options.existing ?? {})
  const parts = {
    buildkit: existing.buildkit === undefined,
    registry: existing.registry === undefined,
    cluster: existing.kubeconfig === undefined
  }
  if (!parts.buildkit && !parts.registry && !parts.cluster) {
    const nothing = { address: "" }
    return merged(
      {
        dataFolder: options.dataFolder,
        kubeconfig: "",
        buildkit: nothing,
        registry: { name: "", endpoint: "" },
        ingress: { http: "", https: "", className: "traefik" },
        pid: 0
      },
      existing
    )
  }
  const folder = yield* prepare(options.dataFolder)
  return yield* upOwn(options, existing, parts, folder, onEvent)
})

const upOwn = Effect.fn("Up.upOwn")(function* (
  options: UpOptions,
  existing: ExistingParts,
  required: Parts,
  folder: DataFolder,
  onEvent: Toolchain.OnEvent
) {
  const fs = yield* FileSystem.FileSystem
  yield* FileLock.exclusive(folder.lock)
  const alive = yield* Bundle.isAlive(folder)
  const known = yield* readRegion(folder)
  const previous = yield* readSettings(folder)
  // A region that is up keeps the optional parts that it has.
  const wanted = optionalParts.filter(
    (part) => options.with?.includes(part) === true || (alive && previous?.parts[part] === true)
  )
  const parts: Parts = { ...required, ...Object.fromEntries(wanted.map((part) => [part, true])) }
  const hasParts = wanted.every((part) => known?.[part] !== undefined)
  if (alive && known !== undefined && hasParts && (yield* answers(known, parts))) return known
  const begun = yield* Clock.currentTimeMillis
  const tools = yield* Toolchain.plan(options.cacheFolder, toolsOf(parts))
  yield* onEvent({
    _tag: "ToolsPlanned",
    ready: toolsOf(parts)
      .filter((tool) => !tools.toBuild.includes(tool))
      .map(({ name }) => name),
    build: tools.toBuild.map(({ name }) => name),
    install: tools.missingPackages.map((tool) => tool.package),
    estimateSeconds: tools.toBuild.reduce((sum, tool) => sum + tool.seconds, 0) + 15
  })
  yield* fs.remove(folder.region, { force: true })
  yield* Toolchain.installPackages(options.cacheFolder, tools, onEvent)
  // A region that is up but does not answer, or that runs other programs than these, is started anew.
  const resumable = alive && known === undefined && sameTools(previous, tools.folders, parts)
  if (!resumable) {
    if (alive) {
      yield* onEvent({
        _tag: "RegionRestarting",
        missing: wanted.filter((part) => known?.[part] === undefined)
      })
      yield* Bundle.stop(folder)
    }
    yield* Bundle.removeCgroups(folder)
    const settings: BundleSettings = {
      dataFolder: folder.root,
      parts,
      ports: yield* choose(previous?.ports),
      machineAddresses: machineAddresses(),
      cgroup: folder.cgroup,
      tools: tools.folders
    }
    yield* fs.writeFileString(folder.settings, JSON.stringify(settings, undefined, 2))
    yield* Bundle.start(folder, options.cacheFolder)
  }
  const canBuild = yield* Deferred.make<string>()
  const noticing = (event: RegionEvent) =>
    Effect.andThen(
      onEvent(event),
      event._tag === "BuildReady"
        ? Deferred.succeed(canBuild, event.endpoints.registry.endpoint)
        : Effect.void
    )
  // Images are made while the cluster still compiles or starts.
  const images = Effect.flatMap(Deferred.await(canBuild), (registryEndpoint) =>
    BaseImages.seed({
      registryEndpoint,
      cacheFolder: join(options.cacheFolder, "images"),
      onProgress: ({ fraction, message }) => onEvent({ _tag: "ImagesProgress", message, fraction })
    })
  )
  const cluster = Effect.tap(follow(folder, noticing), ({ endpoints }) =>
    Deferred.succeed(canBuild, endpoints.registry.endpoint)
  )
  const [ready] = yield* Effect.raceFirst(
    Effect.all([cluster, parts.registry ? images : Effect.void], { concurrency: "unbounded" }),
    Effect.andThen(Toolchain.buildAll(options.cacheFolder, tools.toBuild, onEvent), Effect.never)
  ).pipe(
    Effect.timeoutOrElse({
      duration: options.deadline ?? "60 minutes",
      orElse: () =>
        Effect.fail(
          new RegionEnded({ detail: `it did not get ready in ${options.deadline ?? "60 minutes"}` })
        )
    })
  )
  const endpoints = merged({ ...ready.endpoints, pid: Bundle.initPid(folder) }, existing)
  yield* fs.writeFileString(`${folder.region}.part`, JSON.stringify(endpoints, undefined, 2))
  yield* fs.rename(`${folder.region}.part`, folder.region)
  const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
  yield* onEvent({ _tag: "RegionReady", endpoints, seconds })
  return endpoints
}, Effect.scoped)
