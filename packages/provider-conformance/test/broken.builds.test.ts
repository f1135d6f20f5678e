/** The checks of ImageBuilder tested themselves: each implementation that breaks one promise is refused by its check. */
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import {
  BuilderUnreachable,
  type BuildFailureReason,
  BuildStepFailed,
  DockerfileNotFound
} from "@mcpdeploy/core/BuildFailure"
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import {
  type BuildEvent,
  type BuildRequest,
  ImageBuilder,
  ImageBuilderError
} from "@mcpdeploy/core/ImageBuilder"
import { imageBuilderChecks } from "@mcpdeploy/provider-conformance/ImageBuilderChecks"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { brokenOf } from "./support/BrokenOf.ts"

interface Faults {
  readonly isNeverTheSame?: true
  readonly looksAtTheDockerfileAlone?: true
  readonly buildsOneAtOnce?: true
  readonly staysLockedWhenInterrupted?: true
  readonly hidesTheLines?: true
  readonly refusesLongNames?: true
}

/** Builds nothing: the digest is that of the folder's files, and of a Dockerfile's steps it knows `sleep` and `exit`. */
const memory = (faults: Faults) => {
  let count = 0
  const running = new Set<string>()
  const locked = new Set<string>()

  const build = Effect.fnUntraced(function* (request: BuildRequest) {
    const { buildKey, context, image } = request
    const failed = (reason: BuildFailureReason) => new ImageBuilderError({ image: image.repository, reason })
    const unreachable = (detail: string) => failed(new BuilderUnreachable({ address: "memory", detail }))
    if (!existsSync(join(context, "Dockerfile")))
      return yield* failed(new DockerfileNotFound({ dockerfile: "Dockerfile" }))
    if (faults.refusesLongNames === true && (image.repository.split("/").at(-1) ?? "").length > 60)
      return yield* unreachable("the name is long")
    if (locked.has(buildKey) || (faults.buildsOneAtOnce === true && running.has(buildKey)))
      return yield* unreachable("it is being built")
    const dockerfile = readFileSync(join(context, "Dockerfile"), "utf8")
    if (dockerfile.includes("exit 7"))
      return yield* failed(
        new BuildStepFailed({
          instruction: "RUN echo reason-$((40 + 2)) && exit 7",
          exitCode: 7,
          lastLines: faults.hidesTheLines === true ? [] : ["reason-42"]
        })
      )
    running.add(buildKey)
    yield* Effect.sleep(dockerfile.includes("sleep 3") ? "3 seconds" : "5 millis").pipe(
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          if (faults.staysLockedWhenInterrupted === true) locked.add(buildKey)
        })
      ),
      Effect.ensuring(Effect.sync(() => running.delete(buildKey)))
    )
    const hash = createHash("sha256")
    for (const name of readdirSync(context).toSorted())
      if (name === "Dockerfile" || faults.looksAtTheDockerfileAlone !== true)
        hash.update(name).update(readFileSync(join(context, name)))
    if (faults.isNeverTheSame === true) hash.update(String(++count))
    const event: BuildEvent = {
      _tag: "Built",
      digest: ImageDigest.make(`sha256:${hash.digest("hex")}`),
      reused: false
    }
    return event
  })
  return ImageBuilder.of({ build: (request) => Stream.fromEffect(build(request)) })
}

let count = 0
const broken = (faults: Faults) =>
  Effect.suspend(() => {
    const builder = memory(faults)
    const checks = imageBuilderChecks({
      folder: (files) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-broken-"))
            for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
            return folder
          }),
          (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
        ),
      unique: Effect.sync(() => `u${++count}`),
      withShell: (lines) => `FROM shell\n${lines}`
    })
    return brokenOf(checks, (effect) => Effect.provideService(effect, ImageBuilder, builder))
  })

describe.concurrent("the checks of ImageBuilder", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken({}), [])
    })
  )
  for (const [fault, promise] of [
    [
      "isNeverTheSame",
      "the same input again is the same digest, taken from the finished build or built anew"
    ],
    ["looksAtTheDockerfileAlone", "another input is another digest"],
    ["buildsOneAtOnce", "many at once all succeed, with the digest that one has"],
    ["staysLockedWhenInterrupted", "interrupted, it ends soon; the same build again succeeds"],
    [
      "hidesTheLines",
      "a failure is typed and says what to do: no Dockerfile, a step that fails, with its lines"
    ],
    ["refusesLongNames", "the longest names work"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* broken({ [fault]: true }), promise)
      })
    )
})
