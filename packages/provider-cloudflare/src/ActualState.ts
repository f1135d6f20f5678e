/** ActualState: what Cloudflare has now. Five or more reads, no write. */
import * as Effect from "effect/Effect"
import { CloudflareApi } from "./api/CloudflareApi.ts"
import type { CloudflareReason } from "./api/CloudflareReason.ts"
import type { DnsRecord, LoadBalancer, Monitor, Pool, Zone } from "./api/Resources.ts"

export interface ActualState {
  readonly zone: Zone
  readonly records: ReadonlyArray<DnsRecord>
  readonly monitors: ReadonlyArray<Monitor>
  readonly pools: ReadonlyArray<Pool>
  readonly loadBalancers: ReadonlyArray<LoadBalancer>
}

export const readActualState = Effect.fn("Cloudflare.readActualState")(function* (
  zoneName: string
): Effect.fn.Return<ActualState, CloudflareReason, CloudflareApi> {
  const api = yield* CloudflareApi
  const zone = yield* api.zone(zoneName)
  const account = zone.account.id
  const [records, monitors, pools, loadBalancers] = yield* Effect.all(
    [
      api.records.list(zone.id),
      api.monitors.list(account),
      api.pools.list(account),
      api.loadBalancers.list(zone.id)
    ],
    { concurrency: 4 }
  )
  return { zone, records, monitors, pools, loadBalancers }
})
