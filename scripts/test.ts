/**
 * `pnpm test`: checks the code, brings up a region of its own with all its parts, and runs every test against it.
 *
 * The last line is `N passed, N failed, N skipped`. Exits non-zero when a check or a test failed. When it is interrupted it takes
 * the region down and removes what it wrote first.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, statfs } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { testEnvironment, toolFolder } from "./test-environment.ts"

const root = new URL("..", import.meta.url).pathname
const region = ["packages/local-region/src/main.ts"]

/** What the region and the tests write, with room to spare; where it runs out, servers fail in ways that do not say so. */
const neededGb = 10

let running: ChildProcess | undefined
let isInterrupted = false

const run = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } })
    running = child
    child.on("error", reject)
    child.on("exit", (code) => resolve(code ?? 1))
  })

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    isInterrupted = true
    running?.kill(signal)
  })
}

const heading = (text: string): void => {
  process.stdout.write(`\n── ${text}\n`)
}

const { bavail, bsize } = await statfs(tmpdir())
const freeGb = (bavail * bsize) / 1e9
if (freeGb < neededGb) {
  process.stderr.write(
    `${tmpdir()} has ${freeGb.toFixed(1)} GB free, the tests need ${neededGb} GB: free some, or set TMPDIR to a larger disk\n`
  )
  process.stdout.write("0 passed, 1 failed, 0 skipped\n")
  process.exit(1)
}

const folder = await mkdtemp(join(tmpdir(), "mcpdeploy-test-"))
const report = join(folder, "report.json")
const regionFolder = ["--data", join(folder, "region")]
let failures = 0
let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }

try {
  heading("types, lint, format, Effect diagnostics")
  if ((await run("pnpm", ["check"])) !== 0) failures++

  if (!isInterrupted) heading("a region of real servers")
  if (
    isInterrupted ||
    (await run(process.execPath, [...region, "up", "--with", "temporal,gitea,acme", ...regionFolder])) !== 0
  ) {
    failures++
  } else if (!isInterrupted) {
    heading("tests")
    // What a test leaves when it is interrupted goes with the folder.
    const temporary = join(folder, "t")
    await mkdir(temporary)
    const code = await run(
      "pnpm",
      ["exec", "vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
      {
        ...(await testEnvironment(join(folder, "region"))),
        TMPDIR: temporary,
        MCPDEPLOY_TEST_CYCLONUS: join(await toolFolder("cyclonus"), "cyclonus")
      }
    )
    // There is none when the tests could not be collected.
    const text = await readFile(report, "utf8").catch(() => undefined)
    if (text !== undefined) counts = JSON.parse(text)
    if (code !== 0 && counts.numFailedTests === 0) failures++
  }
} finally {
  await run(process.execPath, [...region, "down", ...regionFolder])
  await rm(folder, { recursive: true, force: true })
}

if (isInterrupted) failures = Math.max(failures, 1)
const failed = counts.numFailedTests + failures
const skipped = counts.numPendingTests + counts.numTodoTests
process.stdout.write(`${counts.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`)
process.exitCode = failed === 0 ? 0 : 1
