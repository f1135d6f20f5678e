/** A region on Hetzner as its directory says it, a double of Hetzner, and its client. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert } from "@effect/vitest"
import { hostsFile, readRegion, type Region, variablesFile } from "@mcpdeploy/core/region/Region"
import { type HetznerApiOptions, layer } from "../src/api/HetznerApi.ts"
import * as Apply from "../src/Apply.ts"
import { desiredState, type DesiredState } from "../src/DesiredState.ts"
import * as HetznerDouble from "@mcpdeploy/provider-hetzner/testing/HetznerDouble"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

export const token = "canary-hetzner-token"

const variables = `region_name: r1
region_domain: example.com
region_providers: [hetzner]
region_private_range: 10.0.0.0/16
region_pod_ranges: [10.42.0.0/16]
region_service_ranges: [10.43.0.0/16]
region_admin_ranges: [192.0.2.0/24]
region_ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEann ann, ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbob bob]
hetzner:
  network: { zone: eu-central, cloud_subnet: 10.0.0.0/24, vswitch_subnet: 10.0.1.0/24, vlan: 4000, vswitch_id: 77 }
  load_balancer: { type: lb11, location: fsn1 }
`

interface Host {
  readonly pool: "ctrl" | "ops" | "build_pool" | "run_pool"
  readonly ip: string
  readonly private: string
  /** A dedicated server has none. */
  readonly type?: string
  /** Of a dedicated server; the last part of its address when absent. */
  readonly number?: number
}
export const hosts = {
  "ctrl-1": { pool: "ctrl", ip: "203.0.113.10", private: "10.0.0.10", type: "cpx32" },
  "build-1": { pool: "build_pool", ip: "198.51.100.30", private: "10.0.1.30" },
  "run-1": { pool: "run_pool", ip: "198.51.100.41", private: "10.0.1.41" },
  "run-2": { pool: "run_pool", ip: "203.0.113.42", private: "10.0.0.42", type: "ccx33" }
} as const satisfies Readonly<Record<string, Host>>

/** Of another vendor; a region has a node in every pool. */
const elsewhere = { ctrl: 10, ops: 20, build_pool: 30, run_pool: 40 } as const

const hostsYaml = (all: Readonly<Record<string, Host>>): string => {
  const poolLines = (["ctrl", "ops", "build_pool", "run_pool"] as const).map((pool) => {
    const own = Object.entries(all)
      .filter(([, host]) => host.pool === pool)
      .map(([name, host]) => {
        const kind =
          host.type === undefined
            ? `hetzner_robot: { server_number: ${host.number ?? host.ip.split(".")[3]} }`
            : `hetzner_cloud: { server_type: ${host.type}, location: fsn1 }`
        return `${name}: { ansible_host: ${host.ip}, private_ip: ${host.private}, ${kind} }`
      })
    const other = `${pool.replace("_", "-")}-0: { ansible_host: 192.0.2.${elsewhere[pool]}, private_ip: 10.0.7.${elsewhere[pool]} }`
    return `        ${pool}: { hosts: { ${(own.length === 0 ? [other] : own).join(", ")} } }`
  })
  return `all:\n  children:\n    k3s_cluster:\n      children:\n${poolLines.join("\n")}\n`
}

/** The region that a directory with these hosts describes. */
export const regionOf = (
  all: Readonly<Record<string, Host>> = hosts,
  change: (text: string) => string = (text) => text
): Effect.Effect<Region> =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-hetzner-"))),
    (folder) =>
      Effect.suspend(() => {
        const directory = join(folder, "r1")
        mkdirSync(join(directory, "inventory/group_vars/all"), { recursive: true })
        writeFileSync(join(directory, hostsFile), hostsYaml(all))
        writeFileSync(join(directory, variablesFile), change(variables))
        return readRegion(directory).pipe(Effect.provide(NodeServices.layer))
      }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ).pipe(Effect.orDie)

export const webSources = ["173.245.48.0/20", "2400:cb00::/32"]

export const desiredOf = (all?: Readonly<Record<string, Host>>): Effect.Effect<DesiredState> =>
  Effect.flatMap(regionOf(all), (region) => desiredState(region, webSources)).pipe(Effect.orDie)

export const settle = { tries: 6, seconds: 0.005 }
export const allow = (...resources: ReadonlyArray<string>): Apply.ApplyOptions => ({
  allow: new Set(resources),
  settle
})
/** All that the fixtures' region needs bought. */
export const buying = allow("server ctrl-1", "server run-2")

export const makeWorld = Effect.fnUntraced(function* (
  options: Partial<HetznerDouble.DoubleOptions> = {},
  client: Partial<HetznerApiOptions> = {}
) {
  const double = yield* HetznerDouble.make({
    token,
    dedicated: ["198.51.100.41"],
    addressOf: (name) => Object.entries(hosts).find(([own]) => own === name)?.[1].ip ?? "203.0.113.99",
    ...options
  })
  const api = yield* Layer.build(
    layer({
      token: Redacted.make(token),
      baseUrl: double.baseUrl,
      retries: 5,
      backoffSeconds: 0.002,
      timeoutSeconds: 5,
      pollSeconds: 0.002,
      ...client
    })
  )
  return {
    double,
    api,
    apply: (desired: DesiredState, how: Apply.ApplyOptions = buying) =>
      Apply.apply(desired, how).pipe(Effect.provide(api)),
    plan: (desired: DesiredState) => Apply.plan(desired).pipe(Effect.provide(api))
  }
})

/** What is at Hetzner, without ids: everything that matters, so that it can be compared. */
export const contents = (double: HetznerDouble.HetznerDouble) => {
  const text = (value: unknown) =>
    JSON.stringify(value, (key, field: unknown) =>
      ["id", "network", "created", "health_status", "placement_group", "ssh_keys"].includes(key)
        ? undefined
        : field
    )
  const all = (
    kind: "servers" | "networks" | "firewalls" | "placement_groups" | "load_balancers" | "ssh_keys"
  ) =>
    double[kind]
      .all()
      .map((object) => text({ ...object, targets: undefined }))
      .toSorted()
  const targets = double.load_balancers
    .all()
    .flatMap(({ targets: list }) => (Array.isArray(list) ? list.map(text) : []))
    .toSorted()
  return {
    servers: all("servers"),
    networks: all("networks"),
    firewalls: all("firewalls"),
    groups: all("placement_groups"),
    balancers: all("load_balancers"),
    keys: all("ssh_keys"),
    targets
  }
}

/** What the fixtures' region looks like when it was applied without any fault. */
export const converged = Effect.gen(function* () {
  const { apply, double } = yield* makeWorld()
  yield* apply(yield* desiredOf())
  return { calls: double.calls.length, contents: contents(double) }
}).pipe(Effect.scoped)

export const assertConverged = (
  double: HetznerDouble.HetznerDouble,
  expected: Effect.Success<typeof converged>,
  what?: string
) => {
  assert.deepStrictEqual(contents(double), expected.contents, what)
  assert.deepStrictEqual(double.violations, [], what)
}
