/** Makes sure that every program a region needs is on this machine. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { run } from "./Command.ts"
import * as FileLock from "./FileLock.ts"
import * as GoBuild from "./GoBuild.ts"
import { ToolUnavailable } from "./LocalRegionError.ts"
import type { RegionEvent } from "./RegionEvent.ts"
import { type DebianTool, debianFolders, debianTools, type GoTool, goTools } from "./Tools.ts"
import { atLeast } from "./Version.ts"

export type OnEvent = (event: RegionEvent) => Effect.Effect<void>

/** PATH of this process, and the folders where Debian puts what only root runs. */
export const searchPath = (): ReadonlyArray<string> => [
  ...new Set([...(process.env["PATH"] ?? "").split(delimiter), ...debianFolders])
]

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The folder on the search path that holds the program. */
export const folderOf = (program: string): string | undefined =>
  searchPath().find((folder) => folder !== "" && isExecutable(join(folder, program)))

const unpackedFolder = (cache: string, tool: DebianTool): string => join(cache, "debian", tool.package)

const isThere = (cache: string, tool: DebianTool): boolean =>
  tool.programs.every(
    (program) =>
      folderOf(program) !== undefined ||
      (tool.unpack === true && isExecutable(join(unpackedFolder(cache, tool), "usr/bin", program)))
  )

const aptEnvironment = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" }

const unpack = Effect.fn("Toolchain.unpack")(function* (cache: string, tool: DebianTool) {
  const fs = yield* FileSystem.FileSystem
  const folder = unpackedFolder(cache, tool)
  const part = `${folder}.part`
  yield* fs.remove(part, { recursive: true, force: true })
  yield* fs.makeDirectory(part, { recursive: true })
  yield* run("apt-get", ["-o", "APT::Sandbox::User=root", "download", tool.package], {
    cwd: part,
    env: aptEnvironment
  })
  const [archive] = (yield* fs.readDirectory(part)).filter((name) => name.endsWith(".deb"))
  if (archive === undefined) {
    return yield* new ToolUnavailable({ tool: tool.package, advice: "apt-get download gave no package" })
  }
  yield* run("dpkg-deb", ["-x", archive, "."], { cwd: part })
  yield* fs.remove(join(part, archive))
  yield* fs.remove(folder, { recursive: true, force: true })
  yield* fs.rename(part, folder)
})

/** Installs what is missing of Debian's packages; where that cannot be done, says what to install. */
const ensureDebian = Effect.fn("Toolchain.ensureDebian")(function* (
  cache: string,
  missing: ReadonlyArray<DebianTool>,
  onEvent: OnEvent
) {
  if (missing.length === 0) return
  const started = yield* Clock.currentTimeMillis
  const names = missing.map((tool) => tool.package)
  if (process.getuid?.() !== 0 || folderOf("apt-get") === undefined) {
    return yield* new ToolUnavailable({
      tool: names.join(", "),
      advice: `install it (on Debian, as root: apt-get install --no-install-recommends ${names.join(" ")})`
    })
  }
  yield* FileLock.exclusive(join(cache, "apt.lock"))
  const still = missing.filter((tool) => !isThere(cache, tool))
  const install = Effect.gen(function* () {
    const packages = still.filter((tool) => tool.unpack !== true).map((tool) => tool.package)
    if (packages.length > 0) {
      yield* run("apt-get", ["install", "-y", "--no-install-recommends", ...packages], {
        env: aptEnvironment
      })
    }
    yield* Effect.forEach(
      still.filter((tool) => tool.unpack === true),
      (tool) => unpack(cache, tool),
      { discard: true }
    )
  })
  yield* install.pipe(
    // The package lists may be missing or old.
    Effect.catchTag("CommandFailed", () =>
      Effect.andThen(run("apt-get", ["update"], { env: aptEnvironment }), install)
    )
  )
  yield* onEvent({
    _tag: "PackagesInstalled",
    packages: names,
    seconds: ((yield* Clock.currentTimeMillis) - started) / 1000
  })
}, Effect.scoped)

/** The folder of the tool's programs where all of them are on PATH, in a version that serves. */
const installedFolder = Effect.fn("Toolchain.installedFolder")(function* (tool: GoTool) {
  const [first, ...others] = Object.keys(tool.packages)
  if (tool.installed === undefined || first === undefined) return undefined
  const folder = folderOf(first)
  if (folder === undefined || others.some((program) => folderOf(program) !== folder)) return undefined
  const { args, minimum } = tool.installed
  return yield* run(join(folder, first), args).pipe(
    Effect.map((output) => (atLeast(output, minimum) ? folder : undefined)),
    // A program that cannot even say its version does not serve.
    Effect.orElseSucceed(() => undefined)
  )
})

export interface ToolPlan {
  /** Folder of each Go tool's programs, there or to be. */
  readonly folders: Readonly<Record<string, string>>
  readonly missingPackages: ReadonlyArray<DebianTool>
  readonly toBuild: ReadonlyArray<GoTool>
}

/** What there is and what is to do. */
export const plan = Effect.fn("Toolchain.plan")(function* (
  cache: string,
  wanted: ReadonlyArray<GoTool> = goTools
) {
  const folders: Record<string, string> = {}
  const toBuild: Array<GoTool> = []
  for (const tool of debianTools) {
    if (tool.unpack === true && tool.programs.some((program) => folderOf(program) === undefined)) {
      folders[tool.package] = join(unpackedFolder(cache, tool), "usr/bin")
    }
  }
  yield* Effect.forEach(
    wanted,
    Effect.fnUntraced(function* (tool) {
      const installed = (yield* GoBuild.isBuilt(cache, tool)) ? undefined : yield* installedFolder(tool)
      folders[tool.name] = installed ?? GoBuild.toolFolder(cache, tool)
      if (installed === undefined && !(yield* GoBuild.isBuilt(cache, tool))) toBuild.push(tool)
    }),
    { discard: true }
  )
  const missingPackages = debianTools.filter((tool) => !isThere(cache, tool))
  return { folders, missingPackages, toBuild } satisfies ToolPlan
})

export const installPackages = (cache: string, tools: ToolPlan, onEvent: OnEvent) =>
  ensureDebian(cache, tools.missingPackages, onEvent)

/** How many tools are compiled at the same time: one links, which is mostly one thread, while the next compiles. */
const concurrentBuilds = 2

/** Builds what is missing, in the table's order. */
export const buildAll = Effect.fn("Toolchain.buildAll")(function* (
  cache: string,
  tools: ReadonlyArray<GoTool>,
  onEvent: OnEvent
) {
  if (tools.length === 0) return
  yield* GoBuild.checkGo
  const started = yield* Clock.currentTimeMillis
  const fractions = new Map<string, number>()
  const total = tools.reduce((sum, tool) => sum + tool.seconds, 0)
  let reported = 0
  const report = Effect.fnUntraced(function* (tool: GoTool, part: number, message: string) {
    fractions.set(tool.name, part)
    const now = yield* Clock.currentTimeMillis
    if (part > 0 && now - reported < 1000) return
    reported = now
    const done = tools.reduce((sum, each) => sum + each.seconds * (fractions.get(each.name) ?? 0), 0)
    const elapsedSeconds = (now - started) / 1000
    // This machine's own speed, once enough is done to know it; until then the table's.
    const pace = done > total / 20 ? elapsedSeconds / done : Math.max(1, elapsedSeconds / (done + 15))
    yield* onEvent({
      _tag: "ToolProgress",
      tool: tool.name,
      message,
      fraction: done / total,
      elapsedSeconds,
      remainingSeconds: Math.max(0, (total - done) * pace)
    })
  })
  yield* Effect.forEach(
    tools,
    Effect.fnUntraced(function* (tool) {
      const begun = yield* Clock.currentTimeMillis
      yield* GoBuild.build(cache, tool, (part, message) => report(tool, part, message))
      fractions.set(tool.name, 1)
      yield* onEvent({
        _tag: "ToolReady",
        tool: tool.name,
        seconds: ((yield* Clock.currentTimeMillis) - begun) / 1000
      })
    }),
    { concurrency: concurrentBuilds, discard: true }
  )
})
