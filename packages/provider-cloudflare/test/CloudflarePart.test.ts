/** The part that Cloudflare has in a region, from the region's own directory. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { readRegion, type Region } from "@mcpdeploy/core/region/Region"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { cloudflarePart } from "@mcpdeploy/provider-cloudflare/CloudflarePart"
import * as Effect from "effect/Effect"
import { makeWorld, settle } from "./fixtures.ts"

const directory = new URL("../../../regions/eu-central-1", import.meta.url).pathname
const loadBalancer = { ipv4: "203.0.113.5" }

const without = (region: Region, name: string): Region => ({
  ...region,
  nodes: region.nodes.filter((node) => node.name !== name)
})

describe("Cloudflare's part of a region", () => {
  it.live("waits for the load balancer's address; with it, it is applied once and then writes nothing", () =>
    Effect.gen(function* () {
      const { api, double } = yield* makeWorld()
      const region = yield* readRegion(directory).pipe(Effect.provide(NodeServices.layer))
      const part = yield* cloudflarePart(region, settle).pipe(Effect.provide(api))
      const waiting = yield* combine(region.name, [part]).plan
      assert.match(waiting.waiting[0]?.detail ?? "", /no address yet/)
      assert.deepStrictEqual(waiting.changes, [])

      const infrastructure = combine(region.name, [part], { loadBalancer })
      const { left, made } = yield* infrastructure.apply(new Set())
      assert.isAbove(made.length, 5)
      assert.deepStrictEqual(left, [])
      double.reset()
      yield* infrastructure.verify
      yield* infrastructure.apply(new Set())
      assert.deepStrictEqual(double.writes(), [])
      assert.deepStrictEqual(double.violations, [])

      const fewer = combine(
        region.name,
        [yield* cloudflarePart(without(region, "run-2"), settle).pipe(Effect.provide(api))],
        { loadBalancer }
      )
      const { changes } = yield* fewer.plan
      assert.deepStrictEqual(
        changes.map(({ action, diff, provider, resource }) => [provider, action, resource, ...diff]),
        [["cloudflare", "update", "pool mcpdeploy-ml_ink-eu-central-1-run", "- origin run-2: 203.0.113.42"]]
      )
      const drift = yield* Effect.flip(fewer.verify)
      assert.strictEqual(drift._tag, "RegionDrift")
    }).pipe(Effect.scoped)
  )

  it.live(
    "a domain that is no zone of the account is said, also while the load balancer has no address yet",
    () =>
      Effect.gen(function* () {
        const { api, double } = yield* makeWorld({ zone: "acme.dev" })
        const region = yield* readRegion(directory).pipe(Effect.provide(NodeServices.layer))
        const part = yield* cloudflarePart(region, settle).pipe(Effect.provide(api))
        for (const given of [{}, { loadBalancer }]) {
          const error = yield* Effect.flip(combine(region.name, [part], given).apply(new Set()))
          assert.match(
            error.message,
            /the account of the token has no zone ml\.ink; add it at Cloudflare, or correct cloudflare\.zone/
          )
        }
        assert.deepStrictEqual(double.writes(), [])
      }).pipe(Effect.scoped)
  )

  it.live("a zone that is not the region's domain is said", () =>
    Effect.gen(function* () {
      const { api, double } = yield* makeWorld()
      const region = yield* readRegion(directory).pipe(Effect.provide(NodeServices.layer))
      const other = { ...region, domain: PlatformDomain.make("acme.dev") }
      const error = yield* Effect.flip(cloudflarePart(other, settle).pipe(Effect.provide(api)))
      assert.match(error.message, /cloudflare\.zone is ml\.ink, and region_domain acme\.dev/)
      assert.deepStrictEqual(double.calls, [])
    }).pipe(Effect.scoped)
  )
})
