/** RegionInfrastructure on Cloudflare keeps every promise of the contract; against the double. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describeConformance } from "@mcpdeploy/provider-conformance/Vitest"
import { regionInfrastructureChecks } from "@mcpdeploy/provider-conformance/RegionInfrastructureChecks"
import { Ipv4 } from "@mcpdeploy/core/region/Address"
import { NodeName, readRegion, type Region } from "@mcpdeploy/core/region/Region"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { cloudflarePart } from "@mcpdeploy/provider-cloudflare/CloudflarePart"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { contents, makeWorld, settle } from "./fixtures.ts"

const directory = new URL("../../../regions/eu-central-1", import.meta.url).pathname

const withOneMore = (region: Region): Region => ({
  ...region,
  nodes: [
    ...region.nodes,
    {
      name: NodeName.make("run-9"),
      pool: "run_pool",
      address: Ipv4.make("203.0.113.49"),
      ipv6: undefined,
      privateAddress: Ipv4.make("10.0.0.49"),
      settings: () => Effect.undefined
    }
  ]
})

describeConformance(
  "RegionInfrastructure on Cloudflare",
  Layer.empty,
  regionInfrastructureChecks({
    interruptions: [1, 3, 8, 15, 25, 40],
    world: Effect.gen(function* () {
      const { api, double } = yield* makeWorld()
      const region = yield* readRegion(directory).pipe(Effect.provide(NodeServices.layer))
      const infrastructure = (of: Region) =>
        Effect.map(cloudflarePart(of, settle).pipe(Effect.provide(api)), (part) =>
          combine(of.name, [part], { loadBalancer: { ipv4: "203.0.113.5" } })
        )
      return {
        region: yield* infrastructure(region),
        larger: yield* infrastructure(withOneMore(region)),
        allow: new Set<string>(),
        writes: () => double.writes().length,
        contents: () => JSON.stringify(contents(double))
      }
    }).pipe(Effect.orDie)
  })
)
