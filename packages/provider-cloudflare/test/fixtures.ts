/** A region, a double of Cloudflare, and its client. */
import { type CloudflareApiOptions, layer } from "../src/api/CloudflareApi.ts"
import * as Apply from "../src/Apply.ts"
import { type CloudflareSettings } from "@mcpdeploy/provider-cloudflare/CloudflareSettings"
import { desiredState, type DesiredState, type RegionFacts } from "../src/DesiredState.ts"
import * as CloudflareDouble from "@mcpdeploy/provider-cloudflare/testing/CloudflareDouble"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { assert } from "@effect/vitest"

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

export const token = "canary-cloudflare-token"

export const facts: RegionFacts = {
  region: "eu-central-1",
  runNodes: [
    { name: "run-1", address: "203.0.113.11" },
    { name: "run-2", address: "203.0.113.12" }
  ],
  loadBalancer: { ipv4: "203.0.113.5" }
}
export const elsewhere: RegionFacts = {
  region: "us-east-1",
  runNodes: [{ name: "run-1", address: "198.51.100.11" }],
  loadBalancer: { ipv4: "198.51.100.5" }
}
export const settings: CloudflareSettings = { zone: PlatformDomain.make("ml.ink") }
export const steered: CloudflareSettings = { ...settings, customDomains: "steered" }

export const desiredOf = (of: RegionFacts = facts, by: CloudflareSettings = settings): DesiredState =>
  Result.getOrThrow(desiredState(of, by))

/** Short waits: a fault's retry, and a look whether a write is seen. */
export const settle = { tries: 4, seconds: 0.005 }
export const nothing: Apply.ApplyOptions = { allow: new Set(), settle }

export const makeWorld = Effect.fnUntraced(function* (
  options: Partial<CloudflareDouble.DoubleOptions> = {},
  client: Partial<CloudflareApiOptions> = {}
) {
  const double = yield* CloudflareDouble.make({ token, ...options })
  const api = yield* Layer.build(
    layer({
      token: Redacted.make(token),
      baseUrl: double.baseUrl,
      retries: 3,
      backoffSeconds: 0.002,
      timeoutSeconds: 5,
      ...client
    })
  )
  const apply = (desired: DesiredState, options: Apply.ApplyOptions = nothing) =>
    Apply.apply(desired, options).pipe(Effect.provide(api))
  const plan = (desired: DesiredState) => Apply.plan(desired).pipe(Effect.provide(api))
  const verify = (desired: DesiredState) => Apply.verify(desired).pipe(Effect.provide(api))
  return { double, api, apply, plan, verify }
})

export type World = Effect.Success<ReturnType<typeof makeWorld>>

/** What is at Cloudflare, without ids and times: everything that matters, so that it can be compared. */
export const contents = (double: CloudflareDouble.CloudflareDouble) => {
  const monitorOf = (id: unknown) => double.monitors.get(String(id))?.["description"]
  const poolOf = (id: unknown) => double.pools.get(String(id))?.["name"]
  const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])
  return {
    records: double.records
      .all()
      .map(({ comment, content, name, proxied, type }) => [name, type, content, proxied, comment].join(" "))
      .toSorted(),
    monitors: double.monitors
      .all()
      .map(({ description, port, type }) => `${description} ${type} ${port}`)
      .toSorted(),
    pools: double.pools
      .all()
      .map((pool) => ({
        name: pool["name"],
        monitor: monitorOf(pool["monitor"]),
        origins: listOf(pool["origins"]).map((origin) => JSON.stringify(origin))
      }))
      .toSorted((a, b) => String(a.name).localeCompare(String(b.name))),
    loadBalancers: double.loadBalancers
      .all()
      .map((balancer) => ({
        name: balancer["name"],
        proxied: balancer["proxied"],
        pools: listOf(balancer["default_pools"]).map(poolOf),
        fallback: poolOf(balancer["fallback_pool"])
      }))
      .toSorted((a, b) => String(a.name).localeCompare(String(b.name)))
  }
}

const origin = (name: string, address: string) => JSON.stringify({ enabled: true, weight: 1, address, name })

/** {@link facts} with {@link settings}, as it has to be. */
export const converged = {
  records: [
    "*.ml.ink CNAME lb.ml.ink true mcpdeploy",
    "cname.ml.ink A 203.0.113.5 false mcpdeploy eu-central-1",
    "grafana.ml.ink CNAME lb.ml.ink true mcpdeploy",
    "loki.ml.ink CNAME lb.ml.ink true mcpdeploy",
    "prometheus.ml.ink CNAME lb.ml.ink true mcpdeploy"
  ],
  monitors: ["mcpdeploy eu-central-1; ml.ink run tcp 443"],
  pools: [
    {
      name: "mcpdeploy-ml_ink-eu-central-1-run",
      monitor: "mcpdeploy eu-central-1; ml.ink run",
      origins: [origin("run-1", "203.0.113.11"), origin("run-2", "203.0.113.12")]
    }
  ],
  loadBalancers: [
    {
      name: "lb.ml.ink",
      proxied: true,
      pools: ["mcpdeploy-ml_ink-eu-central-1-run"],
      fallback: "mcpdeploy-ml_ink-eu-central-1-run"
    }
  ]
}

/** Nothing is there twice, and no request was one that Cloudflare does not document. */
export const assertConverged = (double: CloudflareDouble.CloudflareDouble, what?: string) => {
  const { pools, ...rest } = contents(double)
  const { pools: expectedPools, ...expected } = converged
  assert.deepStrictEqual(rest, expected, what)
  const originsOf = (all: ReadonlyArray<{ readonly origins: ReadonlyArray<string> }>) =>
    all.map(({ origins, ...pool }) => ({ ...pool, origins: origins.map((one): unknown => JSON.parse(one)) }))
  assert.deepStrictEqual(originsOf(pools), originsOf(expectedPools), what)
  assert.deepStrictEqual(double.violations, [], what)
}
