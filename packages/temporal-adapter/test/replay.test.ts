import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { workflows } from "@mcpdeploy/temporal-contract/contract"
import { workflowsPath } from "@mcpdeploy/temporal-adapter/workflows/Location"
import { bundleWorkflows, quietRuntime } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { DeterminismViolationError } from "@temporalio/workflow"
import { Worker, type WorkflowBundleWithSourceMap } from "@temporalio/worker"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class ReplayFailed extends Schema.TaggedError<ReplayFailed>()("ReplayFailed", {
  history: Schema.String,
  isDeterminismViolation: Schema.Boolean,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.history}: ${this.detail}`
  }
}

const folder = join(import.meta.dirname, "histories")
const histories = readdirSync(folder).filter((name) => name.endsWith(".json"))

const replay = (workflowBundle: WorkflowBundleWithSourceMap, name: string) =>
  Effect.tryPromise({
    try: () => {
      const history: unknown = JSON.parse(readFileSync(join(folder, name), "utf8"))
      return Worker.runReplayHistory({ workflowBundle }, history)
    },
    catch: (error) =>
      new ReplayFailed({
        history: name,
        isDeterminismViolation: error instanceof DeterminismViolationError,
        detail: String(error)
      })
  })

describe("stored histories", () => {
  it("there is one of each workflow", () => {
    const recorded = new Set(histories.map((name) => name.split("-")[0]))
    assert.deepStrictEqual([...recorded].toSorted(), Object.keys(workflows).toSorted())
  })

  it.live("replay with the workflows as they are now", () =>
    Effect.gen(function* () {
      yield* quietRuntime
      const bundle = yield* bundleWorkflows()
      yield* Effect.forEach(histories, (name) => replay(bundle, name))
    })
  )

  it.live("a workflow whose steps were reordered does not replay them", () =>
    Effect.gen(function* () {
      yield* quietRuntime
      const bundle = yield* bundleWorkflows(join(import.meta.dirname, "mutated", "index.ts"))
      const error = yield* Effect.flip(replay(bundle, "deploy-deployed.v1.json"))
      assert.isTrue(error.isDeterminismViolation, error.message)
    })
  )
})

describe("the workflow bundle", () => {
  it.live("is at most 2 MB, source map included, and holds no Effect", () =>
    Effect.gen(function* () {
      const { code } = yield* bundleWorkflows(workflowsPath)
      assert.isAtMost(Buffer.byteLength(code), 2_000_000)
      assert.notMatch(code, /node_modules\/effect\//)
    })
  )
})
