/** One infrastructure of several vendors'. */
import { assert, describe, it } from "@effect/vitest"
import {
  combine,
  type PartPlan,
  type RegionFacts,
  type RegionPart
} from "@mcpdeploy/core/region/RegionInfrastructure"
import * as Effect from "effect/Effect"

const change = (resource: string, destructive = false) => ({
  action: "create" as const,
  area: "node" as const,
  resource,
  diff: [`+ ${resource}`],
  destructive
})

/** A vendor that has what was made, and remembers what it was told. */
const vendor = (
  provider: string,
  wanted: ReadonlyArray<ReturnType<typeof change>>,
  facts: RegionFacts = {}
) => {
  const made = new Set<string>()
  const state = { made, known: Array<RegionFacts>(), conflicts: Array<string>(), writes: 0 }
  const planned = (known: RegionFacts): PartPlan =>
    provider === "dns" && known.loadBalancer === undefined
      ? { changes: [], conflicts: [], waiting: "the load balancer has no address yet" }
      : {
          changes: wanted.filter(({ resource }) => !made.has(resource)),
          conflicts: state.conflicts.map((resource) => ({ resource, detail: "somebody else's" }))
        }
  const part: RegionPart = {
    provider,
    plan: (known) => Effect.sync(() => planned(known)),
    apply: (known, allow) =>
      Effect.sync(() => {
        state.known.push(known)
        const changes = planned(known).changes
        const due = changes.filter(({ destructive, resource }) => !destructive || allow.has(resource))
        for (const { resource } of due) {
          made.add(resource)
          state.writes++
        }
        return { made: due, left: changes.filter(({ resource }) => !made.has(resource)) }
      }),
    facts: Effect.sync(() => (made.has("balancer") ? facts : {}))
  }
  return { part, state }
}

const make = () => {
  const cloud = vendor("cloud", [change("balancer"), change("server", true)], {
    loadBalancer: { ipv4: "203.0.113.5" }
  })
  const dns = vendor("dns", [change("record")])
  return { cloud, dns, region: combine("r1", [cloud.part, dns.part]) }
}

describe("a region of several vendors", () => {
  it.effect("says for what a vendor waits, and applies in order: one knows what those before it gave", () =>
    Effect.gen(function* () {
      const { dns, region } = make()
      const plan = yield* region.plan
      assert.deepStrictEqual(plan.waiting, [
        { provider: "dns", detail: "the load balancer has no address yet" }
      ])
      const { left, made, waiting } = yield* region.apply(new Set())
      assert.deepStrictEqual(
        made.map(({ provider, resource }) => `${provider} ${resource}`),
        ["cloud balancer", "dns record"]
      )
      assert.deepStrictEqual(waiting, [])
      assert.deepStrictEqual(
        left.map(({ resource }) => resource),
        ["server"]
      )
      assert.deepStrictEqual(
        dns.state.known.map(({ loadBalancer }) => loadBalancer),
        [{ ipv4: "203.0.113.5" }]
      )
    })
  )

  it.effect("makes what is destructive only under its own provider's name, and then verifies", () =>
    Effect.gen(function* () {
      const { cloud, region } = make()
      yield* region.apply(new Set(["server", "dns server"]))
      assert.isFalse(cloud.state.made.has("server"))
      const drift = yield* Effect.flip(region.verify)
      assert.match(drift.message, /create cloud server/)
      yield* region.apply(new Set(["cloud server"]))
      yield* region.verify
      assert.deepStrictEqual(yield* region.plan, { changes: [], conflicts: [], waiting: [] })
    })
  )

  it.effect("writes nothing anywhere while one has a conflict", () =>
    Effect.gen(function* () {
      const cloud = vendor("cloud", [change("balancer")])
      const other = vendor("other", [change("firewall")])
      other.state.conflicts.push("firewall")
      const error = yield* Effect.flip(combine("r1", [cloud.part, other.part]).apply(new Set()))
      assert.strictEqual(error._tag, "RegionConflicts")
      assert.match(error.message, /other firewall: somebody else's/)
      assert.strictEqual(cloud.state.writes, 0)
    })
  )
})
