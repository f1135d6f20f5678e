import { assert, it } from "@effect/vitest"
import { stubReceipt, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import {
  fitting,
  keptFiltered,
  keptRecords,
  Ledger,
  maxRecordBytes
} from "@mcpdeploy/temporal-adapter/workflows/Ledger"
import type { Push, PushRecord } from "@mcpdeploy/temporal-contract/contract"

const target = { owner: { user: "ann", project: "shop" }, service: "web" }

const push = (generation: number, action: Push["action"]): Push => ({
  version: 1,
  deliveryId: String(generation),
  generation,
  origin: "gitea",
  receivedAt: "2026-01-01T00:00:00.000Z",
  action
})

it("pushes that deploy nothing do not drive out the deploy that runs", () => {
  const ledger = new Ledger()
  ledger.accept(push(1, { _tag: "Deploy", request: stubRequest(target, 1) }))
  ledger.take()
  for (let generation = 2; generation < 200; generation++) {
    ledger.accept(push(generation, { _tag: "Filtered", rule: "branch", detail: "another branch" }))
  }
  assert.strictEqual(ledger.find({ generation: 1 })?.verdict._tag, "Running")
  assert.lengthOf(ledger.records, keptFiltered + 1)
  assert.strictEqual(ledger.find({ generation: 199 })?.verdict._tag, "Filtered")
  for (let generation = 200; generation < 300; generation++) {
    ledger.accept(push(generation, { _tag: "Deploy", request: stubRequest(target, generation) }))
  }
  assert.lengthOf(ledger.records, keptRecords)
})

it("what is told at once fits into one message of Temporal: the newest records, and the newest always", () => {
  const deployed = (generation: number, bytes: number): PushRecord => {
    const request = stubRequest(target, generation)
    const run = { ...request.run, env: { A: "ä".repeat(bytes / 2) } }
    const receipt = stubReceipt({ ...request, run }, request.source.ref)
    const { deliveryId, origin, receivedAt } = push(generation, { _tag: "Deploy", request })
    const verdict = { _tag: "Deployed", receipt } as const
    return { generation, deliveryIds: [deliveryId], origin, receivedAt, verdict }
  }
  const generations = (records: ReadonlyArray<PushRecord>) =>
    fitting(records).map(({ generation }) => generation)
  assert.deepStrictEqual(generations([]), [])
  assert.deepStrictEqual(
    generations([1, 2, 3, 4].map((generation) => deployed(generation, 100_000))),
    [1, 2, 3, 4]
  )
  assert.deepStrictEqual(generations([1, 2, 3, 4].map((generation) => deployed(generation, 500_000))), [3, 4])
  assert.deepStrictEqual(generations([deployed(1, 10), deployed(2, maxRecordBytes), deployed(3, 10)]), [3])
  assert.deepStrictEqual(generations([deployed(1, 10), deployed(2, maxRecordBytes)]), [2])
})
