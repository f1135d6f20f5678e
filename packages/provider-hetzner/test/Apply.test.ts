/** plan and apply against the double. */
import { assert, describe, it } from "@effect/vitest"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { hetznerPart } from "@mcpdeploy/provider-hetzner/HetznerPart"
import type { HetznerChange } from "../src/Change.ts"
import * as Effect from "effect/Effect"
import {
  allow,
  assertConverged,
  buying,
  contents,
  converged,
  desiredOf,
  hosts,
  makeWorld,
  regionOf,
  settle,
  token
} from "./fixtures.ts"

const summary = (changes: ReadonlyArray<HetznerChange>) =>
  changes.map(({ action, diff, resource }) => [`${action} ${resource}`, ...diff])

const run3 = { pool: "run_pool", ip: "198.51.100.43", private: "10.0.1.43" } as const

describe("apply", () => {
  it.live(
    "makes network, firewalls, servers that are named, and the load balancer; then writes nothing",
    () =>
      Effect.gen(function* () {
        const { apply, double, plan } = yield* makeWorld({ actionMs: 5 })
        const desired = yield* desiredOf()
        const { left } = yield* apply(desired)
        assert.deepStrictEqual(left, [])
        const all = contents(double)
        assert.strictEqual(all.servers.length, 2)
        assert.strictEqual(all.targets.length, 2)
        assert.match(all.balancers[0] ?? "", /"listen_port":80.*"listen_port":443/)
        assert.match(all.firewalls.join(), /"source_ips":\["10\.0\.0\.2\/32","173\.245\.48\.0\/20"/)
        double.reset()
        assert.deepStrictEqual(yield* plan(desired), { changes: [], conflicts: [] })
        yield* apply(desired)
        assert.deepStrictEqual(double.writes(), [])
        assert.deepStrictEqual(double.violations, [])
      }).pipe(Effect.scoped)
  )

  it.live("buys and deletes no server that was not named, and does all else that is possible", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const desired = yield* desiredOf()
      const { left } = yield* apply(desired, allow())
      assert.deepStrictEqual(
        left.map(({ action, resource }) => `${action} ${resource}`),
        ["create server ctrl-1", "create server run-2", "create load balancer mcpdeploy-r1 target run-2"]
      )
      assert.strictEqual(double.servers.all().length, 0)
      yield* apply(desired, buying)
      const { "run-2": _gone, ...fewer } = hosts
      const kept = yield* apply(yield* desiredOf(fewer), allow())
      assert.deepStrictEqual(summary(kept.left), [
        ["delete server run-2", "- it is no longer in the inventory"]
      ])
      assert.strictEqual(double.servers.all().length, 2)
      yield* apply(yield* desiredOf(fewer), allow("server run-2"))
      assert.strictEqual(double.servers.all().length, 1)
      assert.deepStrictEqual(double.violations, [])
    }).pipe(Effect.scoped)
  )

  it.live("a run node that comes or goes changes the load balancer's targets, and nothing else", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld()
      yield* apply(yield* desiredOf())
      const more = yield* desiredOf({ ...hosts, "run-3": run3 })
      assert.deepStrictEqual(summary((yield* plan(more)).changes), [
        ["create load balancer mcpdeploy-r1 target 10.0.1.43", "+ 10.0.1.43, over the private network"]
      ])
      double.reset()
      yield* apply(more)
      assert.strictEqual(double.writes().length, 1)
      const { "run-1": _gone, ...fewer } = hosts
      double.reset()
      const { made } = yield* apply(yield* desiredOf(fewer))
      assert.deepStrictEqual(summary(made), [
        ["delete load balancer mcpdeploy-r1 target 10.0.1.41", "- 10.0.1.41"],
        ["delete load balancer mcpdeploy-r1 target 10.0.1.43", "- 10.0.1.43"]
      ])
      assert.strictEqual(double.writes().length, 2)
      assert.deepStrictEqual(double.violations, [])
    }).pipe(Effect.scoped)
  )

  it.live(
    "adopts a server that is there: its labels, its private address, and what a person added stays",
    () =>
      Effect.gen(function* () {
        const { apply, double } = yield* makeWorld()
        double.servers.put({
          name: "run-2",
          labels: { owner: "ann" },
          server_type: { name: "ccx33" },
          public_net: { ipv4: { ip: "203.0.113.42" }, ipv6: null },
          private_net: []
        })
        const { made } = yield* apply(yield* desiredOf(), allow("server ctrl-1"))
        assert.isTrue(made.some(({ action, resource }) => action === "adopt" && resource === "server run-2"))
        const [server] = double.servers.all()
        assert.deepStrictEqual(server?.["labels"], {
          owner: "ann",
          "mcpdeploy-region": "r1",
          "mcpdeploy-pool": "run_pool"
        })
        assert.strictEqual(contents(double).targets.length, 2)
        assert.deepStrictEqual(double.violations, [])
      }).pipe(Effect.scoped)
  )

  for (const [name, object, says] of [
    [
      "a network of the name with another range",
      {
        kind: "networks",
        fields: { name: "mcpdeploy-r1", labels: {}, ip_range: "10.9.0.0/16", subnets: [] }
      },
      /network mcpdeploy-r1: its range is 10\.9\.0\.0\/16/
    ],
    [
      "a firewall of the name without the label",
      { kind: "firewalls", fields: { name: "mcpdeploy-r1-run", labels: {}, rules: [], applied_to: [] } },
      /label it mcpdeploy-region=r1 to hand it over/
    ],
    [
      "a server of another region",
      {
        kind: "servers",
        fields: {
          name: "run-2",
          labels: { "mcpdeploy-region": "r2" },
          server_type: { name: "ccx33" },
          public_net: { ipv4: { ip: "203.0.113.42" }, ipv6: null },
          private_net: []
        }
      },
      /server run-2: it belongs to region r2/
    ],
    [
      "a server with another address than the inventory's",
      {
        kind: "servers",
        fields: {
          name: "run-2",
          labels: {},
          server_type: { name: "ccx33" },
          public_net: { ipv4: { ip: "203.0.113.77" }, ipv6: null },
          private_net: []
        }
      },
      /it has the address 203\.0\.113\.77, and the inventory says 203\.0\.113\.42: set ansible_host/
    ]
  ] as const)
    it.live(`${name} is a conflict that says what to do, and nothing is written`, () =>
      Effect.gen(function* () {
        const { api, double } = yield* makeWorld()
        double[object.kind].put(object.fields)
        const part = yield* hetznerPart(yield* regionOf(), settle).pipe(Effect.provide(api))
        const error = yield* Effect.flip(combine("r1", [part]).apply(new Set()))
        assert.strictEqual(error._tag, "RegionConflicts")
        assert.match(error.message, says)
        assert.deepStrictEqual(double.writes(), [])
      }).pipe(Effect.scoped)
    )

  it.live("an action that fails is told by its command; run again, it converges", () =>
    Effect.gen(function* () {
      const expected = yield* converged
      const { apply, double } = yield* makeWorld()
      double.fault = ({ path }) => {
        if (path.endsWith("/attach_to_network"))
          double.failAction = { code: "network_error", message: "the switch is away" }
        return undefined
      }
      const error = yield* Effect.flip(apply(yield* desiredOf()))
      assert.strictEqual(error._tag, "HetznerActionFailed")
      assert.match(error.message, /attach_to_network, and it failed: the switch is away/)
      double.fault = () => undefined
      double.failAction = undefined
      yield* apply(yield* desiredOf())
      assertConverged(double, expected)
    }).pipe(Effect.scoped)
  )

  it.live("lists of several pages are read whole, and foreign objects are left alone", () =>
    Effect.gen(function* () {
      const { apply, double, plan } = yield* makeWorld({ pageSize: 2 })
      const server = {
        labels: {},
        server_type: { name: "cx22" },
        public_net: { ipv4: { ip: "203.0.113.200" }, ipv6: null },
        private_net: []
      }
      for (let index = 0; index < 7; index++) double.servers.put({ ...server, name: `other-${index}` })
      yield* apply(yield* desiredOf())
      assert.strictEqual(double.servers.all().length, 9)
      assert.deepStrictEqual((yield* plan(yield* desiredOf())).changes, [])
      assert.deepStrictEqual(double.violations, [])
    }).pipe(Effect.scoped)
  )
})

describe("Hetzner's part of a region", () => {
  it.live("gives the load balancer's address to others, and its sources to the firewall", () =>
    Effect.gen(function* () {
      const { api, double } = yield* makeWorld()
      const part = yield* hetznerPart(yield* regionOf(), settle).pipe(Effect.provide(api))
      assert.deepStrictEqual(yield* part.facts, {})
      const region = combine("r1", [part])
      const { left } = yield* region.apply(new Set(["hetzner server ctrl-1", "hetzner server run-2"]))
      assert.deepStrictEqual(left, [])
      const { loadBalancer, webSources = [] } = yield* part.facts
      assert.deepStrictEqual(loadBalancer, { ipv4: "203.0.113.5", ipv6: "2001:db8:5::5" })
      assert.deepStrictEqual(webSources.map(String), ["10.0.0.2/32"])
      yield* region.verify
      double.reset()
      yield* region.apply(new Set())
      assert.deepStrictEqual(double.writes(), [])
    }).pipe(Effect.scoped)
  )

  it.live("a token that is refused, and one that may only read, are told, and it is in no message", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld()
      const refused = (status: number, code: string) => ({
        kind: "refused" as const,
        answer: { status, body: { error: { code, message: `no, ${token}`, details: null } } }
      })
      double.fault = () => refused(401, "unauthorized")
      const wrong = yield* Effect.flip(apply(yield* desiredOf()))
      assert.strictEqual(wrong._tag, "HetznerUnauthorized")
      double.fault = ({ method }) => (method === "GET" ? undefined : refused(403, "token_readonly"))
      const readOnly = yield* Effect.flip(apply(yield* desiredOf()))
      assert.match(
        readOnly.message,
        /HCLOUD_TOKEN must be a token of the region's project, with read and write/
      )
      assert.notInclude(JSON.stringify([wrong, readOnly]) + wrong.message + readOnly.message, token)
      double.fault = ({ method }) => (method === "GET" ? undefined : refused(403, "resource_limit_exceeded"))
    }).pipe(Effect.scoped)
  )
})
