import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { queues } from "@mcpdeploy/temporal-contract/contract"
import { failureOf, toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { bundleWorkflows, testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { ApplicationFailure } from "@temporalio/common"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { deployAndFollow } from "../src/deployAndFollow.ts"

const target = { owner: { user: "u1", project: "shop" }, service: "web" }
const failure = {
  error: { _tag: "ImageBuilderError", reason: { _tag: "StepFailed" } },
  message: "the build failed",
  retryable: false
}
const stub = stubActivities()
const cluster = testWorker({
  activities: stubActivities({
    build: (input) => {
      if (input.request.generation === 13) throw ApplicationFailure.create(toApplicationFailure(failure))
      return stub.build(input)
    }
  })
})

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describe.skipIf(temporalProgram() === undefined)(`the product plane (${temporalProgram() ?? missingProgram})`, () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect("starts a deploy on the cluster's queue and follows it to its verdict", () =>
      Effect.gen(function* () {
        const { deploys } = yield* cluster
        const lines: Array<string> = []
        const verdict = yield* Effect.promise(() =>
          deployAndFollow(deploys, stubRequest(target, 7), "delivery-7", (line) => lines.push(line))
        )
        assert.strictEqual(verdict._tag === "Deployed" ? verdict.receipt.generation : verdict._tag, 7)
        assert.strictEqual(lines.at(-1), "Deployed")
      })
    )

    it.effect("runs a workflow of its own, which calls the cluster's activities", () =>
      Effect.gen(function* () {
        yield* cluster
        const bundle = yield* bundleWorkflows(join(import.meta.dirname, "..", "src", "workflows.ts"))
        const { client } = yield* testWorker({ activities: stub, bundle, worker: { taskQueue: queues.product } })
        const prebuild = (generation: number) =>
          Effect.promise(() =>
            client.workflow
              .execute("prebuild", {
                workflowId: `prebuild/${generation}`,
                taskQueue: queues.product,
                args: [stubRequest(target, generation)]
              })
              .catch((error: unknown) => failureOf(error))
          )
        assert.propertyVal(yield* prebuild(7), "buildKey", 7..toString(16).padStart(40, "0"))
        assert.deepStrictEqual(yield* prebuild(13), failure)
      })
    )
  })
})
