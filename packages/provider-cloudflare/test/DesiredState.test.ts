/** What a region wants, as a pure function. */
import { desiredState, type RegionFacts } from "../src/DesiredState.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { desiredOf, facts, settings, steered } from "./fixtures.ts"

describe("desiredState", () => {
  it("is the five records: four proxied through the load balancer, one DNS-only to the region's address", () => {
    assert.deepStrictEqual(
      desiredOf().records.map(({ content, name, proxied, type }) => [name, type, content, proxied]),
      [
        ["*.ml.ink", "CNAME", "lb.ml.ink", true],
        ["grafana.ml.ink", "CNAME", "lb.ml.ink", true],
        ["loki.ml.ink", "CNAME", "lb.ml.ink", true],
        ["prometheus.ml.ink", "CNAME", "lb.ml.ink", true],
        ["cname.ml.ink", "A", "203.0.113.5", false]
      ]
    )
  })

  it("steered, the host of custom domains is a load balancer that is not proxied", () => {
    const desired = desiredOf(facts, steered)
    assert.deepStrictEqual(
      desired.loadBalancers.map(({ name, proxied }) => [name, proxied]),
      [
        ["lb.ml.ink", true],
        ["cname.ml.ink", false]
      ]
    )
    assert.isFalse(desired.records.some(({ name }) => name === "cname.ml.ink"))
    assert.deepStrictEqual(desired.pools[1]?.origins, [{ name: "eu-central-1", address: "203.0.113.5" }])
  })

  it("does not depend on the order of the nodes", () => {
    const backwards = { ...facts, runNodes: facts.runNodes.toReversed() }
    assert.deepStrictEqual(desiredOf(backwards), desiredOf())
  })

  const node = (name: string, address: string) => ({ name, address })
  const invalid: ReadonlyArray<readonly [string, RegionFacts]> = [
    ["no node in the run-pool", { ...facts, runNodes: [] }],
    ["is no public address", { ...facts, runNodes: [node("run-1", "10.0.0.4")] }],
    ["is no public address", { ...facts, runNodes: [node("run-1", "run-1.example.com")] }],
    ["two nodes are called", { ...facts, runNodes: [node("a", "203.0.113.1"), node("a", "203.0.113.2")] }],
    [
      "two nodes have the address",
      { ...facts, runNodes: [node("a", "203.0.113.1"), node("b", "203.0.113.1")] }
    ],
    ["is no IPv4 address", { ...facts, loadBalancer: { ipv4: "2a01::1" } }]
  ]
  for (const [what, wrong] of invalid) {
    it(`is refused where ${what} (${JSON.stringify(wrong.runNodes)})`, () => {
      const result = desiredState(wrong, settings)
      assert.isTrue(Result.isFailure(result))
      if (Result.isFailure(result)) assert.include(result.failure.message, what)
    })
  }
})
