/** apply and plan against the double. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  assertConverged,
  contents,
  desiredOf,
  elsewhere,
  facts,
  makeWorld,
  nothing,
  settings,
  settle,
  steered
} from "./fixtures.ts"

const allow = (...resources: ReadonlyArray<string>) => ({ allow: new Set(resources), settle })
const summary = (changes: ReadonlyArray<{ action: string; resource: string; diff: ReadonlyArray<string> }>) =>
  changes.map(({ action, diff, resource }) => [`${action} ${resource}`, ...diff])

describe("apply", () => {
  it.live(
    "makes records, load balancer, pool and monitor; then a plan has no change and writes nothing",
    () =>
      Effect.gen(function* () {
        const { apply, double, plan } = yield* makeWorld()
        const { made } = yield* apply(desiredOf())
        assert.strictEqual(made.length, 8)
        assertConverged(double)
        double.reset()
        assert.deepStrictEqual(yield* plan(desiredOf()), { changes: [], conflicts: [] })
        yield* apply(desiredOf())
        assert.deepStrictEqual(double.writes(), [])
        assert.isAtMost(double.calls.length, 10)
      })
  )

  it.live("reads zones and records page by page, and finds everything behind foreign records", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld({ pageSize: 2 })
      const foreign = { type: "TXT", proxied: false, ttl: 1, comment: null }
      for (let index = 0; index < 7; index++)
        double.records.put({ ...foreign, name: `n${index}.ml.ink`, content: `text ${index}` })
      yield* apply(desiredOf())
      double.reset()
      yield* apply(desiredOf())
      assert.deepStrictEqual(double.writes(), [])
      assert.strictEqual(double.records.all().length, 12)
      assert.deepStrictEqual(double.violations, [])
    })
  )

  it.live("a run node that comes or goes changes the pool's origins, with one write, and nothing else", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld()
      yield* apply(desiredOf())
      const third = { name: "run-3", address: "203.0.113.13" }
      const more = desiredOf({ ...facts, runNodes: [...facts.runNodes, third] })
      const name = "pool mcpdeploy-ml_ink-eu-central-1-run"
      assert.deepStrictEqual(summary((yield* plan(more)).changes), [
        [`update ${name}`, "+ origin run-3: 203.0.113.13"]
      ])
      double.reset()
      yield* apply(more)
      assert.strictEqual(double.writes().length, 1)
      const fewer = desiredOf({ ...facts, runNodes: [third] })
      assert.deepStrictEqual(summary((yield* plan(fewer)).changes), [
        [`update ${name}`, "- origin run-1: 203.0.113.11", "- origin run-2: 203.0.113.12"]
      ])
      double.reset()
      yield* apply(fewer)
      assert.strictEqual(double.writes().length, 1)
      assert.deepStrictEqual(double.violations, [])
    })
  )

  it.live("a node taken out for maintenance by hand stays out, whatever else changes", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      yield* apply(desiredOf())
      const [pool] = double.pools.all()
      if (pool === undefined) return assert.fail("no pool")
      const out = { name: "run-1", address: "203.0.113.11", enabled: false, weight: 0.5 }
      double.pools.put({ origins: [out, { name: "run-2", address: "203.0.113.12" }] }, pool.id)
      double.reset()
      yield* apply(desiredOf())
      assert.deepStrictEqual(double.writes(), [])
      const third = { name: "run-3", address: "203.0.113.13" }
      yield* apply(desiredOf({ ...facts, runNodes: [...facts.runNodes, third] }))
      const origins = contents(double).pools.flatMap(({ origins }) =>
        origins.map((one): object => JSON.parse(one))
      )
      assert.includeDeepMembers(origins, [out])
      assert.lengthOf(origins, 3)
    })
  )

  it.live("a replaced region load balancer changes the address of custom domains, and nothing else", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld()
      yield* apply(desiredOf())
      const moved = desiredOf({ ...facts, loadBalancer: { ipv4: "203.0.113.6" } })
      assert.deepStrictEqual(summary((yield* plan(moved)).changes), [
        ["update record A cname.ml.ink", "- content: 203.0.113.5", "+ content: 203.0.113.6"]
      ])
      yield* apply(moved)
      assert.strictEqual(double.records.all().length, 5)
    })
  )

  it.live("takes over a record that is as wanted, and keeps its comment", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const { id } = double.records.put({
        type: "A",
        name: "cname.ml.ink",
        content: "203.0.113.5",
        proxied: false,
        ttl: 300,
        comment: "made by Ann"
      })
      const { made } = yield* apply(desiredOf())
      assert.deepInclude(summary(made), [
        "adopt record A cname.ml.ink",
        "- comment: made by Ann",
        "+ comment: mcpdeploy eu-central-1; made by Ann"
      ])
      assert.strictEqual(double.records.get(id)?.["comment"], "mcpdeploy eu-central-1; made by Ann")
      double.reset()
      yield* apply(desiredOf())
      assert.deepStrictEqual(double.writes(), [])
    })
  )

  it.live("a foreign record that is in the way is a conflict that says what to do; nothing is written", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const foreign = { proxied: true, ttl: 1, comment: "marketing" }
      double.records.put({ ...foreign, type: "A", name: "grafana.ml.ink", content: "192.0.2.1" })
      const error = yield* Effect.flip(apply(desiredOf()))
      assert.strictEqual(error._tag, "CloudflareConflicts")
      assert.include(error.message, "A grafana.ml.ink → 192.0.2.1, proxied is in the way")
      assert.include(error.message, 'delete it, or give it the comment "mcpdeploy"')
      assert.deepStrictEqual(double.writes(), [])
    })
  )

  it.live("records of the zone that are nobody's concern are never touched", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const others = [
        { type: "A", name: "www.ml.ink", content: "192.0.2.1", proxied: true, ttl: 1, comment: null },
        {
          type: "TXT",
          name: "grafana.ml.ink",
          content: "v=spf1 -all",
          proxied: false,
          ttl: 1,
          comment: null
        },
        {
          type: "A",
          name: "old.ml.ink",
          content: "192.0.2.2",
          proxied: false,
          ttl: 1,
          comment: "mcpdeploy us-east-1"
        }
      ].map((fields) => double.records.put(fields))
      yield* apply(desiredOf(), allow("record A www.ml.ink", "record A old.ml.ink"))
      for (const other of others) assert.strictEqual(double.records.get(other.id), other)
    })
  )

  it.live("what it owns and does not want any more goes only when it is named", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      yield* apply(desiredOf({ ...facts, loadBalancer: { ipv4: "203.0.113.5", ipv6: "2a01:4f8::5" } }))
      assert.strictEqual(double.records.all().length, 6)
      double.reset()
      const { left } = yield* apply(desiredOf())
      assert.deepStrictEqual(
        left.map(({ destructive, resource }) => [resource, destructive]),
        [["record AAAA cname.ml.ink", true]]
      )
      assert.deepStrictEqual(double.writes(), [])
      yield* apply(desiredOf(), allow("record AAAA cname.ml.ink"))
      assertConverged(double)
    })
  )

  it.live("a load balancer that was made by hand for a record's host would hide it: a conflict", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const pool = double.pools.put({ name: "by-hand", origins: [{ name: "a", address: "192.0.2.1" }] })
      const byHand = { name: "*.ml.ink", default_pools: [pool.id], fallback_pool: pool.id, proxied: true }
      double.loadBalancers.put({ ...byHand, enabled: true, steering_policy: "off", description: "" })
      const error = yield* Effect.flip(apply(desiredOf()))
      assert.include(error.message, "rename it to lb.ml.ink")
      assert.deepStrictEqual(double.writes(), [])
    })
  )

  it.live(
    "a renamed one is taken over: the pool joins, and what was there stays until a person removes it",
    () =>
      Effect.gen(function* () {
        const { apply, double } = yield* makeWorld()
        const pool = double.pools.put({ name: "by-hand", origins: [{ name: "a", address: "192.0.2.1" }] })
        const byHand = { name: "lb.ml.ink", default_pools: [pool.id], fallback_pool: pool.id, proxied: true }
        double.loadBalancers.put({ ...byHand, enabled: true, steering_policy: "off", description: "" })
        const { left } = yield* apply(desiredOf())
        const [balancer] = contents(double).loadBalancers
        assert.deepStrictEqual(balancer?.pools, ["by-hand", "mcpdeploy-ml_ink-eu-central-1-run"])
        assert.strictEqual(balancer?.fallback, "by-hand")
        assert.deepStrictEqual(summary(left), [["adopt load balancer lb.ml.ink", "+ description: mcpdeploy"]])
        assert.deepStrictEqual((yield* apply(desiredOf(), allow("load balancer lb.ml.ink"))).left, [])
      })
  )
})

describe("verify", () => {
  it.live("writes nothing, and names what differs", () =>
    Effect.gen(function* () {
      const { apply, double, verify } = yield* makeWorld()
      yield* apply(desiredOf())
      double.reset()
      yield* verify(desiredOf())
      const error = yield* Effect.flip(verify(desiredOf({ ...facts, loadBalancer: { ipv4: "203.0.113.6" } })))
      assert.strictEqual(error._tag, "CloudflareDrift")
      assert.include(error.message, "update record A cname.ml.ink")
      assert.deepStrictEqual(double.writes(), [])
    })
  )
})

describe("several regions", () => {
  it.live("each joins the load balancers with its own pool, and changes no other's", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld()
      const here = desiredOf(facts, steered)
      const there = desiredOf(elsewhere, steered)
      yield* apply(here)
      yield* apply(there)
      const both = ["eu-central-1", "us-east-1"]
      const poolsOf = (purpose: string) => both.map((region) => `mcpdeploy-ml_ink-${region}-${purpose}`)
      assert.deepStrictEqual(contents(double).loadBalancers, [
        {
          name: "cname.ml.ink",
          proxied: false,
          pools: poolsOf("edge"),
          fallback: "mcpdeploy-ml_ink-eu-central-1-edge"
        },
        {
          name: "lb.ml.ink",
          proxied: true,
          pools: poolsOf("run"),
          fallback: "mcpdeploy-ml_ink-eu-central-1-run"
        }
      ])
      for (const region of [here, there])
        assert.deepStrictEqual(yield* plan(region), { changes: [], conflicts: [] })
      double.reset()
      yield* apply(desiredOf({ ...facts, runNodes: facts.runNodes.slice(1) }, steered))
      assert.strictEqual(double.writes().length, 1)
      assert.deepStrictEqual(yield* plan(there), { changes: [], conflicts: [] })
      assert.deepStrictEqual(double.violations, [])
    })
  )

  it.live("applied at the same time, both are in at the end, after running again where one lost", () =>
    Effect.gen(function* () {
      for (let run = 0; run < 5; run++) {
        const { apply, double } = yield* makeWorld()
        const regions = [desiredOf(facts, steered), desiredOf(elsewhere, steered)]
        const first = yield* Effect.forEach(regions, (region) => Effect.exit(apply(region)), {
          concurrency: 2
        })
        assert.strictEqual(first.length, 2)
        for (const region of regions) yield* apply(region)
        for (const balancer of contents(double).loadBalancers)
          assert.strictEqual(new Set(balancer.pools).size, 2, JSON.stringify(balancer))
        assert.strictEqual(double.monitors.all().length, 4)
        assert.strictEqual(double.records.all().length, 4)
        assert.deepStrictEqual(double.violations, [])
      }
    })
  )

  it.live("with an address each, the second region's is a conflict that says how to steer", () =>
    Effect.gen(function* () {
      const { apply } = yield* makeWorld()
      yield* apply(desiredOf())
      const error = yield* Effect.flip(apply(desiredOf(elsewhere, settings)))
      assert.include(
        error.message,
        'it is region eu-central-1\'s: set customDomains to "steered" in both regions'
      )
    })
  )

  it.live("from an address to steering and back, the host is served at every moment", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      yield* apply(desiredOf())
      const served = () =>
        double.records.all().some(({ name }) => name === "cname.ml.ink") ||
        double.loadBalancers.all().some(({ name }) => name === "cname.ml.ink")
      const watch: Array<boolean> = []
      double.fault = () => {
        watch.push(served())
        return undefined
      }
      yield* apply(desiredOf(facts, steered), allow("record A cname.ml.ink"))
      assert.strictEqual(double.records.all().length, 4)
      const resources = ["load balancer cname.ml.ink", "pool mcpdeploy-ml_ink-eu-central-1-edge"]
      const monitor = "monitor mcpdeploy eu-central-1; ml.ink edge"
      yield* apply(desiredOf(), allow(...resources, monitor))
      assertConverged(double)
      assert.isTrue(watch.every(Boolean))
    })
  )

  it.live("a region that stops steering leaves the other in the load balancer", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      yield* apply(desiredOf(facts, steered))
      yield* apply(desiredOf(elsewhere, steered))
      yield* apply(
        desiredOf(),
        allow("load balancer cname.ml.ink", "pool mcpdeploy-ml_ink-eu-central-1-edge")
      )
      const balancer = contents(double).loadBalancers.find(({ name }) => name === "cname.ml.ink")
      assert.deepStrictEqual(balancer?.pools, ["mcpdeploy-ml_ink-us-east-1-edge"])
      assert.strictEqual(balancer?.fallback, "mcpdeploy-ml_ink-us-east-1-edge")
    })
  )

  it.live("what all regions share is changed only by name when another region is in it", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      yield* apply(desiredOf(facts, steered))
      yield* apply(desiredOf(elsewhere, steered))
      double.reset()
      const random = desiredOf(facts, { ...steered, steering: "random" })
      const { left } = yield* apply(random, nothing)
      assert.deepStrictEqual(double.writes(), [])
      assert.deepStrictEqual(summary(left), [
        ["update load balancer lb.ml.ink", "- steering_policy: off", "+ steering_policy: random"],
        ["update load balancer cname.ml.ink", "- steering_policy: off", "+ steering_policy: random"]
      ])
    })
  )
})
