/** Runs the real command line against the region that `MCPDEPLOY_TEST_REGION` names. */
import { execFileSync, spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { DeployEvent } from "@mcpdeploy/core/domain/DeployEvent"
import { DeployOutcome } from "@mcpdeploy/core/pipeline/DeployOutcome"
import * as Schema from "effect/Schema"
import { describe } from "vitest"

const root = new URL("../../../..", import.meta.url).pathname
export const cliPath = join(root, "packages/cli/src/main.ts")
export const regionFile = process.env["MCPDEPLOY_TEST_REGION"]

/** Describes tests that need a region; without one they are skipped, and say why. */
export const describeOnRegion = (name: string, tests: () => void): void => {
  if (regionFile === undefined) {
    describe.skip(
      `${name} (SKIPPED: MCPDEPLOY_TEST_REGION names no region; \`pnpm test\` brings one up)`,
      tests
    )
  } else {
    describe(name, tests)
  }
}

const decodeEvent = Schema.decodeUnknownOption(DeployEvent)
const decodeOutcome = Schema.decodeUnknownOption(DeployOutcome)

export interface Run {
  readonly code: number
  readonly signal: NodeJS.Signals | null
  readonly events: ReadonlyArray<DeployEvent>
  readonly outcomes: ReadonlyArray<DeployOutcome>
  readonly stdout: string
  readonly stderr: string
}

/** Runs `mcpdeploy` in a process of its own. `kill` is asked after each event whether the process is to be killed now. */
export const mcpdeploy = (
  args: ReadonlyArray<string>,
  options: {
    readonly kill?: (event: DeployEvent) => boolean
    readonly env?: Readonly<Record<string, string>>
  } = {}
): Promise<Run> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliPath, ...args], {
      env: { ...process.env, MCPDEPLOY_LOCAL_DATA: dirname(regionFile ?? ""), ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const events: Array<DeployEvent> = []
    const outcomes: Array<DeployOutcome> = []
    let stdout = ""
    let stderr = ""
    let rest = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        const json: unknown = line.startsWith("{") ? JSON.parse(line) : undefined
        const event = decodeEvent(json)
        if (event._tag === "Some") {
          events.push(event.value)
          if (options.kill?.(event.value) === true) child.kill("SIGKILL")
        }
        const outcome = decodeOutcome(json)
        if (outcome._tag === "Some") outcomes.push(outcome.value)
      }
    })
    child.on("error", reject)
    child.on("close", (code, signal) =>
      resolve({ code: code ?? -1, signal, events, outcomes, stdout, stderr })
    )
  })

/** A git repository in a folder of its own. */
export class Repository {
  readonly path = mkdtempSync(join(tmpdir(), "mcpdeploy-e2e-"))

  constructor() {
    this.git("init", "-q", "-b", "main")
  }
  git(...args: ReadonlyArray<string>): string {
    return execFileSync("git", ["-c", "user.name=test", "-c", "user.email=test@localhost", ...args], {
      cwd: this.path,
      encoding: "utf8"
    }).trim()
  }
  write(files: Readonly<Record<string, string>>): this {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true })
      writeFileSync(join(this.path, name), text)
    }
    return this
  }
  copy(example: string): this {
    cpSync(join(root, "examples", example), this.path, { recursive: true })
    return this
  }
  commit(): string {
    this.git("add", "-A")
    this.git("commit", "-q", "--allow-empty", "-m", "change")
    return this.git("rev-parse", "HEAD")
  }
  get serviceFile(): ReadonlyArray<string> {
    return ["--file", join(this.path, "mcpdeploy.yaml")]
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Asks a service through the region's ingress; fails when it has not answered in 20 s. */
export const ask = (url: string): Promise<{ readonly status: number; readonly body: string }> =>
  new Promise((resolve, reject) => {
    const { host, port } = new URL(url)
    const signal = AbortSignal.timeout(20_000)
    get({ host: "127.0.0.1", port, path: "/", headers: { host }, signal }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }))
    }).on("error", reject)
  })

/** A small app: busybox serves one file, on the port that it is told. */
export const smallApp = (options: { readonly text?: string; readonly cmd?: string } = {}) => ({
  Dockerfile: [
    "FROM busybox",
    "COPY index.html /www/index.html",
    options.cmd ?? 'CMD ["sh", "-c", "exec httpd -f -p $PORT -h /www"]',
    ""
  ].join("\n"),
  "index.html": `${options.text ?? "it works"}\n`
})

/** A service file for one service named `web`. `run` is YAML in one line. */
export const serviceFileOf = (project: string, run = "{ port: 8080 }", build = "{}"): string =>
  `user: e2e\nproject: ${project}\nservices:\n  web:\n    build: ${build}\n    run: ${run}\n`
