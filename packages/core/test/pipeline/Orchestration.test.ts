import { assert, describe, it } from "@effect/vitest"
import { ClusterApplierError, SupersededByNewer } from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { NothingRuns } from "@mcpdeploy/core/pipeline/DeployError"
import { type Deploy, deploy } from "@mcpdeploy/core/pipeline/Orchestration"
import { commitOf, digestOf, imageOf, receiptOf, requestOf } from "./requests.ts"

const request = requestOf(7)
const commit = commitOf(7)
const image = imageOf(request, commit)
const failure = new NothingRuns()

/** Lets every step succeed until `failing`, and returns the steps that ran and the last node. */
const follow = (failing: Partial<Record<Deploy["step"], typeof failure | ClusterApplierError>> = {}) => {
  const steps: Array<string> = []
  let node = deploy(request)
  while (node.step !== "done") {
    steps.push(node.step)
    const error = failing[node.step]
    node = error === undefined ? succeed(node) : node.failed(error)
  }
  return { steps, outcome: node.outcome }
}

const succeed = (node: Exclude<Deploy, { step: "done" }>): Deploy => {
  switch (node.step) {
    case "clone":
      return node.succeeded({ commit }, 1)
    case "build":
      return node.succeeded({ image, digest: digestOf(commit), buildKey: "k", reused: false }, 2)
    case "push":
      return node.succeeded({ changed: true }, 3)
    case "deploy":
      return node.succeeded({ applied: { revision: "1", changes: [] }, pods: [] }, 4)
    case "verify":
      return node.succeeded({ receipt: receiptOf(request, node.input.commit) }, 5)
    case "restore":
      return node.succeeded({ restored: commitOf(6) }, 6)
  }
}

const fenced = new ClusterApplierError({
  operation: "apply",
  target: request.target,
  reason: new SupersededByNewer({
    generation: Generation.make(7),
    newer: Generation.make(9),
    newerCommit: commitOf(9)
  })
})

describe("Orchestration", () => {
  it("runs the five steps in order and ends with the receipt", () => {
    const { outcome, steps } = follow()
    assert.deepStrictEqual(steps, ["clone", "build", "push", "deploy", "verify"])
    assert.deepStrictEqual(outcome, { _tag: "Deployed", receipt: receiptOf(request, commit) })
  })

  it("hands the times of the steps before to verify", () => {
    let node = deploy(request)
    while (node.step !== "verify" && node.step !== "done") node = succeed(node)
    assert(node.step === "verify")
    assert.deepStrictEqual(node.input.timings, [
      { step: "clone", durationMs: 1 },
      { step: "build", durationMs: 2 },
      { step: "push", durationMs: 3 },
      { step: "deploy", durationMs: 4 }
    ])
  })

  for (const step of ["clone", "build", "push"] as const) {
    it(`ends with the failure of ${step}, because nothing was changed yet`, () => {
      const { outcome, steps } = follow({ [step]: failure })
      assert.strictEqual(steps.at(-1), step)
      assert.deepStrictEqual(outcome, { _tag: "Failed", step, error: failure })
    })
  }

  for (const step of ["deploy", "verify"] as const) {
    it(`returns to the last good deploy when ${step} fails`, () => {
      const { outcome, steps } = follow({ [step]: failure })
      assert.strictEqual(steps.at(-1), "restore")
      assert.deepStrictEqual(outcome, { _tag: "Failed", step, error: failure, restored: commitOf(6) })
    })

    it(`does not touch the newer deploy that took the place during ${step}`, () => {
      const { outcome, steps } = follow({ [step]: fenced })
      assert.strictEqual(steps.at(-1), step)
      assert.deepStrictEqual(outcome, { _tag: "Superseded", by: Generation.make(9) })
    })
  }

  it("tells both causes when the return fails too", () => {
    const { outcome } = follow({ deploy: failure, restore: failure })
    assert.deepStrictEqual(outcome, { _tag: "Failed", step: "deploy", error: failure, restoreError: failure })
  })

  it("is superseded when a newer deploy comes during the return", () => {
    assert.strictEqual(follow({ deploy: failure, restore: fenced }).outcome._tag, "Superseded")
  })
})
