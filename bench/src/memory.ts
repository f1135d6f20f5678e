/**
 * How much memory a one-shot `mcpdeploy` process needs at most, against the limit of 150 MB: the program as it is
 * published (`pnpm build` first), for `--help` and for a whole `deploy` of each context of `bench context`.
 *
 * The packages are laid out as npm would install them, because run from their TypeScript sources they need 33 MB more: the
 * type stripper, and two texts of each module. git's processes are not counted.
 */
import { execFile, execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { makeTree, type Tree, trees } from "./context.ts"
import { BenchFailed, type Measure } from "./measure.ts"

const limit = 150
const helpRuns = 5
const deployRuns = 3

const packages = resolve(import.meta.dirname, "../../packages")
const own = "@mcpdeploy/"

const decodePackage = Schema.decodeSync(
  Schema.fromJsonString(
    Schema.StructWithRest(
      Schema.Struct({
        dependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
        peerDependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
        publishConfig: Schema.JsonObject
      }),
      [Schema.JsonObject]
    )
  )
)

/** Puts a package, and those of ours that it needs, where npm would; the rest is linked. */
const install = (modules: string, name: string): void => {
  const source = join(packages, name)
  const target = join(modules, own + name)
  if (fs.existsSync(target)) return
  const manifest = decodePackage(fs.readFileSync(join(source, "package.json"), "utf8"))
  fs.mkdirSync(target, { recursive: true })
  fs.cpSync(join(source, "dist"), join(target, "dist"), { recursive: true })
  fs.writeFileSync(join(target, "package.json"), JSON.stringify({ ...manifest, ...manifest.publishConfig }))
  for (const dependency of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    if (dependency.startsWith(own)) {
      install(modules, dependency.slice(own.length))
      continue
    }
    const link = join(modules, dependency)
    if (fs.existsSync(link)) continue
    fs.mkdirSync(dirname(link), { recursive: true })
    fs.symlinkSync(fs.realpathSync(join(source, "node_modules", dependency)), link)
  }
}

/** Two stages, so that the image that runs is small whatever the context. */
const dockerfile = [
  "FROM busybox AS context",
  "COPY . /context",
  "RUN find /context -type f | wc -l > /count",
  "FROM busybox",
  "COPY --from=context /count /www/index.html",
  'CMD ["sh", "-c", "exec httpd -f -p 8080 -h /www"]',
  ""
].join("\n")

const makeRepository = (folder: string, tree: Tree): void => {
  makeTree(folder, tree)
  fs.writeFileSync(join(folder, "Dockerfile"), dockerfile)
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", [
      ...["-C", folder, "-c", "user.name=bench", "-c", "user.email=bench@localhost"],
      ...["-c", "core.compression=0", "-c", "gc.auto=0", ...args]
    ])
  git("init", "-q", "-b", "main")
  git("add", "-A")
  git("commit", "-q", "-m", tree.label)
}

const execute = promisify(execFile)

const measureMemory = async (): Promise<ReadonlyArray<Measure>> => {
  const folder = fs.mkdtempSync(join(tmpdir(), "mcpdeploy-bench-"))
  const peakFile = join(folder, "peak")
  const reporter = `import { writeFileSync } from "node:fs"
process.on("exit", () => writeFileSync(${JSON.stringify(peakFile)}, String(process.resourceUsage().maxRSS)))`
  const program = join(folder, "node_modules", own, "cli/dist/main.js")
  const peakOf = async (cache: string, args: ReadonlyArray<string>): Promise<number> => {
    const reporting = `data:text/javascript,${encodeURIComponent(reporter)}`
    await execute(process.execPath, ["--import", reporting, program, ...args], {
      cwd: folder,
      env: { ...process.env, XDG_CACHE_HOME: join(folder, cache) },
      maxBuffer: 64 * 1024 * 1024
    })
    return Number(fs.readFileSync(peakFile, "utf8")) / 1024
  }
  const measures: Array<Measure> = []
  const measure = async (label: string, runs: number, once: (run: number) => Promise<number>) => {
    const ours: Array<number> = []
    for (let run = 0; run < runs; run++) ours.push(await once(run))
    measures.push({
      label: `memory of ${label}, against 150 MB`,
      unit: "MB",
      ours,
      peer: ours.map(() => limit)
    })
  }
  try {
    install(join(folder, "node_modules"), "cli")
    await measure("--help", helpRuns, () => peakOf("cache", ["--help"]))
    for (const tree of trees) {
      const repository = join(folder, tree.label)
      makeRepository(repository, tree)
      // A project and a cache of its own each time: everything is fetched, sent and built anew.
      await measure(`deploy ${tree.label}`, deployRuns, async (run) => {
        const service = ["web", "--user", "bench", "--project", `m${Date.now() % 1e8}`, "--port", "8080"]
        const source = ["--repository", `file://${repository}`, "--ref", "main"]
        const peak = await peakOf(`cache-${run}`, ["deploy", ...service, ...source])
        await peakOf(`cache-${run}`, ["delete", ...service.slice(0, 5), "--yes"])
        return peak
      })
      fs.rmSync(repository, { recursive: true, force: true })
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
  return measures
}

export const run: Effect.Effect<ReadonlyArray<Measure>, BenchFailed> = Effect.tryPromise({
  try: measureMemory,
  catch: (cause) => new BenchFailed({ detail: String(cause) })
})
