import { assert, describe, it } from "@effect/vitest"
import { ClusterApplierError, SupersededByNewer } from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import { DeployError } from "@mcpdeploy/core/pipeline/DeployError"
import { failureOf, toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { decodeFailure, encodeFailure, PlaneError, Unexpected } from "@mcpdeploy/temporal-contract/schema"
import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure } from "@temporalio/common"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const fenced = new ClusterApplierError({
  operation: "apply",
  target: Schema.decodeSync(ServiceTarget)({ owner: { user: "u", project: "p" }, service: "web" }),
  reason: new SupersededByNewer({
    generation: Generation.make(1),
    newer: Generation.make(2),
    newerCommit: CommitSha.make("0".repeat(40))
  })
})

describe("failures between the planes", () => {
  it.effect("a typed error arrives as the same typed error, wrapped as Temporal wraps it", () =>
    Effect.gen(function* () {
      const failure = yield* encodeFailure(fenced)
      const thrown = ApplicationFailure.create(toApplicationFailure(failure))
      assert.strictEqual(thrown.type, "ClusterApplierError")
      assert.isTrue(thrown.nonRetryable)
      assert.strictEqual(thrown.message, fenced.message)
      const wrapped = new Error("workflow failed", { cause: new Error("activity failed", { cause: thrown }) })
      const back = yield* decodeFailure(failureOf(wrapped))
      assert.instanceOf(back, ClusterApplierError)
      assert.deepStrictEqual(back, fenced)
    })
  )

  it.effect.prop("every typed error survives JSON", [DeployError], ([error]) =>
    Effect.gen(function* () {
      const travelled: unknown = JSON.parse(JSON.stringify((yield* encodeFailure(error)).error))
      const again = yield* Schema.decodeUnknownEffect(PlaneError)(travelled)
      assert.strictEqual(again._tag, error._tag)
      assert.strictEqual(again.message, error.message)
      assert.strictEqual(again.retryable, error.retryable)
    })
  )

  it.effect("an error of a newer contract is shown as it speaks, not lost", () =>
    Effect.gen(function* () {
      const back = yield* decodeFailure({
        error: { _tag: "FromTheFuture" },
        message: "what to do",
        retryable: false
      })
      assert.deepStrictEqual(back, new Unexpected({ detail: "what to do" }))
    })
  )

  it("what has no type is told apart: cancelled, lost, broken", () => {
    const tag = (error: unknown) => failureOf(error).error._tag
    assert.strictEqual(tag(new Error("w", { cause: new CancelledFailure("c") })), "Cancelled")
    assert.strictEqual(
      tag(
        new ActivityFailure(
          "a",
          "build",
          "1",
          "RETRY_POLICY_NOT_SET",
          "w",
          new TimeoutFailure("no heartbeat", undefined, "HEARTBEAT")
        )
      ),
      "StepLost"
    )
    assert.strictEqual(tag(new TypeError("x is undefined")), "Unexpected")
    assert.strictEqual(tag("thrown text"), "Unexpected")
  })
})
