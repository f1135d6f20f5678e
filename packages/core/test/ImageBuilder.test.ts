import { assert, describe, layer } from "@effect/vitest"
import type { BuildFailureReason } from "@mcpdeploy/core/BuildFailure"
import { DockerfilePath } from "@mcpdeploy/core/domain/Source"
import { ImageBuilder } from "@mcpdeploy/core/ImageBuilder"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import {
  builderLayer,
  builtIn,
  eventsOf,
  folder,
  isRunning,
  linesIn,
  manifestOf,
  needsDaemon,
  newImage,
  reasonOf,
  request,
  statesIn,
  tagsOf,
  unique
} from "./buildkit/daemon.ts"

const waitFor = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.filterOrFail(
      (met) => met,
      () => "not yet"
    ),
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("30 seconds")
  )

describe.skipIf(needsDaemon !== "")(`ImageBuilder on a real buildkitd ${needsDaemon}`, () => {
  layer(builderLayer({ heartbeat: { intervalSeconds: 2, timeoutSeconds: 5 } }), {
    excludeTestServices: true
  })("with a daemon", (it) => {
    it.effect("builds, tells its steps and lines, and pushes by digest without a tag", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: `FROM busybox\nARG WHO\nCOPY a /a\nRUN cat /a && echo "hello $WHO" && echo "wörld" >&2 && echo ${unique()} > /u\n`,
          a: "from the context\n"
        })
        const asked = request(context, { args: { WHO: "ann" } })
        const events = yield* eventsOf(asked)
        const { digest, reused } = builtIn(events)
        assert.isFalse(reused)
        assert.sameMembers([...linesIn(events)], ["from the context", "hello ann", "wörld"])
        assert.isTrue(statesIn(events).some((state) => /^\[.*RUN cat.*: completed$/.test(state)))
        assert.isAbove((yield* manifestOf(asked.image, digest)).layers.length, 1)
        assert.deepStrictEqual(yield* tagsOf(asked.image), ["buildcache"])
      })
    )

    it.effect("gives a step the arguments that its Dockerfile declares, whatever their names", () =>
      Effect.gen(function* () {
        const punctuation = [..."!#%&()*+,-./:;<>?@[]^_{|}~"].flatMap((mark) => [
          `a${mark}b`,
          `${mark}c`,
          `d${mark}`
        ])
        const args = Object.fromEntries([...punctuation, "1A", "U"].map((name) => [name, unique()]))
        // no shell: it would take those away that it cannot name
        const context = yield* folder({
          Dockerfile: `FROM busybox\n${Object.keys(args)
            .map((name) => `ARG ${name}\n`)
            .join("")}RUN ["env"]\n`
        })
        const lines = linesIn(yield* eventsOf(request(context, { args })))
        assert.deepStrictEqual(
          Object.entries(args)
            .filter(([name, value]) => !lines.includes(`${name}=${value}`))
            .map(([name]) => name),
          []
        )
      })
    )

    it.effect(
      "builds nothing anew for an argument that no Dockerfile declares, nor above where one does",
      () =>
        Effect.gen(function* () {
          const random = unique()
          const image = newImage()
          const build = Effect.fnUntraced(function* (declared: string, commit: string) {
            const context = yield* folder({
              Dockerfile: `FROM busybox\nRUN echo ${random} > /a\n${declared}RUN env > /b\n`
            })
            const events = yield* eventsOf(request(context, { image, args: { SOURCE_COMMIT: commit } }))
            const ran = statesIn(events).filter((state) => /RUN .*: (?:cached|completed)$/.test(state))
            return { digest: builtIn(events).digest, ran: ran.map((state) => /RUN.*$/.exec(state)?.[0]) }
          })
          const first = yield* build("", "a".repeat(40))
          const second = yield* build("", "b".repeat(40))
          assert.strictEqual(second.digest, first.digest)
          assert.deepStrictEqual(second.ran, [`RUN echo ${random} > /a: cached`, "RUN env > /b: cached"])
          const declared = yield* build("ARG SOURCE_COMMIT\n", "a".repeat(40))
          const changed = yield* build("ARG SOURCE_COMMIT\n", "b".repeat(40))
          assert.notStrictEqual(changed.digest, declared.digest)
          assert.deepStrictEqual(changed.ran, [`RUN echo ${random} > /a: cached`, "RUN env > /b: completed"])
        })
    )

    it.effect("takes the digest of a finished build with the same key, unless it is told not to", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" })
        const asked = request(context)
        const first = builtIn(yield* eventsOf(asked))
        assert.deepStrictEqual(yield* eventsOf(asked), [{ ...first, reused: true }])
        assert.deepStrictEqual(builtIn(yield* eventsOf({ ...asked, acceptFinished: false })), first)
        // the same key of another service is another build
        assert.isFalse(builtIn(yield* eventsOf({ ...asked, image: newImage() })).reused)
      })
    )

    it.effect("builds a target, from a Dockerfile in a folder, with its own ignore file", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          "deploy/Dockerfile": `FROM busybox AS one\nCOPY . /c\nRUN ls /c; : ${unique()}\nFROM one AS two\nRUN exit 1\n`,
          "deploy/Dockerfile.dockerignore": "*\n!keep*\nkeepnot\n",
          ".dockerignore": "keep1\n",
          keep1: "1",
          keepnot: "2",
          drop: "3"
        })
        const dockerfile = DockerfilePath.make("deploy/Dockerfile")
        const events = yield* eventsOf(request(context, { dockerfile, target: "one" }))
        assert.deepStrictEqual(linesIn(events), ["keep1"])
      })
    )

    it.effect("honours a .dockerignore of 1,000 lines", () =>
      Effect.gen(function* () {
        const ignored = Array.from({ length: 1000 }, (_, index) => `dir, with comma/${index}/**`)
        const context = yield* folder({
          Dockerfile: `FROM busybox\nCOPY . /c\nRUN find /c -type f | sort; : ${unique()}\n`,
          ".dockerignore": [...ignored, "b*", "!b1", ".dockerignore", ""].join("\n"),
          "dir, with comma/7/x": "x",
          b1: "",
          b2: ""
        })
        assert.deepStrictEqual(linesIn(yield* eventsOf(request(context))), ["/c/Dockerfile", "/c/b1"])
      })
    )

    it.effect("gives a secret to the step that asks, and to nothing else", () =>
      Effect.gen(function* () {
        const secret = `s3cret-${unique()}`
        const context = yield* folder({
          Dockerfile: `FROM busybox\nRUN --mount=type=secret,id=token sha256sum < /run/secrets/token; : ${unique()}\n`
        })
        const asked = request(context, { secrets: { token: Redacted.make(Buffer.from(secret)) } })
        const events = yield* eventsOf(asked)
        assert.match(linesIn(events)[0] ?? "", /^[0-9a-f]{64}/)
        assert.notInclude(JSON.stringify(events), secret)
      })
    )

    it.effect("gives a secret byte for byte, whatever it holds", () =>
      Effect.gen(function* () {
        const secrets = new Map([
          ["empty", Buffer.alloc(0)],
          ["key", Buffer.from("-----BEGIN KEY-----\nabc\n-----END KEY-----\n")],
          ["windows", Buffer.from("\ufeffa\r\n")],
          ["every", Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
          ...[1, 100, 3000, 100_000, 1024 * 1024].map((size) => [`random${size}`, randomBytes(size)] as const)
        ])
        const mounts = Array.from(secrets.keys(), (id) => `--mount=type=secret,id=${id}`).join(" ")
        const context = yield* folder({
          Dockerfile: `FROM busybox\nRUN ${mounts} cd /run/secrets && sha256sum *; : ${unique()}\n`
        })
        const events = yield* eventsOf(
          request(context, {
            secrets: Object.fromEntries(Array.from(secrets, ([id, bytes]) => [id, Redacted.make(bytes)]))
          })
        )
        assert.sameMembers(
          [...linesIn(events)],
          Array.from(secrets, ([id, bytes]) => `${createHash("sha256").update(bytes).digest("hex")}  ${id}`)
        )
      })
    )

    it.effect("passes 10 MB of log on, every line of it", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: `FROM busybox\nRUN awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%06d ümlaut padding padding padding pad\\n", i }'; : ${unique()}\n`
        })
        const lines = linesIn(yield* eventsOf(request(context)))
        assert.strictEqual(lines.length, 200_000)
        for (const [index, line] of lines.entries()) {
          assert(line === `${String(index).padStart(6, "0")} ümlaut padding padding padding pad`, line)
        }
      })
    )

    it.effect("waits for a slow reader, and loses nothing", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: `FROM busybox\nRUN seq 1 50000; : ${unique()}\n`
        })
        let lines = 0
        yield* ImageBuilder.use((builder) =>
          builder.build(request(context)).pipe(
            Stream.runForEach((event) => {
              if (event._tag !== "BuildLog") return Effect.void
              lines++
              return lines === 100 ? Effect.sleep("7 seconds") : Effect.void
            })
          )
        )
        assert.strictEqual(lines, 50_000)
      })
    )

    it.effect("ignores a # syntax line, which would choose the program that builds", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: "# syntax=nowhere.invalid/frontend:1\nFROM scratch\nCOPY Dockerfile /\n"
        })
        builtIn(yield* eventsOf(request(context)))
      })
    )

    it.effect("is gone when an interruption returns", () =>
      Effect.gen(function* () {
        const marker = `31.${Math.floor(Math.random() * 1e6)}`
        const context = yield* folder({ Dockerfile: `FROM busybox\nRUN echo begun; sleep ${marker}\n` })
        const build = yield* Effect.forkChild(eventsOf(request(context)))
        yield* waitFor(() => isRunning(`sleep\0${marker}`))
        const start = Date.now()
        yield* Fiber.interrupt(build)
        assert.isFalse(isRunning(`sleep\0${marker}`))
        assert.isBelow(Date.now() - start, 5000)
      })
    )

    it.effect("cancels a build that takes too long, and shows its last lines", () =>
      Effect.gen(function* () {
        const marker = `32.${Math.floor(Math.random() * 1e6)}`
        const context = yield* folder({ Dockerfile: `FROM busybox\nRUN echo begun; sleep ${marker}\n` })
        const reason = yield* reasonOf(request(context, { timeoutSeconds: 6 }))
        assert(reason._tag === "BuildTimedOut")
        assert.deepStrictEqual(reason.lastLines, ["begun"])
        assert.isFalse(isRunning(`sleep\0${marker}`))
      })
    )

    it.effect("names a failed step: its command, exit code, place and last lines", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM busybox\nRUN seq 1 30 && \\\n  exit 7\n" })
        const reason = yield* reasonOf(request(context))
        assert(reason._tag === "BuildStepFailed")
        assert.strictEqual(reason.exitCode, 7)
        assert.strictEqual(reason.instruction, "RUN seq 1 30 && \\\n  exit 7")
        assert.deepStrictEqual([reason.location?.line, reason.location?.endLine], [2, 3])
        assert.deepStrictEqual(
          reason.lastLines,
          Array.from({ length: 20 }, (_, index) => String(index + 11))
        )
      })
    )

    it.effect("finds the cause even when the answer is too large for its connection", () =>
      Effect.gen(function* () {
        const comment = `# ${"x".repeat(100)}\n`.repeat(2000)
        const context = yield* folder({ Dockerfile: `FROM busybox\n${comment}RUN echo last words; exit 9\n` })
        const reason = yield* reasonOf(request(context))
        assert(reason._tag === "BuildStepFailed")
        assert.strictEqual(reason.exitCode, 9)
        assert.strictEqual(reason.instruction, "RUN echo last words; exit 9")
        assert.deepStrictEqual(reason.lastLines, ["last words"])
      })
    )

    it.effect("tells a killed step from a failed one", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: "FROM busybox\nRUN sh -c 'kill -9 $$; :' ; exit $?\n"
        })
        assert.strictEqual((yield* reasonOf(request(context)))._tag, "BuildStepKilled")
      })
    )

    const failures: ReadonlyArray<
      readonly [what: string, dockerfile: string, tag: BuildFailureReason["_tag"], message: RegExp]
    > = [
      [
        "a word that is no instruction",
        "FROM busybox\n  RUNN x\n",
        "DockerfileInvalid",
        /^Dockerfile:2:3: unknown instruction: RUNN/
      ],
      [
        "an instruction without its argument",
        "FROM busybox\nWORKDIR\n",
        "DockerfileInvalid",
        /^Dockerfile:2:1: WORKDIR requires/
      ],
      ["an empty Dockerfile", "", "DockerfileInvalid", /cannot be empty/],
      [
        "a base image that does not exist",
        "FROM nope/nothere:9\n",
        "BaseImageUnavailable",
        /^Dockerfile:1:1: the image docker.io\/nope\/nothere:9/
      ],
      [
        "a file that is not in the context",
        "FROM busybox\nCOPY nothere /\n",
        "FileNotInContext",
        /^Dockerfile:2:6: "nothere" is not in the build context/
      ],
      [
        "a secret that is not given",
        "FROM busybox\nRUN --mount=type=secret,id=tok,required=true true\n",
        "BuildSecretMissing",
        /the build secret "tok" is not given/
      ],
      [
        "an image of another project",
        "FROM registry.internal:5000/dp-bob-shop/web:1\n",
        "SourceForbidden",
        /belongs to another project/
      ],
      [
        "an image of another project by another name",
        "FROM docker.io/dp-bob-shop/web:1\n",
        "SourceForbidden",
        /belongs to another project/
      ],
      [
        "the registry's own API",
        "FROM busybox\nADD http://registry.internal:5000/v2/_catalog /\n",
        "SourceForbidden",
        /must not be used/
      ],
      [
        "privileges",
        "FROM busybox\nRUN --security=insecure true\n",
        "DockerfileInvalid",
        /security.insecure is not allowed/
      ],
      [
        "the machine's network",
        "FROM busybox\nRUN --network=host true\n",
        "DockerfileInvalid",
        /network.host is not allowed/
      ]
    ]
    for (const [what, dockerfile, tag, message] of failures) {
      it.effect(`refuses ${what}`, () =>
        Effect.gen(function* () {
          const context = yield* folder({ Dockerfile: dockerfile })
          const reason = yield* reasonOf(request(context))
          assert.strictEqual(reason._tag, tag, reason.message)
          assert.match(reason.message, message)
        })
      )
    }

    it.effect("refuses a target that does not exist, reserved arguments, and a missing Dockerfile", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM busybox AS a\n" })
        assert.strictEqual((yield* reasonOf(request(context, { target: "b" })))._tag, "TargetNotFound")
        const args = { BUILDKIT_SYNTAX: "evil/frontend" }
        assert.strictEqual((yield* reasonOf(request(context, { args })))._tag, "BuildArgReserved")
        const dockerfile = DockerfilePath.make("other/Dockerfile")
        assert.strictEqual((yield* reasonOf(request(context, { dockerfile })))._tag, "DockerfileNotFound")
      })
    )

    it.effect("refuses a Dockerfile that a symlink takes out of the context, not one inside it", () =>
      Effect.gen(function* () {
        const outside = yield* folder({ Dockerfile: "FROM scratch\n" })
        const context = yield* folder({ "real/file": "FROM scratch\nCOPY real /\n" })
        fs.symlinkSync(`${outside}/Dockerfile`, `${context}/Dockerfile`)
        assert.strictEqual((yield* reasonOf(request(context)))._tag, "DockerfileEscapes")
        fs.symlinkSync("real/file", `${context}/Inside`)
        builtIn(yield* eventsOf(request(context, { dockerfile: DockerfilePath.make("Inside") })))
        fs.symlinkSync(outside, `${context}/folder`)
        const dockerfile = DockerfilePath.make("folder/Dockerfile")
        assert.strictEqual((yield* reasonOf(request(context, { dockerfile })))._tag, "DockerfileEscapes")
      })
    )

    it.effect("takes a Dockerfile beside the context, with its own ignore file or else the context's", () =>
      Effect.gen(function* () {
        const show = () => `FROM busybox\nCOPY . /c\nRUN ls /c; : ${unique()}\n`
        const repository = yield* folder({
          "docker/own.Dockerfile": show(),
          "docker/own.Dockerfile.dockerignore": "*\n!own\n",
          "apps/web/.dockerignore": ".dockerignore\nLinked*\nown\n",
          "apps/web/own": "",
          "apps/web/other": ""
        })
        const context = `${repository}/apps/web`
        fs.symlinkSync("../../docker/shared.Dockerfile", `${context}/Linked`)
        fs.symlinkSync("../../docker", `${context}/LinkedFolder`)
        for (const [path, files] of [
          ["../../docker/own.Dockerfile", ["own"]],
          ["../../docker/shared.Dockerfile", ["other"]],
          ["Linked", ["other"]],
          ["LinkedFolder/shared.Dockerfile", ["other"]]
        ] as const) {
          fs.writeFileSync(`${repository}/docker/shared.Dockerfile`, show())
          const dockerfile = DockerfilePath.make(path)
          const events = yield* eventsOf(request(context, { repository, dockerfile }))
          assert.deepStrictEqual(linesIn(events), files, path)
        }
        fs.writeFileSync(`${repository}/docker/own.Dockerfile`, "FROM busybox\nRUN exit 3\n")
        const dockerfile = DockerfilePath.make("../../docker/own.Dockerfile")
        const { message } = yield* reasonOf(request(context, { repository, dockerfile }))
        assert.match(message, /^docker\/own\.Dockerfile:2:1: "RUN exit 3" ended with exit code 3/)
      })
    )

    it.effect("copies a symlink out of the context as a symlink", () =>
      Effect.gen(function* () {
        const context = yield* folder({
          Dockerfile: `FROM busybox\nCOPY . /c\nRUN readlink /c/out; : ${unique()}\n`
        })
        fs.symlinkSync("/etc", `${context}/out`)
        assert.deepStrictEqual(linesIn(yield* eventsOf(request(context))), ["/etc"])
      })
    )

    it.effect("does not mind a name that is not UTF-8 where no COPY wants it, or it is ignored", () =>
      Effect.gen(function* () {
        const files = { "sub/a": "", b: "", ".dockerignore": "sub/caf*\n" }
        for (const copies of ["COPY sub b /c/", "COPY sub/. /c/\nCOPY b /c"]) {
          const context = yield* folder({
            ...files,
            Dockerfile: `FROM busybox\n${copies}\nRUN ls /c; : ${unique()}\n`
          })
          fs.writeFileSync(Buffer.from(`${context}/sub/caf\xe9.txt`, "latin1"), "")
          fs.writeFileSync(Buffer.from(`${context}/r\xe9sum\xe9.pdf`, "latin1"), "")
          assert.deepStrictEqual(linesIn(yield* eventsOf(request(context))), ["a", "b"])
        }
      })
    )

    it.effect("says which file it cannot read", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n" })
        fs.writeFileSync(Buffer.concat([Buffer.from(`${context}/bad-`), Buffer.from([0xff])]), "")
        const reason = yield* reasonOf(request(context))
        assert(reason._tag === "ContextUnreadable", reason.message)
        assert.match(reason.path, /^bad-/)
      })
    )

    it.effect("says that it cannot read a pattern of .dockerignore", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n", ".dockerignore": "a\nb[\n" })
        const reason = yield* reasonOf(request(context))
        assert.match(reason.message, /^\.dockerignore cannot be read: /)
      })
    )

    it.effect("does not hang on a named pipe", () =>
      Effect.gen(function* () {
        const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" })
        execFileSync("mkfifo", [`${context}/pipe`])
        builtIn(yield* eventsOf(request(context)))
      })
    )
  })

  layer(builderLayer({}, 2), { excludeTestServices: true })("with a daemon", (it) => {
    it.effect("builds as many at once as it may, the others in turn", () =>
      Effect.gen(function* () {
        let running = 0
        let most = 0
        const build = Effect.gen(function* () {
          const context = yield* folder({ Dockerfile: `FROM busybox\nRUN sleep 0.3; : ${unique()}\n` })
          const builder = yield* ImageBuilder
          yield* builder.build(request(context)).pipe(
            Stream.runForEach((event) =>
              Effect.sync(() => {
                if (event._tag === "BuildVertex" && /RUN sleep/.test(event.name)) {
                  running += event.state === "started" ? 1 : -1
                  most = Math.max(most, running)
                }
              })
            )
          )
        })
        yield* Effect.all(
          Array.from({ length: 6 }, () => build),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(most, 2)
      })
    )
  })
})
