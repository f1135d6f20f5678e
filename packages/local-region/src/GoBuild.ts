/** Builds a tool from its pinned Go module into the cache: once, whole or not at all. */
import { basename, dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { run } from "./Command.ts"
import * as FileLock from "./FileLock.ts"
import { CommandFailed, MachineUnsuitable, ToolUnavailable } from "./LocalRegionError.ts"
import { buildTags, moduleKey, toolchainFolder, toolKey } from "./Recipe.ts"
import { type GoModule, goMinimum, type GoTool, type PatchedModule } from "./Tools.ts"
import { atLeast } from "./Version.ts"

/** One module at a time decides for itself which compiler flags and proxies this machine uses: only what must be, is set. */
const goEnvironment = { CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false", GOWORK: "off" }

/** What the tool's own build changes of {@link goEnvironment}. */
const environmentOf = ({ cgo }: GoTool) =>
  cgo === true ? { ...goEnvironment, CGO_ENABLED: "1" } : goEnvironment

const tagsOf = ({ tags }: GoTool): string => `-tags=${(tags ?? buildTags).join(",")}`

const Downloaded = Schema.fromJsonString(Schema.Struct({ Dir: Schema.String, Sum: Schema.String }))

/** Fails unless a Go that is new enough is on PATH. */
export const checkGo = Effect.gen(function* () {
  const advice = `install Go ${goMinimum} or newer and put it on PATH; the servers are compiled from Go modules, once`
  const version = yield* run("go", ["env", "GOVERSION"]).pipe(
    Effect.mapError(() => new ToolUnavailable({ tool: "go", advice }))
  )
  if (!atLeast(version, goMinimum)) {
    return yield* new ToolUnavailable({ tool: "go", advice: `${advice} (this one is ${version.trim()})` })
  }
})

const patchedCopy = Effect.fn("GoBuild.patchedCopy")(function* (
  patched: PatchedModule,
  build: string,
  recipe: string
) {
  const fs = yield* FileSystem.FileSystem
  const name = `${patched.module}@${patched.version}`
  const downloaded = yield* run("go", ["mod", "download", "-json", name], {
    cwd: dirname(build),
    env: { ...goEnvironment, GOFLAGS: "-mod=mod" }
  }).pipe(
    Effect.flatMap((output) => Schema.decodeEffect(Downloaded)(output.slice(output.indexOf("{")))),
    Effect.catchTag("SchemaError", (error) =>
      Effect.fail(
        new CommandFailed({ command: `go mod download ${name}`, exitCode: 0, output: error.message })
      )
    )
  )
  if (downloaded.Sum !== patched.sum) {
    return yield* new MachineUnsuitable({
      detail: `${name} has the checksum ${downloaded.Sum}, not ${patched.sum}: this machine's module proxy changed it`
    })
  }
  const copy = join(build, "patched", patched.module)
  yield* fs.makeDirectory(dirname(copy), { recursive: true })
  yield* run("cp", ["-r", "--no-preserve=mode", downloaded.Dir, copy])
  yield* run("git", ["apply", "--directory=patched", join(recipe, patched.patch)], {
    cwd: build,
    // Not a part of whatever repository the cache may lie in.
    env: { GIT_CEILING_DIRECTORIES: dirname(build) }
  })
  yield* Effect.forEach(patched.remove, (file) => fs.remove(join(copy, file)), { discard: true })
})

/** The folder in which the module's tools are built: the recipe's files and the patched modules. */
const buildFolder = Effect.fn("GoBuild.buildFolder")(function* (cache: string, module: GoModule) {
  const fs = yield* FileSystem.FileSystem
  const folder = join(cache, "build", moduleKey(module))
  yield* FileLock.exclusive(`${folder}.lock`)
  if (yield* fs.exists(folder)) return folder
  const recipe = join(toolchainFolder, module.folder)
  const part = `${folder}.part`
  yield* fs.remove(part, { recursive: true, force: true })
  yield* run("cp", ["-r", recipe, part])
  yield* Effect.forEach(module.patched, (patched) => patchedCopy(patched, part, recipe), { discard: true })
  yield* fs.rename(part, folder)
  return folder
}, Effect.scoped)

const goBuildArguments = (tool: GoTool, output: string): ReadonlyArray<string> => [
  "build",
  "-v",
  "-trimpath",
  tagsOf(tool),
  `-ldflags=-s -w ${tool.ldflags ?? ""}`,
  "-o",
  output,
  ...Object.values(tool.packages)
]

/** Where the tool's programs are, or will be. */
export const toolFolder = (cache: string, tool: GoTool): string => join(cache, "tools", toolKey(tool))

export const isBuilt = Effect.fn("GoBuild.isBuilt")(function* (cache: string, tool: GoTool) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.exists(toolFolder(cache, tool))
})

/** Fetches what the tool is built from. */
export const download = Effect.fn("GoBuild.download")(function* (cache: string, tool: GoTool) {
  const folder = yield* buildFolder(cache, tool.module)
  const packages = yield* run(
    "go",
    ["list", "-deps", tagsOf(tool), "-f", "{{.ImportPath}}", ...Object.values(tool.packages)],
    { cwd: folder, env: environmentOf(tool) }
  )
  return packages.split("\n").length
})

/**
 * Gives the folder of the tool's programs. `onFraction` hears how much of it is compiled. Killed and called again, it
 * goes on from Go's own build cache; called by two processes at once, one builds and the other waits.
 */
export const build = Effect.fn("GoBuild.build")(function* (
  cache: string,
  tool: GoTool,
  onFraction: (fraction: number, message: string) => Effect.Effect<void>
) {
  const fs = yield* FileSystem.FileSystem
  const target = toolFolder(cache, tool)
  yield* FileLock.exclusive(`${target}.lock`)
  if (yield* fs.exists(target)) return target
  yield* onFraction(0, "fetching sources")
  const total = yield* download(cache, tool)
  const folder = yield* buildFolder(cache, tool.module)
  const part = `${target}.part`
  yield* fs.remove(part, { recursive: true, force: true })
  yield* fs.makeDirectory(part, { recursive: true })
  let compiled = 0
  yield* run("go", goBuildArguments(tool, `${part}/`), {
    cwd: folder,
    env: environmentOf(tool),
    onLine: (line) => onFraction(Math.min(0.97, ++compiled / total), line)
  })
  for (const [program, path] of Object.entries(tool.packages)) {
    if (basename(path) !== program) yield* fs.rename(join(part, basename(path)), join(part, program))
  }
  for (const name of tool.links?.names ?? []) {
    yield* fs.symlink(tool.links?.of ?? name, join(part, name))
  }
  if (tool.assets !== undefined) {
    const module = yield* run("go", ["list", "-m", "-f", "{{.Dir}}", tool.assets.module], {
      cwd: folder,
      env: environmentOf(tool)
    })
    const sources = tool.assets.folders.map((name) => join(module.trim(), name))
    yield* run("cp", ["-r", "--no-preserve=mode", ...sources, part])
  }
  yield* fs.rename(part, target)
  return target
}, Effect.scoped)
