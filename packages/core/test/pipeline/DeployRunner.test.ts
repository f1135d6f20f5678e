import { assert, describe, it } from "@effect/vitest"
import { DeploySteps } from "@mcpdeploy/core/pipeline/DeploySteps"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { Effect, Fiber, Layer, Random } from "effect"
import { commitOf, digestOf, imageOf, receiptOf, requestOf } from "./requests.ts"

/** Steps that take time and keep a diary: who is inside a service's build, and which commit runs in the end. */
const makeDiary = Effect.sync(() => {
  const inside = new Map<string, number>()
  const running = new Map<string, number>()
  const diary = { most: 0, mostTogether: 0, cancelled: 0, running }
  const layer = Layer.mock(DeploySteps, {
    clone: ({ request }) => Effect.succeed({ commit: commitOf(request.generation) }),
    build: ({ commit, request }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          inside.set(request.service, (inside.get(request.service) ?? 0) + 1)
          diary.most = Math.max(diary.most, inside.get(request.service) ?? 0)
          const together = [...inside.values()].reduce((sum, count) => sum + count, 0)
          diary.mostTogether = Math.max(diary.mostTogether, together)
        }),
        () => Effect.onInterrupt(Effect.sleep("10 millis"), () => Effect.sync(() => void diary.cancelled++)),
        // A cancelled build takes a while to be seen gone.
        () =>
          Effect.andThen(
            Effect.sleep("5 millis"),
            Effect.sync(() => inside.set(request.service, (inside.get(request.service) ?? 0) - 1))
          )
      ).pipe(
        Effect.as({ image: imageOf(request, commit), digest: digestOf(commit), buildKey: "k", reused: false })
      ),
    push: () => Effect.succeed({ changed: true }),
    deploy: ({ request }) =>
      Effect.sync(() => {
        running.set(request.service, Math.max(running.get(request.service) ?? 0, request.generation))
        return { applied: { revision: "1", changes: [] }, pods: [] }
      }),
    verify: ({ commit, request }) => Effect.succeed({ receipt: receiptOf(request, commit) })
  })
  return { diary, layer: DeployRunner.layer.pipe(Layer.provide(layer)) }
})

describe("DeployRunner", () => {
  it.live("runs one deploy at a time for a service, and the newest wins", () =>
    Effect.gen(function* () {
      const { diary, layer } = yield* makeDiary
      const outcomes = yield* Effect.gen(function* () {
        const runner = yield* DeployRunner
        const generations = yield* Random.shuffle([1, 2, 3, 4, 5, 6, 7, 8])
        return yield* Effect.forEach(
          generations,
          (generation) =>
            Effect.andThen(
              Effect.sleep(`${Math.floor(generation * 3)} millis`),
              Effect.map(runner.deploy(requestOf(generation)), (outcome) => ({ generation, outcome }))
            ),
          { concurrency: "unbounded" }
        )
      }).pipe(Effect.provide(layer))
      assert.strictEqual(diary.most, 1)
      assert.strictEqual(diary.running.get("web"), 8)
      assert.strictEqual(outcomes.find(({ generation }) => generation === 8)?.outcome._tag, "Deployed")
    })
  )

  it.live("supersedes an older push that comes late, without building it", () =>
    Effect.gen(function* () {
      const { diary, layer } = yield* makeDiary
      yield* Effect.gen(function* () {
        const runner = yield* DeployRunner
        const newer = yield* Effect.forkChild(runner.deploy(requestOf(2)))
        yield* Effect.sleep("2 millis")
        const older = yield* runner.deploy(requestOf(1))
        assert.deepStrictEqual(older, { _tag: "Superseded", by: requestOf(2).generation })
        assert.strictEqual((yield* Fiber.join(newer))._tag, "Deployed")
        assert.strictEqual(diary.cancelled, 0)
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("lets different services deploy side by side", () =>
    Effect.gen(function* () {
      const { diary, layer } = yield* makeDiary
      const names = Array.from({ length: 20 }, (_, index) => `service-${index}`)
      const outcomes = yield* DeployRunner.use((runner) =>
        Effect.forEach(names, (name) => runner.deploy(requestOf(1, name)), { concurrency: "unbounded" })
      ).pipe(Effect.provide(layer))
      assert(outcomes.every(({ _tag }) => _tag === "Deployed"))
      assert.strictEqual(diary.mostTogether, names.length)
    })
  )

  it.live("cancels the deploy whose caller is interrupted", () =>
    Effect.gen(function* () {
      const { diary, layer } = yield* makeDiary
      yield* Effect.gen(function* () {
        const runner = yield* DeployRunner
        const fiber = yield* Effect.forkChild(runner.deploy(requestOf(1)))
        yield* Effect.sleep("3 millis")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(diary.cancelled, 1)
        assert.strictEqual((yield* runner.deploy(requestOf(1)))._tag, "Deployed")
      }).pipe(Effect.provide(layer))
    })
  )
})
