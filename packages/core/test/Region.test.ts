/** A region's directory: what is decoded, and what is told of one that is wrong. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { isInRange, IpRange, Ipv4, Ipv6 } from "@mcpdeploy/core/region/Address"
import { hostsFile, readRegion, variablesFile } from "@mcpdeploy/core/region/Region"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const eu = new URL("../../../regions/eu-central-1", import.meta.url).pathname

const hosts = (run: string) => `all:
  children:
    k3s_cluster:
      children:
        ctrl: { hosts: { ctrl-1: { ansible_host: 203.0.113.1, private_ip: 10.0.0.1 } } }
        ops: { hosts: { ops-1: { ansible_host: 203.0.113.20, private_ip: 10.0.0.20 } } }
        build_pool: { hosts: { build-1: { ansible_host: 203.0.113.30, private_ip: 10.0.0.30 } } }
        run_pool: { hosts: ${run} }
`
const variables = (name: string) => `region_name: ${name}
region_domain: example.com
region_providers: [hetzner]
region_private_range: 10.0.0.0/16
region_pod_ranges: [10.42.0.0/16]
region_service_ranges: [10.43.0.0/16]
region_admin_ranges: [192.0.2.0/24]
hetzner: { colour: red }
`

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-region-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const read = Effect.fnUntraced(function* (run: string, change: (text: string) => string = (text) => text) {
  const path = yield* directory
  // A folder that is made has letters of both cases, and a region's name has not.
  const region = join(path, "r1")
  mkdirSync(join(region, "inventory/group_vars/all"), { recursive: true })
  writeFileSync(join(region, hostsFile), hosts(run))
  writeFileSync(join(region, variablesFile), change(variables(basename(region))))
  return yield* readRegion(region).pipe(Effect.provide(NodeServices.layer))
}, Effect.scoped)

const problems = (run: string, change?: (text: string) => string) =>
  Effect.map(Effect.flip(read(run, change)), ({ message }) => message)

const one = "{ run-1: { ansible_host: 203.0.113.2, private_ip: 10.0.0.2 } }"

describe("a region's directory", () => {
  it.effect("eu-central-1 is one", () =>
    Effect.gen(function* () {
      const region = yield* readRegion(eu)
      assert.strictEqual(region.name, "eu-central-1")
      assert.strictEqual(region.domain, "ml.ink")
      for (const pool of ["ctrl", "ops", "build_pool", "run_pool"] as const)
        assert.isTrue(
          region.nodes.some((node) => node.pool === pool),
          pool
        )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect(
    "what a provider wants to know is decoded with its own schema, and told by line where it is wrong",
    () =>
      Effect.gen(function* () {
        const region = yield* read(
          "{ run-1: { ansible_host: 203.0.113.2, private_ip: 10.0.0.2, cloud: { size: 1 } } }"
        )
        const node = region.nodes.find(({ name }) => name === "run-1")
        const Size = Schema.Struct({ size: Schema.Int })
        assert.deepStrictEqual(yield* node?.settings("cloud", Size) ?? Effect.undefined, { size: 1 })
        assert.isUndefined(yield* node?.settings("metal", Size) ?? Effect.fail("no node"))
        const error = yield* Effect.flip(region.settings("hetzner", Size))
        assert.match(error.message, /main\.yml:8:\d+: hetzner\.(size|colour): /)
        assert.match((yield* Effect.flip(region.settings("elsewhere", Size))).message, /elsewhere/)
      })
  )

  for (const [name, run, says] of [
    [
      "a host without an address",
      "{ run-1: { private_ip: 10.0.0.2 } }",
      /hosts\.yml:8:\d+: .*run-1\.ansible_host/
    ],
    [
      "an address that is none",
      "{ run-1: { ansible_host: 1.2.3, private_ip: 10.0.0.2 } }",
      /an IPv4 address/
    ],
    [
      "one address twice",
      "{ run-1: { ansible_host: 203.0.113.1, private_ip: 10.0.0.2 } }",
      /ctrl-1 has 203\.0\.113\.1 already/
    ],
    [
      "one private address twice",
      "{ run-1: { ansible_host: 203.0.113.2, private_ip: 10.0.0.1 } }",
      /private_ip: ctrl-1 has 10\.0\.0\.1 already/
    ],
    [
      "a private address outside",
      "{ run-1: { ansible_host: 203.0.113.2, private_ip: 10.1.0.1 } }",
      /region_private_range 10\.0\.0\.0\/16/
    ],
    [
      "a pool without a node",
      "{}",
      /hosts\.yml:\d+:\d+: .*run_pool: a region needs at least one node in every pool/
    ],
    [
      "a name that no machine can have",
      "{ Run_1: { ansible_host: 203.0.113.2, private_ip: 10.0.0.2 } }",
      /a host name such as run-1/
    ]
  ] as const)
    it.effect(`${name} is told, with its line`, () =>
      Effect.gen(function* () {
        assert.match(yield* problems(run), says)
      })
    )

  for (const [name, from, to, says] of [
    [
      "pods in the private network",
      "[10.42.0.0/16]",
      "[10.0.128.0/17]",
      /main\.yml:5:\d+: region_pod_ranges: 10\.0\.128\.0\/17 overlaps with 10\.0\.0\.0\/16 of region_private_range/
    ],
    [
      "services among pods",
      "[10.43.0.0/16]",
      "[10.40.0.0/13]",
      /region_service_ranges: 10\.40\.0\.0\/13 overlaps with 10\.42\.0\.0\/16 of region_pod_ranges/
    ]
  ] as const)
    it.effect(`${name} are told, with their line`, () =>
      Effect.gen(function* () {
        assert.match(yield* problems(one, (text) => text.replace(from, to)), says)
      })
    )

  it.effect("another name than the directory's, a range that is none, and a missing file are told", () =>
    Effect.gen(function* () {
      assert.match(
        yield* problems(one, (text) => text.replace("r1", "r2")),
        /main\.yml:1:\d+: region_name: .* called r1/
      )
      assert.match(yield* problems(one, (text) => text.replace("/24", "/33")), /a range such as/)
      const error = yield* Effect.flip(readRegion("/nowhere").pipe(Effect.provide(NodeServices.layer)))
      assert.match(error.message, /main\.yml: there is no such file/)
    })
  )
})

describe("ranges", () => {
  const Octet = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
  const Octets = Schema.Tuple([Octet, Octet, Octet, Octet])
  const Bits = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 32 })))
  const number = (octets: ReadonlyArray<number>) => octets.reduce((sum, part) => sum * 256 + part, 0)
  it.prop("hold what shares their first bits", [Octets, Octets, Bits], ([a, b, bits]) => {
    const size = 2 ** (32 - bits)
    assert.strictEqual(
      isInRange(Ipv4.make(a.join(".")), IpRange.make(`${b.join(".")}/${bits}`)),
      Math.floor(number(a) / size) === Math.floor(number(b) / size)
    )
  })
  it("hold nothing of the other family", () => {
    assert.isFalse(isInRange(Ipv6.make("::1"), IpRange.make("0.0.0.0/0")))
    assert.isTrue(isInRange(Ipv6.make("2001:db8::1"), IpRange.make("2001:db8::/32")))
  })
})
