/** Hostile text: what a build or an app writes, and where people read it. */
import { spawn } from "node:child_process"
import { rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { unique } from "./support/Builds.ts"
import { describeAttacks, regionFile } from "./support/Region.ts"
import { repository } from "./support/Repository.ts"

const cli = new URL("../../cli/src/main.ts", import.meta.url).pathname

/** Runs the command line, as an operator would, and gives all that it prints. */
const printed = (folder: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const child = spawn(process.execPath, [cli, ...args, "--file", join(folder, "mcpdeploy.yaml")], {
      env: { ...process.env, MCPDEPLOY_LOCAL_DATA: dirname(regionFile ?? "") },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let text = ""
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    child.on("close", () => resume(Effect.succeed(text)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Clears the screen, sets the title, hides a line, turns text round, answers back, and forges a line. */
const hostile = [
  "\\033[2J\\033[H",
  "\\033]0;owned\\007",
  "\\033]52;c;bG9vdA==\\007",
  "\\rweb deploy done in 0.1 s",
  "\\342\\200\\256txet",
  "\\302\\2332J",
  "\\010\\010\\010"
].join("")

// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/u

describeAttacks("hostile output", () => {
  it.live(
    "does not steer the terminal of who reads it (terminal escape injection)",
    () =>
      Effect.gen(function* () {
        const { path } = yield* repository({
          Dockerfile: `FROM busybox\nRUN printf '${hostile} MARK\\n'; : ${unique()}; exit 3\n`
        })
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            writeFileSync(
              join(path, "mcpdeploy.yaml"),
              `user: o${unique()}\nproject: p\nservices:\n  web:\n    run: { port: 8080 }\n`
            )
          ),
          () => Effect.sync(() => rmSync(join(path, "mcpdeploy.yaml"), { force: true }))
        )
        for (const flags of [[], ["--verbose"], ["--json"]]) {
          const text = yield* printed(path, "deploy", ...flags)
          assert.include(text, "MARK", flags.join())
          const found = control.exec(text)
          assert.isNull(
            found,
            `${flags.join()}: ${JSON.stringify(text.slice(found?.index ?? 0).slice(0, 80))}`
          )
        }
      }).pipe(Effect.scoped),
    120_000
  )
})
