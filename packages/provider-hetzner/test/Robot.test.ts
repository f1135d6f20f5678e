/** Robot: the vSwitch and the firewalls of dedicated servers, against the double. */
import { assert, describe, it } from "@effect/vitest"
import { regionInfrastructureChecks } from "@mcpdeploy/provider-conformance/RegionInfrastructureChecks"
import { describeConformance } from "@mcpdeploy/provider-conformance/Vitest"
import { combine, type RegionFacts } from "@mcpdeploy/core/region/RegionInfrastructure"
import { everyFault, type Fault } from "@mcpdeploy/core/testing/ApiDouble"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { hetznerPart } from "@mcpdeploy/provider-hetzner/HetznerPart"
import * as RobotApi from "../src/robot/RobotApi.ts"
import { robotPart } from "@mcpdeploy/provider-hetzner/robot/RobotPart"
import * as RobotDouble from "@mcpdeploy/provider-hetzner/testing/RobotDouble"
import { hosts, makeWorld as makeCloud, regionOf, settle } from "./fixtures.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const password = "canary-robot-password"
const servers = { 30: "198.51.100.30", 41: "198.51.100.41", 43: "198.51.100.43", 99: "198.51.100.99" }
const withoutId = (text: string) => text.replace(", vswitch_id: 77", "")
const dedicated = { "ctrl-1": hosts["ctrl-1"], "build-1": hosts["build-1"], "run-1": hosts["run-1"] } as const
const more = {
  ...dedicated,
  "run-3": { pool: "run_pool", ip: "198.51.100.43", private: "10.0.1.43" }
} as const
type Hosts = Parameters<typeof regionOf>[0]
const region = (of: Hosts = dedicated, change: (text: string) => string = withoutId) => regionOf(of, change)

const makeWorld = Effect.fnUntraced(function* (
  options: Partial<RobotDouble.RobotDoubleOptions> = {},
  client: Partial<RobotApi.RobotApiOptions> = {}
) {
  const double = yield* RobotDouble.make({ user: "#ws+1", password, servers, ...options })
  const api = yield* Layer.build(
    RobotApi.layer({
      user: Redacted.make("#ws+1"),
      password: Redacted.make(password),
      baseUrl: double.baseUrl,
      backoffSeconds: 0.002,
      timeoutSeconds: 5,
      ...client
    })
  )
  const part = Effect.fnUntraced(function* (of?: Hosts, change?: (text: string) => string) {
    return yield* robotPart(yield* region(of, change), { pollSeconds: 0.005, settleSeconds: 5 }).pipe(
      Effect.provide(api)
    )
  })
  return { double, api, part }
})

const contents = ({ firewalls, vswitches }: RobotDouble.RobotDouble) => ({
  vswitches: vswitches
    .filter(({ cancelled }) => !cancelled)
    .map(({ members, name, vlan }) => ({ name, vlan, members: [...members.keys()].toSorted() })),
  firewalls: [...firewalls]
    .map(([number, { input, output, status }]) => ({ number, status, input, output }))
    .toSorted((a, b) => a.number - b.number)
})

const none: ReadonlySet<string> = new Set()

const converged = Effect.gen(function* () {
  const { double, part } = yield* makeWorld()
  yield* (yield* part()).apply({}, none)
  return { calls: double.calls.length, contents: contents(double) }
}).pipe(Effect.scoped)

describe("Robot", () => {
  it.live("a region's dedicated servers are joined and guarded; again, nothing is written", () =>
    Effect.gen(function* () {
      const { double, part } = yield* makeWorld({ processMs: 20 })
      const own = yield* part()
      const plan = yield* own.plan()
      assert.deepStrictEqual(
        plan.changes.map(({ action, resource }) => `${action} ${resource}`),
        [
          "create vSwitch mcpdeploy-r1",
          "update vSwitch mcpdeploy-r1 servers",
          "create firewall of build-1",
          "create firewall of run-1"
        ]
      )
      assert.deepStrictEqual(double.writes(), [], "a plan writes nothing")
      const { left, made } = yield* own.apply({}, none)
      assert.lengthOf(made, 4)
      assert.deepStrictEqual(left, [])
      const { firewalls, vswitches } = contents(double)
      assert.deepStrictEqual(vswitches, [{ name: "mcpdeploy-r1", vlan: 4000, members: [30, 41] }])
      const ports = (number: number) =>
        firewalls.find((one) => one.number === number)?.input.flatMap(({ dst_port }) => dst_port ?? [])
      assert.deepStrictEqual(
        ports(30),
        ["22", "1024-65535", "1024-65535"],
        "a build node answers no web request"
      )
      assert.deepStrictEqual(ports(41), ["22", "80", "443", "1024-65535", "1024-65535"])
      double.reset()
      assert.deepStrictEqual((yield* own.apply({}, none)).made, [])
      assert.deepStrictEqual(double.writes(), [])
      assert.deepStrictEqual(double.violations, [])
    })
  )

  it.live("Hetzner Cloud's network gets the vSwitch's number from Robot", () =>
    Effect.gen(function* () {
      const { part } = yield* makeWorld()
      const robot = yield* part()
      const { api, double: cloud } = yield* makeCloud()
      const both = (text: string) =>
        withoutId(text).replace("region_providers: [hetzner]", "region_providers: [hetzner-robot, hetzner]")
      const hetzner = yield* hetznerPart(yield* region(dedicated, both), settle).pipe(Effect.provide(api))
      yield* combine("r1", [robot, hetzner]).apply(new Set(["hetzner server ctrl-1"]))
      const facts: RegionFacts = yield* robot.facts
      const [network] = cloud.networks.all()
      assert.include(JSON.stringify(network?.["subnets"]), `"vswitch_id":${facts.layer2Network}`)
      yield* combine("r1", [robot, hetzner]).verify
    })
  )

  it.live("a server that the inventory does not name stays until its removal is asked for by name", () =>
    Effect.gen(function* () {
      const { double, part } = yield* makeWorld()
      yield* (yield* part(more)).apply({}, none)
      const fewer = yield* part()
      const { left } = yield* fewer.apply({}, none)
      assert.deepStrictEqual(
        left.map(({ destructive, resource }) => [destructive, resource]),
        [[true, "vSwitch mcpdeploy-r1 server 43"]]
      )
      yield* fewer.apply({}, new Set(["vSwitch mcpdeploy-r1 server 43"]))
      assert.deepStrictEqual(contents(double).vswitches[0]?.members, [30, 41])
    })
  )

  const conflicts: ReadonlyArray<
    readonly [string, string, (double: RobotDouble.RobotDouble) => void, Hosts, (text: string) => string]
  > = [
    [
      "a number that is another server's",
      "has the address 198.51.100.41, and the inventory says 198.51.100.42",
      () => {},
      { ...dedicated, "run-1": { ...hosts["run-1"], ip: "198.51.100.42", number: 41 } },
      withoutId
    ],
    [
      "a number that is not the account's",
      "server 7 is not one of the account",
      () => {},
      { ...dedicated, "run-1": { ...hosts["run-1"], number: 7 } },
      withoutId
    ],
    [
      "a VLAN that another vSwitch has",
      "VLAN 4000 is that of the vSwitch office",
      ({ vswitches }) =>
        void vswitches.push({ id: 1, name: "office", vlan: 4000, cancelled: false, members: new Map() }),
      dedicated,
      withoutId
    ],
    [
      "a vSwitch that is not there",
      "the account has none with VLAN 4000",
      () => {},
      dedicated,
      (text) => text
    ],
    [
      "no VLAN",
      "write hetzner.network.vlan",
      () => {},
      dedicated,
      (text) => withoutId(text).replace(", vlan: 4000", "")
    ],
    [
      "more administrators than rules",
      "name fewer IPv4 ranges",
      () => {},
      dedicated,
      (text) =>
        withoutId(text).replace(
          "[192.0.2.0/24]",
          "[192.0.2.0/27, 192.0.2.32/27, 192.0.2.64/27, 192.0.2.96/27, 192.0.2.128/27]"
        )
    ]
  ]
  for (const [name, says, prepare, of, change] of conflicts) {
    it.live(`${name} is a conflict that says what to do, and nothing is written`, () =>
      Effect.gen(function* () {
        const { double, part } = yield* makeWorld()
        prepare(double)
        const own = yield* part(of, change)
        const error = yield* Effect.flip(own.apply({}, none))
        assert.strictEqual(error._tag, "RegionConflicts")
        assert.include(error.message, says)
        assert.deepStrictEqual(double.writes(), [])
      })
    )
  }

  it.live("a second vSwitch that another run made at the same moment goes, if it is empty", () =>
    Effect.gen(function* () {
      const { double, part } = yield* makeWorld()
      const own = yield* part()
      yield* own.apply({}, none)
      const second = (id: number, members: ReadonlyArray<number>) =>
        double.vswitches.push({
          id,
          name: "mcpdeploy-r1",
          vlan: 4000,
          cancelled: false,
          members: new Map(members.map((number) => [number, { readyAt: 0, isFailed: false }]))
        })
      second(90_001, [])
      yield* own.apply({}, none)
      assert.lengthOf(contents(double).vswitches, 1)
      second(90_002, [99])
      assert.include((yield* Effect.flip(own.apply({}, none))).message, "90002 has the same name and VLAN")
      assert.deepStrictEqual(double.violations, [])
    })
  )

  it.live("a wrong login is tried once, and is not said", () =>
    Effect.gen(function* () {
      const { double, part } = yield* makeWorld({}, { password: Redacted.make("canary-wrong") })
      const error = yield* Effect.flip((yield* part()).plan())
      assert.include(error.message, "HETZNER_ROBOT_USER")
      assert.notInclude(JSON.stringify(error), "canary")
      assert.lengthOf(double.calls, 1)
    })
  )

  it.live("a server that Robot fails to join is a conflict", () =>
    Effect.gen(function* () {
      const { double, part } = yield* makeWorld()
      double.failing.add(41)
      const error = yield* Effect.flip((yield* part()).apply({}, none))
      assert.include(error.message, "vSwitch mcpdeploy-r1 server run-1: Robot could not join it")
    })
  )
})

const refused = (status: number, code: string): Fault => ({
  kind: "refused",
  answer: { status, body: { error: { status, code, message: "try again" } } }
})
const faults: ReadonlyArray<readonly [string, Fault]> = [
  ...everyFault.filter(([, { kind }]) => kind !== "shortPage"),
  ["409 VSWITCH_IN_PROCESS", refused(409, "VSWITCH_IN_PROCESS")],
  ["409 FIREWALL_IN_PROCESS", refused(409, "FIREWALL_IN_PROCESS")]
]
const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)
/** Short only where it has to run out: on a busy machine a short one runs out by itself. */
const deadline = (fault: Fault) => (fault.kind === "silence" ? 0.4 : 10)

describe("Robot, killed or failing", () => {
  it.live("at any call, before or after it was done, and run again converges", () =>
    Effect.gen(function* () {
      const expected = yield* converged
      yield* Effect.forEach(
        indexes(expected.calls).flatMap((index) => [true, false].map((done) => ({ index, done }))),
        Effect.fnUntraced(function* ({ done, index }) {
          const { double, part } = yield* makeWorld({}, { timeoutSeconds: 60 })
          const own = yield* part()
          const reached = yield* Deferred.make<void>()
          double.fault = (call) => (call.index === index ? { kind: "silence", done } : undefined)
          double.onSilence = () => void Deferred.doneUnsafe(reached, Effect.void)
          const fiber = yield* Effect.forkChild(own.apply({}, none))
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
          double.fault = () => undefined
          yield* own.apply({}, none)
          assert.deepStrictEqual(contents(double), expected.contents, `killed at call ${index}, done ${done}`)
          assert.deepStrictEqual(double.violations, [])
        }, Effect.scoped),
        { concurrency: 8, discard: true }
      )
    })
  )

  for (const [name, fault] of faults) {
    it.live(
      `${name}: once at any call it converges by itself; from any on it is a typed error without the password`,
      () =>
        Effect.gen(function* () {
          const expected = yield* converged
          yield* Effect.forEach(
            indexes(expected.calls).flatMap((index) =>
              [false, ...(isFull || index % 4 === 0 ? [true] : [])].map((forGood) => ({ index, forGood }))
            ),
            Effect.fnUntraced(function* ({ forGood, index }) {
              const { double, part } = yield* makeWorld({}, { timeoutSeconds: deadline(fault), retries: 2 })
              const own = yield* part()
              double.fault = (call) =>
                (forGood ? call.index >= index : call.index === index) ? fault : undefined
              const exit = yield* Effect.exit(Effect.result(own.apply({}, none)))
              assert.isTrue(Exit.isSuccess(exit), `${name} at call ${index} is a defect`)
              assert.notInclude(JSON.stringify(exit), password)
              if (forGood) {
                assert.include(JSON.stringify(exit), "Failure")
                double.fault = () => undefined
                yield* own.apply({}, none)
              }
              assert.deepStrictEqual(contents(double), expected.contents, `${name} at call ${index}`)
              assert.deepStrictEqual(double.violations, [])
            }, Effect.scoped),
            { concurrency: 8, discard: true }
          )
        })
    )
  }
})

describeConformance(
  "RegionInfrastructure on Robot",
  Layer.empty,
  regionInfrastructureChecks({
    interruptions: [1, 2, 4, 6, 8, 11],
    world: Effect.gen(function* () {
      const { double, part } = yield* makeWorld()
      const infrastructure = (of: Hosts) => Effect.map(part(of), (own) => combine("r1", [own]))
      return {
        region: yield* infrastructure(dedicated),
        larger: yield* infrastructure(more),
        allow: new Set<string>(),
        writes: () => double.writes().length,
        contents: () => {
          const { firewalls, vswitches } = contents(double)
          const members = new Set(vswitches.flatMap((one) => one.members))
          // A server that has left keeps its firewall: whoever has it next decides.
          return JSON.stringify([vswitches, firewalls.filter(({ number }) => members.has(number))])
        }
      }
    }).pipe(Effect.orDie)
  })
)
