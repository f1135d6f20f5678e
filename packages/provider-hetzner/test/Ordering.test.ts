/** What Hetzner cannot sell or have is said by the plan, before anything is written. */
import { assert, describe, it } from "@effect/vitest"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { hetznerPart } from "@mcpdeploy/provider-hetzner/HetznerPart"
import { europe } from "../src/testing/Catalog.ts"
import type { HetznerDouble } from "@mcpdeploy/provider-hetzner/testing/HetznerDouble"
import * as Effect from "effect/Effect"
import { buying, contents, desiredOf, hosts, makeWorld, regionOf, settle } from "./fixtures.ts"

type Change = (text: string) => string
const replaced =
  (from: string, to: string): Change =>
  (text) =>
    text.replace(from, to)
const ordering = (type: string) => ({ ...hosts, "ctrl-1": { ...hosts["ctrl-1"], type } })
const at = (name: keyof typeof hosts, privateIp: string) => ({
  ...hosts,
  [name]: { ...hosts[name], private: privateIp }
})
const typeOf = (double: HetznerDouble, name: string) =>
  double.catalog.server_types.findIndex((type) => type.name === name)

interface Case {
  readonly says: RegExp
  readonly hosts?: typeof hosts | ReturnType<typeof ordering> | ReturnType<typeof at>
  readonly change?: Change
  readonly prepare?: (double: HetznerDouble) => void
}

const cases: Readonly<Record<string, Case>> = {
  "a server type that can no longer be ordered there": {
    hosts: ordering("cpx31"),
    says: /server ctrl-1: cpx31 in fsn1: it can no longer be ordered there since 2025-12-31; in fsn1 can be ordered: ccx13 \(2 cores, 8 GB\), cpx32 \(4 cores, 8 GB\), ccx33 .*; cpx31 can be ordered in ash, hil, sin/
  },
  "a server type that there is not": {
    hosts: ordering("cpx39"),
    says: /Hetzner has no server type cpx39; in fsn1 can be ordered: cpx22/
  },
  "a server type that is sold out": {
    prepare: ({ catalog }) => {
      const index = catalog.server_types.findIndex(({ name }) => name === "cpx32")
      const type = catalog.server_types[index]
      if (type !== undefined)
        catalog.server_types[index] = {
          ...type,
          locations: type.locations.map((one) => ({ ...one, available: one.name === "hel1" }))
        }
    },
    says: /cpx32 in fsn1: it is sold out there at the moment; .*ccx13.*; cpx32 can be ordered in hel1/
  },
  "a server type that is sold elsewhere only": {
    prepare: ({ catalog }) => {
      for (const [index, type] of catalog.server_types.entries())
        catalog.server_types[index] = {
          ...type,
          locations: type.locations.filter(({ name }) => !europe.includes(name))
        }
    },
    says: /ccx33 in fsn1: it is not offered there; in fsn1 nothing of the kind can be ordered; ccx33 can be ordered in ash/
  },
  "an image that is no more": {
    change: replaced("  load_balancer:", "  image: debian-11\n  load_balancer:"),
    says: /no image debian-11 for x86 any more; it has debian-12, debian-13: set hetzner\.image/
  },
  "a load balancer that there is not": {
    change: replaced("type: lb11", "type: lb12"),
    says: /load balancer mcpdeploy-r1: a load balancer lb12 cannot be ordered in fsn1, where there is lb11, lb21/
  },
  "servers that nobody could open": {
    change: (text) => text.replace(/region_ssh_keys: .*/, "region_ssh_keys: []"),
    says: /server run-2: nobody could open it, since region_ssh_keys is empty/
  },
  "a Cloud server outside of its subnet": {
    hosts: at("ctrl-1", "10.0.9.10"),
    says: /server ctrl-1: its private_ip 10\.0\.9\.10 is not in hetzner\.network\.cloud_subnet, 10\.0\.0\.0\/24/
  },
  "a dedicated server outside of the vSwitch's subnet": {
    hosts: at("run-1", "10.0.0.41"),
    says: /server run-1: its private_ip 10\.0\.0\.41 is not in hetzner\.network\.vswitch_subnet/
  },
  "the router's address": {
    hosts: at("run-1", "10.0.1.1"),
    says: /server run-1: its private_ip 10\.0\.1\.1 is that of the router/
  },
  "a subnet outside of the network": {
    change: replaced("cloud_subnet: 10.0.0.0/24", "cloud_subnet: 10.9.0.0/24"),
    says: /hetzner\.network\.cloud_subnet 10\.9\.0\.0\/24 is not in region_private_range 10\.0\.0\.0\/16/
  },
  "subnets that overlap": {
    change: replaced("cloud_subnet: 10.0.0.0/24", "cloud_subnet: 10.0.0.0/23"),
    says: /cloud_subnet 10\.0\.0\.0\/23 and vswitch_subnet 10\.0\.1\.0\/24 overlap/
  },
  "dedicated servers without a range of theirs": {
    change: replaced("vswitch_subnet: 10.0.1.0/24, ", ""),
    says: /server run-1: it is a dedicated server, and hetzner\.network\.vswitch_subnet says no range/
  },
  "a vSwitch that nobody knows": {
    change: replaced(", vswitch_id: 77", ""),
    says: /which vSwitch joins its dedicated servers is not known: name hetzner-robot in region_providers/
  },
  "a vSwitch elsewhere than in Europe": {
    change: replaced("zone: eu-central", "zone: us-east"),
    says: /only networks in eu-central can be joined to a vSwitch/
  }
}

describe("before anything is written", () => {
  for (const [name, { change, hosts: of = hosts, prepare, says }] of Object.entries(cases))
    it.live(`${name} is said, and what to do`, () =>
      Effect.gen(function* () {
        const { api, double } = yield* makeWorld()
        prepare?.(double)
        const part = yield* hetznerPart(yield* regionOf(of, change), settle).pipe(Effect.provide(api))
        const error = yield* Effect.flip(combine("r1", [part]).apply(new Set(["hetzner server ctrl-1"])))
        assert.strictEqual(error._tag, "RegionConflicts")
        assert.match(error.message, says)
        assert.deepStrictEqual(double.writes(), [])
        assert.deepStrictEqual(double.violations, [])
      }).pipe(Effect.scoped)
    )

  it.live("a server type that will end can still be ordered, and the plan says until when", () =>
    Effect.gen(function* () {
      const { double, plan } = yield* makeWorld()
      const index = typeOf(double, "cpx32")
      const type = double.catalog.server_types[index]
      if (type === undefined) return assert.fail("there is no cpx32")
      double.catalog.server_types[index] = {
        ...type,
        locations: type.locations.map((one) => ({
          ...one,
          deprecation: {
            announced: "2026-01-01T00:00:00+00:00",
            unavailable_after: "2100-12-31T23:59:00+00:00"
          }
        }))
      }
      const { changes, conflicts } = yield* plan(yield* desiredOf())
      assert.deepStrictEqual(conflicts, [])
      const server = changes.find(({ resource }) => resource === "server ctrl-1")
      assert.include(server?.diff ?? [], "+ ordered until 2100-12-31 only: cpx32")
    }).pipe(Effect.scoped)
  )

  it.live("what can be ordered is asked only where something is missing", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld()
      const desired = yield* desiredOf()
      yield* apply(desired)
      double.reset()
      yield* plan(desired)
      assert.deepStrictEqual(
        double.calls.filter(({ path }) => /types|images|ssh_keys/.test(path)),
        []
      )
    }).pipe(Effect.scoped)
  )
})

describe("servers that are made", () => {
  it.live("have the administrators' keys of the inventory; one that the project has already is taken", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const ann = double.ssh_keys.put({
        name: "ann's laptop",
        labels: {},
        public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEann another comment"
      })
      yield* apply(yield* desiredOf(), buying)
      const keys = double.ssh_keys.all()
      assert.strictEqual(keys.length, 2)
      const bodies = double.calls.filter(({ method, path }) => method === "POST" && path === "/servers")
      assert.strictEqual(bodies.length, 2)
      for (const { body } of bodies)
        assert.include(JSON.stringify(body), `"ssh_keys":${JSON.stringify([ann["name"], keys[1]?.["name"]])}`)
      assert.deepStrictEqual(double.violations, [])
    }).pipe(Effect.scoped)
  )
})

describe("dedicated servers behind the load balancer", () => {
  it.live("are reached over the private network: a public target that is there is replaced", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const desired = yield* desiredOf()
      yield* apply(desired)
      const [balancer] = double.load_balancers.all()
      const target = { type: "ip", ip: { ip: "198.51.100.41" }, use_private_ip: false, health_status: [] }
      if (balancer !== undefined) double.load_balancers.put({ targets: [target] }, balancer.id)
      yield* apply(desired)
      const { targets } = contents(double)
      assert.match(targets.join(), /"10\.0\.1\.41"/)
      assert.notMatch(targets.join(), /198\.51/)
      assert.deepStrictEqual(double.violations, [])
    }).pipe(Effect.scoped)
  )
})
