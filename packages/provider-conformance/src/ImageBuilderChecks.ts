/** What every ImageBuilder promises. */
import { ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import { Namespace, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { CommitSha, DockerfilePath } from "@mcpdeploy/core/domain/Source"
import {
  type BuildEvent,
  type BuildRequest,
  ImageBuilder,
  type ImageBuilderError
} from "@mcpdeploy/core/ImageBuilder"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Check, check, type Expect, interruptedAfter } from "./Check.ts"

/** What the suite needs to know of a builder. */
export interface BuilderConformance {
  /** A folder with these files. */
  readonly folder: (files: Readonly<Record<string, string>>) => Effect.Effect<string, never, Scope.Scope>
  /** Letters and digits that no other run has, at most 12. */
  readonly unique: Effect.Effect<string>
  /** A Dockerfile that begins with an image that has a shell. */
  readonly withShell: (lines: string) => string
}

const tagOf = ({ reason }: ImageBuilderError): string => reason._tag
const scratch = { Dockerfile: "FROM scratch\nCOPY file /\n" }

/** What every ImageBuilder promises of builds, repeated, at once, interrupted and failing. */
export const imageBuilderChecks = (of: BuilderConformance): ReadonlyArray<Check<ImageBuilder>> => {
  const request = Effect.fnUntraced(function* (
    files: Readonly<Record<string, string>>,
    more: Partial<BuildRequest> = {}
  ) {
    const unique = yield* of.unique
    const made: BuildRequest = {
      tenant: UserId.make("conform"),
      image: new ImageRef({
        registry: internalRegistry,
        namespace: Namespace.make("dp-conform-builder"),
        service: ServiceName.make(`s${unique}`),
        commit: CommitSha.make("c".repeat(40))
      }),
      context: yield* of.folder(files),
      dockerfile: DockerfilePath.make("Dockerfile"),
      args: {},
      secrets: {},
      buildKey: unique,
      acceptFinished: true,
      timeoutSeconds: 60,
      ...more
    }
    return made
  })
  const events = (asked: BuildRequest) =>
    ImageBuilder.use((builder) => Stream.runCollect(builder.build(asked)))
  const built = Effect.fnUntraced(function* (expect: Expect, asked: BuildRequest, what: string) {
    const all: ReadonlyArray<BuildEvent> = yield* expect.succeeds(events(asked), what)
    const last = all.at(-1)
    return last?._tag === "Built" ? last : yield* expect.fail(`${what} does not end with Built`)
  })
  return [
    check("the same input again is the same digest, taken from the finished build or built anew", (expect) =>
      Effect.gen(function* () {
        const asked = yield* request({ ...scratch, file: "one" })
        const first = yield* built(expect, asked, "build")
        const again = yield* built(expect, asked, "build again")
        yield* expect.equal(again.digest, first.digest, "the second digest")
        const anew = yield* built(expect, { ...asked, acceptFinished: false }, "build anew")
        yield* expect.equal(anew.digest, first.digest, "the digest of what was built anew")
        yield* expect.equal(anew.reused, false, "whether it was taken from an earlier build")
      })
    ),
    check("another input is another digest", (expect) =>
      Effect.gen(function* () {
        const one = yield* built(expect, yield* request({ ...scratch, file: "one" }), "build")
        const two = yield* built(expect, yield* request({ ...scratch, file: "two" }), "build another")
        yield* expect.that(one.digest !== two.digest, "two inputs have one digest")
      })
    ),
    check("many at once all succeed, with the digest that one has", (expect) =>
      Effect.gen(function* () {
        const asked = yield* request({ ...scratch, file: "many" })
        const all = yield* Effect.all(
          Array.from({ length: 4 }, () => built(expect, asked, "build")),
          { concurrency: 4 }
        )
        yield* expect.equal(
          new Set(all.map(({ digest }) => digest)).size,
          1,
          "the number of different digests"
        )
      })
    ),
    check("interrupted, it ends soon; the same build again succeeds", (expect) =>
      Effect.gen(function* () {
        const asked = yield* request({ Dockerfile: of.withShell("RUN sleep 3\nCOPY file /\n"), file: "slow" })
        const begun = yield* Clock.currentTimeMillis
        yield* interruptedAfter(Effect.asVoid(events(asked)), [1000])
        const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
        yield* expect.that(seconds < 15, `interrupted after 1 s, it ends after ${seconds} s`)
        yield* built(
          expect,
          { ...asked, context: yield* of.folder({ ...scratch, file: "slow" }) },
          "build again"
        )
      })
    ),
    check(
      "a failure is typed and says what to do: no Dockerfile, a step that fails, with its lines",
      (expect) =>
        Effect.gen(function* () {
          yield* expect.failsWith(
            events(yield* request({ file: "alone" })),
            ["DockerfileNotFound"],
            tagOf,
            "a build without a Dockerfile"
          )
          // What it writes is not in the instruction, which a message may quote.
          const failing = yield* request({
            Dockerfile: of.withShell("RUN echo reason-$((40 + 2)) && exit 7\n")
          })
          const error = yield* expect.failsWith(
            events(failing),
            ["BuildStepFailed"],
            tagOf,
            "a step that fails"
          )
          yield* expect.that(error.message.includes("7"), `the exit code is not in: ${error.message}`)
          yield* expect.that(
            error.message.includes("reason-42"),
            `the step's lines are not in: ${error.message}`
          )
        })
    ),
    check("the longest names work", (expect) =>
      Effect.gen(function* () {
        const unique = yield* of.unique
        const image = new ImageRef({
          registry: internalRegistry,
          namespace: Namespace.make(`dp-${"u".repeat(20)}-${unique}`.padEnd(63, "p")),
          service: ServiceName.make("s".repeat(63)),
          commit: CommitSha.make("c".repeat(40))
        })
        yield* built(expect, yield* request({ ...scratch, file: "long" }, { image }), "build")
      })
    )
  ]
}
