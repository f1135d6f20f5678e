import { assert, describe, it } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { BuildSpec, DeployRequest, RunSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { GitSource } from "@mcpdeploy/core/GitSource"
import { type BuildRequest, ImageBuilder } from "@mcpdeploy/core/ImageBuilder"
import { DeploySteps } from "@mcpdeploy/core/pipeline/DeploySteps"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Registry } from "@mcpdeploy/core/Registry"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { commitOf, digestOf, requestOf } from "./requests.ts"

/** The build step over services that do nothing; `asked` has what the builder was asked for. */
const buildStep = (asked: Array<BuildRequest>, secrets: Readonly<Record<string, Redacted.Redacted>> = {}) =>
  DeploySteps.layer({
    registry: internalRegistry,
    buildTimeoutSeconds: 60,
    buildSecretKey: Redacted.make("key")
  }).pipe(
    Layer.provide([
      Layer.mock(GitSource, {
        checkout: (_, commit) => Effect.succeed({ commit, path: "/tmp", files: 1, size: 1 })
      }),
      Layer.mock(ImageBuilder, {
        build: (request) => {
          asked.push(request)
          return Stream.make({ _tag: "Built", digest: digestOf(commitOf(1)), reused: false } as const)
        }
      }),
      Layer.mock(Registry, {}),
      Layer.mock(ClusterApplier, {}),
      Layer.mock(Receipts, { history: () => Effect.succeed([]) }),
      Layer.mock(SecretStore, {
        readAll: () => Effect.succeed({}),
        resolveAll: () => Effect.succeed(secrets)
      }),
      Layer.mock(ServiceCatalog, { settle: () => Effect.void })
    ])
  )

const build = (args: Readonly<Record<string, string>>, commit = commitOf(1)) =>
  Effect.gen(function* () {
    const asked: Array<BuildRequest> = []
    const request = new DeployRequest({ ...requestOf(1), build: new BuildSpec({ args }) })
    yield* DeploySteps.use((steps) => steps.build({ request, commit })).pipe(Effect.provide(buildStep(asked)))
    return asked[0]
  })

describe("the build step", () => {
  it.effect("tells the build its commit, as an argument of which the build's key knows", () =>
    Effect.gen(function* () {
      const first = yield* build({ EDITION: "full" })
      assert.deepStrictEqual(first?.args, { SOURCE_COMMIT: commitOf(1), EDITION: "full" })
      assert.strictEqual((yield* build({ EDITION: "full" }))?.buildKey, first?.buildKey)
      assert.notStrictEqual((yield* build({ EDITION: "full" }, commitOf(2)))?.buildKey, first?.buildKey)
    })
  )

  it.effect("leaves an argument of the service's own as it is", () =>
    Effect.gen(function* () {
      const own = yield* build({ SOURCE_COMMIT: "v1" })
      assert.deepStrictEqual(own?.args, { SOURCE_COMMIT: "v1" })
      assert.notStrictEqual(own?.buildKey, (yield* build({}))?.buildKey)
    })
  )
})

describe("what a process cannot have as variables", () => {
  for (const [name, value, says] of [
    ["a secret of 128 KiB", "x".repeat(128 * 1024), "has 131072 bytes, a variable may have 130000"],
    ["a secret with a NUL", "a\u0000b", "NUL"]
  ] as const) {
    it.effect(`${name} is told before anything is built, without its value`, () =>
      Effect.gen(function* () {
        const asked: Array<BuildRequest> = []
        const failure = yield* DeploySteps.use((steps) =>
          steps.build({ request: requestOf(1), commit: commitOf(1) })
        ).pipe(Effect.provide(buildStep(asked, { TOKEN: Redacted.make(value) })), Effect.flip)
        assert.include(failure.message, "run.secrets.TOKEN")
        assert.include(failure.message, says)
        assert.notInclude(failure.message, value)
        assert.isFalse(failure.retryable)
        assert.deepStrictEqual(asked, [])
      })
    )
  }

  it.effect("a request that is too large is refused by the first step, also of a library's caller", () =>
    Effect.gen(function* () {
      const env = Object.fromEntries(["A", "B", "C", "D", "E"].map((name) => [name, "x".repeat(120_000)]))
      const request = new DeployRequest({ ...requestOf(1), run: new RunSpec({ port: 3000, env }) })
      const failure = yield* DeploySteps.use((steps) => steps.clone({ request })).pipe(
        Effect.provide(buildStep([])),
        Effect.flip
      )
      assert.match(
        failure.message,
        /^run\.env: takes 600,\d{3} of the 600,\d{3} bytes .* 524,288 are allowed/
      )
    })
  )
})
