/**
 * `pnpm test`: checks the code, brings up a region of its own with all its parts, and runs every test against it.
 *
 * The last line is `N passed, N failed, N skipped`. Exits non-zero when a check or a test failed.
 */
import { execFile, spawn } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"
import { regionEnvironment } from "../packages/local-region/src/RegionEnvironment.ts"

const root = new URL("..", import.meta.url).pathname
const region = ["packages/local-region/src/main.ts"]

const run = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } })
    child.on("error", reject)
    child.on("exit", (code) => resolve(code ?? 1))
  })

/** The folder of a tool that is no part of a region; it is built when it is missing. */
const tool = async (name: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, [...region, "tool", name], { cwd: root })
  return stdout.trim().split("\n").at(-1) ?? ""
}

const heading = (text: string): void => {
  process.stdout.write(`\n── ${text}\n`)
}

const folder = await mkdtemp(join(tmpdir(), "mcpdeploy-test-"))
const report = join(folder, "report.json")
const regionFolder = ["--data", join(folder, "region")]
let failures = 0
let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }

try {
  heading("types, lint, format, Effect diagnostics")
  if ((await run("pnpm", ["check"])) !== 0) failures++

  heading("a region of real servers")
  if (
    (await run(process.execPath, [...region, "up", "--with", "temporal,gitea,acme", ...regionFolder])) !== 0
  ) {
    failures++
  } else {
    heading("tests")
    const [kubectl, cyclonus] = await Promise.all([tool("kubectl"), tool("cyclonus")])
    const code = await run(
      "pnpm",
      ["exec", "vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
      {
        ...regionEnvironment(join(folder, "region")),
        MCPDEPLOY_TEST_CYCLONUS: join(cyclonus, "cyclonus"),
        PATH: [process.env["PATH"] ?? "", kubectl].join(delimiter)
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

const failed = counts.numFailedTests + failures
const skipped = counts.numPendingTests + counts.numTodoTests
process.stdout.write(`${counts.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`)
process.exitCode = failed === 0 ? 0 : 1
