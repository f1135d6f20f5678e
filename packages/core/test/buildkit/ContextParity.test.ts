import { assert, describe, layer } from "@effect/vitest"
import { connect } from "@mcpdeploy/core/buildkit/Control"
import { endpointOf } from "@mcpdeploy/core/buildkit/Address"
import { openSession } from "@mcpdeploy/core/buildkit/Session"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  builderLayer,
  daemonAddress,
  eventsOf,
  folder,
  needsDaemon,
  request,
  statesIn,
  unique
} from "./daemon.ts"

const buildctl = process.env["BUILDCTL"]
const needs =
  needsDaemon !== "" ? needsDaemon : buildctl === undefined ? "SKIPPED, because BUILDCTL is not set" : ""

/** A tree with everything that a context may have. */
const everything = (root: string): void => {
  execFileSync(
    "sh",
    [
      "-euc",
      `mkdir -p a/b/c empty "dir with space" deep/1/2/3/4 node_modules/x .git sorted
       head -c 700000 /dev/urandom > a/large
       head -c 3000000 /dev/urandom > a/larger
       : > a/b/nothing
       printf x > a/b/c/x; printf y > "dir with space/ü"; printf z > deep/1/2/3/4/z
       printf n > node_modules/x/index.js; printf k > node_modules/x/keep.js; printf g > .git/HEAD
       for name in Z a-b a.b a/ 'é' 'ａ' '😀' '中'; do printf "$name" > "sorted/$(printf %s "$name" | tr / _)"; done
       ln a/large a/b/hardlink; ln a/large zz-hardlink
       ln -s a/b/c/x relative; ln -s /etc/passwd absolute; ln -s ../../.. a/climbs; ln -s nowhere dangling; ln -s a/b folderlink
       printf s > setuid; chmod 6755 setuid; mkdir sticky; chmod 1777 sticky; chmod 640 a/b/c/x; chmod 700 empty
       touch -d 2001-02-03T04:05:06.123456789Z a/b/c/x
       mkfifo a/pipe
       printf '%s\\n' '# comment' '.git' '**/node_modules/**' '!**/keep.js' '/dangling*' '*.tmp' > .dockerignore
       printf t > x.tmp; printf l > "$(printf 'caf\\351.tmp')"`
    ],
    { cwd: root, env: { ...process.env, LC_ALL: "C.UTF-8" } }
  )
}

describe.skipIf(needs !== "")(`A context ${needs}`, () => {
  layer(builderLayer().pipe(Layer.orDie), { excludeTestServices: true })("with a daemon", (it) => {
    it.effect("is the same as buildctl's, entry for entry: after its build every COPY is cached", () =>
      Effect.gen(function* () {
        const steps = [
          "COPY . /all",
          "COPY a /a",
          "COPY relative folderlink/c/* /links/",
          "COPY s*ed /s",
          "COPY --link deep zz-hardlink /d/"
        ]
        const context = yield* folder({
          Dockerfile: `FROM scratch\n${steps.join("\n")}\nLABEL x=${unique()}\n`
        })
        everything(context)
        execFileSync(
          buildctl ?? "",
          [
            "--addr",
            daemonAddress ?? "",
            "build",
            "--frontend",
            "dockerfile.v0",
            "--local",
            `context=${context}`,
            "--local",
            `dockerfile=${context}`
          ],
          { stdio: "pipe" }
        )
        const states = statesIn(yield* eventsOf(request(context)))
        for (const step of steps) {
          const [own = ""] = states.filter((state) => state.includes(`] ${step}: `)).slice(-1)
          assert.match(own, /: cached$/, `${step}\n${states.join("\n")}`)
        }
      })
    )

    it.effect("of any size takes 8 builds at once no more than 8 MB each", () =>
      Effect.gen(function* () {
        const endpoint = yield* endpointOf(daemonAddress ?? "", undefined)
        const send = (context: string) =>
          Effect.gen(function* () {
            const session = yield* openSession(endpoint, {
              directories: { context, dockerfile: context },
              secrets: {},
              credentials: () => Effect.undefined,
              sharedKey: randomBytes(8).toString("hex")
            })
            const control = yield* connect(endpoint)
            yield* control.solve({ Ref: unique() + unique(), Session: session.id, Frontend: "dockerfile.v0" })
          }).pipe(Effect.scoped)
        const files = Object.fromEntries(
          Array.from({ length: 2000 }, (_, index) => [`d${index % 40}/f${index}`, 2000])
        )
        const contexts = yield* Effect.all(
          Array.from({ length: 8 }, () =>
            folder({ Dockerfile: "FROM scratch\nCOPY . /\n", ...files, large: 20_000_000 })
          )
        )
        yield* send(contexts[0] ?? "")
        yield* send(contexts[1] ?? "")
        const before = process.memoryUsage.rss()
        let most = before
        const sample = setInterval(() => {
          most = Math.max(most, process.memoryUsage.rss())
        }, 20)
        yield* Effect.forEach(contexts, send, { concurrency: "unbounded" })
        clearInterval(sample)
        const each = (most - before) / 8 / 1_000_000
        yield* Effect.log(`8 builds at once: ${each.toFixed(1)} MB each over ${(before / 1e6).toFixed(0)} MB`)
        assert.isBelow(each, 8)
      })
    )
  })
})
