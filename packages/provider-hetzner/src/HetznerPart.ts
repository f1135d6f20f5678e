/** HetznerPart: Hetzner's part of a region's infrastructure, as the region's directory describes it. */
import { IpRange } from "@mcpdeploy/core/region/Address"
import type { Region } from "@mcpdeploy/core/region/Region"
import {
  failedAt,
  RegionConflicts,
  type RegionFacts,
  type RegionPart
} from "@mcpdeploy/core/region/RegionInfrastructure"
import { RegionProvider, secretOf } from "@mcpdeploy/core/region/RegionProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { publicAddressOf, readLoadBalancer, sourcesOf } from "./ActualState.ts"
import { HetznerApi, layer } from "./api/HetznerApi.ts"
import { apply, type ApplyOptions, plan } from "./Apply.ts"
import type { HetznerChange } from "./Change.ts"
import { desiredState } from "./DesiredState.ts"

const provider = "hetzner"
const failed = failedAt(provider)

const defaultSettle: ApplyOptions["settle"] = { tries: 10, seconds: 1 }

const shown = ({ action, area, destructive, diff, resource }: HetznerChange) => ({
  action,
  area,
  destructive,
  diff,
  resource
})

/** Fails where `hetzner` in the region's variables, or a node's settings, are not as `HetznerSettings` says. */
export const hetznerPart = Effect.fn("hetznerPart")(function* (
  region: Region,
  settle: ApplyOptions["settle"] = defaultSettle
) {
  const api = yield* HetznerApi
  const withApi = Effect.provideService(HetznerApi, api)
  const { loadBalancer } = yield* desiredState(region, [])
  const desiredOf = (known: RegionFacts) =>
    Effect.mapError(desiredState(region, known.webSources ?? [], known.layer2Network), failed)
  return {
    provider,
    facts: withApi(readLoadBalancer(loadBalancer.name)).pipe(
      Effect.mapError(failed),
      Effect.map((balancer): RegionFacts => {
        if (balancer === undefined) return {}
        const address = publicAddressOf(balancer)
        const sources = sourcesOf(balancer).map((range) => IpRange.make(range))
        return {
          ...(address === undefined ? {} : { loadBalancer: address }),
          webSources: sources,
          proxyProtocolSources: sources
        }
      })
    ),
    plan: Effect.fnUntraced(function* (known) {
      const { changes, conflicts } = yield* Effect.mapError(withApi(plan(yield* desiredOf(known))), failed)
      return { changes: changes.map(shown), conflicts }
    }),
    apply: Effect.fnUntraced(function* (known, allow) {
      const applied = yield* withApi(apply(yield* desiredOf(known), { allow, settle })).pipe(
        Effect.mapError((error) =>
          error._tag === "HetznerConflicts"
            ? new RegionConflicts({ conflicts: error.conflicts.map((one) => ({ ...one, provider })) })
            : failed(error)
        )
      )
      return { made: applied.made.map(shown), left: applied.left.map(shown) }
    })
  } satisfies RegionPart
})

/** `HCLOUD_TOKEN`; `HCLOUD_ENDPOINT` is another address than Hetzner's, for tests. The names are those of Hetzner's own tools. */
export const regionProvider = new RegionProvider({
  name: provider,
  areas: ["network", "node", "loadBalancer", "firewall"],
  roles: ["hetzner_lb"],
  part: Effect.fnUntraced(function* (region, env) {
    const token = yield* secretOf(
      provider,
      env,
      "HCLOUD_TOKEN",
      "a token of the region's project, read and write"
    )
    const baseUrl = env["HCLOUD_ENDPOINT"]
    const api = yield* Layer.build(layer({ token, ...(baseUrl === undefined ? {} : { baseUrl }) })).pipe(
      Effect.mapError(failed)
    )
    return yield* hetznerPart(region).pipe(Effect.provideService(HetznerApi, Context.get(api, HetznerApi)))
  })
})
