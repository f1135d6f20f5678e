import { assert, it } from "@effect/vitest"
import { stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { keptFiltered, keptRecords, Ledger } from "@mcpdeploy/temporal-adapter/workflows/Ledger"
import type { Push } from "@mcpdeploy/temporal-contract/contract"

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
