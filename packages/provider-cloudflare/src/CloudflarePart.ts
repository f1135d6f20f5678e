/** CloudflarePart: Cloudflare's part of a region's infrastructure, as the region's directory describes it. */
import {
  failedAt,
  type RegionFacts,
  RegionConflicts,
  type RegionPart
} from "@mcpdeploy/core/region/RegionInfrastructure"
import type { Region } from "@mcpdeploy/core/region/Region"
import { IpRange } from "@mcpdeploy/core/region/Address"
import { RegionProvider, secretOf } from "@mcpdeploy/core/region/RegionProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fetchAddressRanges } from "./AddressRanges.ts"
import { CloudflareApi, layer } from "./api/CloudflareApi.ts"
import { tokenPermissions } from "./api/CloudflareReason.ts"
import { apply, plan } from "./Apply.ts"
import type { CloudflareChange } from "./Change.ts"
import { CloudflareSettings } from "./CloudflareSettings.ts"
import type { Settle } from "./CreateOnce.ts"
import { CloudflareRegionInvalid, desiredState, type RegionFacts as CloudflareFacts } from "./DesiredState.ts"

const provider = "cloudflare"
const failed = failedAt(provider)

/** Cloudflare shows most writes at once, and some after seconds. */
const defaultSettle: Settle = { tries: 6, seconds: 1 }

const shown = ({ action, destructive, diff, operation, resource }: CloudflareChange) => ({
  area: operation.kind.endsWith("Record") ? ("dns" as const) : ("origins" as const),
  action,
  destructive,
  diff,
  resource
})

const factsOf = (region: Region, { ipv4, ipv6 }: CloudflareFacts["loadBalancer"]): CloudflareFacts => ({
  region: region.name,
  runNodes: region.nodes
    .filter(({ pool }) => pool === "run_pool")
    .map(({ address, name }) => ({ name, address })),
  loadBalancer: { ipv4, ...(ipv6 === undefined ? {} : { ipv6 }) }
})

/** Fails where `cloudflare` in the region's variables is not as {@link CloudflareSettings} says. */
export const cloudflarePart = Effect.fn("cloudflarePart")(function* (
  region: Region,
  settle: Settle = defaultSettle
) {
  const settings = yield* region.settings(provider, CloudflareSettings)
  if (settings.zone !== region.domain)
    return yield* failed(
      new CloudflareRegionInvalid({
        region: region.name,
        detail: `cloudflare.zone is ${settings.zone}, and region_domain ${region.domain}: they have to be the same`
      })
    )
  const api = yield* CloudflareApi
  const withApi = Effect.provideService(CloudflareApi, api)
  const desiredOf = (known: RegionFacts) =>
    known.loadBalancer === undefined
      ? Effect.undefined
      : Effect.mapError(
          Effect.fromResult(desiredState(factsOf(region, known.loadBalancer), settings)),
          failed
        )
  return {
    provider,
    facts: withApi(fetchAddressRanges()).pipe(
      Effect.mapBoth({
        onFailure: failed,
        onSuccess: ({ ipv4, ipv6 }) => {
          const sources = [...ipv4, ...ipv6].map((range) => IpRange.make(range))
          return { webSources: sources, httpProxySources: sources }
        }
      })
    ),
    plan: Effect.fnUntraced(function* (known) {
      const desired = yield* desiredOf(known)
      if (desired === undefined) {
        // That there is no such zone is said before any other vendor makes something for it.
        yield* Effect.mapError(withApi(CloudflareApi.use(({ zone }) => zone(settings.zone))), failed)
        return {
          changes: [],
          conflicts: [],
          waiting:
            "the region's load balancer has no address yet: apply its provider first, or set region_load_balancer"
        }
      }
      const { changes, conflicts } = yield* Effect.mapError(withApi(plan(desired)), failed)
      return { changes: changes.map(shown), conflicts }
    }),
    apply: Effect.fnUntraced(function* (known, allow) {
      const desired = yield* desiredOf(known)
      if (desired === undefined) return { made: [], left: [] }
      const { left, made } = yield* withApi(apply(desired, { allow, settle })).pipe(
        Effect.mapError((error) =>
          error._tag === "CloudflareConflicts"
            ? new RegionConflicts({
                conflicts: error.conflicts.map((conflict) => ({ ...conflict, provider }))
              })
            : failed(error)
        )
      )
      return { made: made.map(shown), left: left.map(shown) }
    })
  } satisfies RegionPart
})

/** `CLOUDFLARE_API_TOKEN`; `CLOUDFLARE_BASE_URL` is another address than Cloudflare's, for tests. */
export const regionProvider = new RegionProvider({
  name: provider,
  areas: ["dns", "origins"],
  part: Effect.fnUntraced(function* (region, env) {
    const token = yield* secretOf(provider, env, "CLOUDFLARE_API_TOKEN", tokenPermissions)
    const baseUrl = env["CLOUDFLARE_BASE_URL"]
    const api = yield* Layer.build(layer({ token, ...(baseUrl === undefined ? {} : { baseUrl }) })).pipe(
      Effect.mapError(failed)
    )
    return yield* cloudflarePart(region).pipe(
      Effect.provideService(CloudflareApi, Context.get(api, CloudflareApi))
    )
  })
})
