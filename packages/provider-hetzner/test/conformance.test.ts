/** RegionInfrastructure on Hetzner keeps every promise of the contract; against the double. */
import { describeConformance } from "@mcpdeploy/provider-conformance/Vitest"
import { regionInfrastructureChecks } from "@mcpdeploy/provider-conformance/RegionInfrastructureChecks"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { hetznerPart } from "@mcpdeploy/provider-hetzner/HetznerPart"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { contents, hosts, makeWorld, regionOf, settle } from "./fixtures.ts"

const more = { ...hosts, "run-3": { pool: "run_pool", ip: "198.51.100.43", private: "10.0.1.43" } } as const

describeConformance(
  "RegionInfrastructure on Hetzner",
  Layer.empty,
  regionInfrastructureChecks({
    interruptions: [1, 5, 12, 25, 45, 70, 100],
    world: Effect.gen(function* () {
      const { api, double } = yield* makeWorld()
      const infrastructure = (of: typeof hosts) =>
        Effect.gen(function* () {
          const part = yield* hetznerPart(yield* regionOf(of), settle).pipe(Effect.provide(api))
          return combine("r1", [part])
        })
      return {
        region: yield* infrastructure(hosts),
        larger: yield* infrastructure(more),
        allow: new Set(["hetzner server ctrl-1", "hetzner server run-2"]),
        writes: () => double.writes().length,
        contents: () => JSON.stringify(contents(double))
      }
    }).pipe(Effect.orDie)
  })
)
