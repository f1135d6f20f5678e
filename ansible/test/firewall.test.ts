/** Real packets through the ruleset that Ansible renders, between network namespaces. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { run } from "@mcpdeploy/local-region/Command"
import * as Ansible from "./lab/Ansible.ts"
import * as Lab from "./lab/Lab.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"
import * as Topology from "./firewall/Topology.ts"

const { internet, node, pods, services, sources } = Topology
type Source = keyof typeof sources

const families = [0, 1] as const
const protocols = ["tcp", "udp"] as const

/** Who reaches which port of a run node. Whoever is not named does not. */
const open: Record<string, ReadonlyArray<Source>> = {
  "22 tcp": ["admin"],
  "80 tcp": ["load balancer", "Cloudflare"],
  "443 tcp": ["load balancer", "Cloudflare"]
}
/** Between nodes all but SSH and the web's ports. */
const closedBetweenNodes = ["22 tcp", "80 tcp", "443 tcp"]

const isOpen = (source: Source, service: string): boolean =>
  open[service]?.includes(source) === true ||
  (source === "another node" && !closedBetweenNodes.includes(service))

const everybody: ReadonlyArray<Source> = [
  "stranger",
  "admin",
  "load balancer",
  "Cloudflare",
  "another node",
  "a machine that is no node"
]
const inside: ReadonlyArray<Source> = ["another node", "a machine that is no node"]

interface Case extends Lab.Probe {
  readonly name: string
  readonly expected: boolean
}

/** Every source × port × protocol × family. */
const arriving = (expected: (source: Source, service: string) => boolean): ReadonlyArray<Case> =>
  everybody.flatMap((source) =>
    [...Topology.nodePorts, ...Topology.translated].flatMap((port) =>
      protocols.flatMap((protocol) =>
        families.map((family) => ({
          name: `${source} → ${port} ${protocol} v${family === 0 ? 4 : 6}`,
          protocol,
          port,
          from: sources[source][family],
          to: (inside.includes(source) ? node.private : node.public)[family],
          expected: expected(source, `${port} ${protocol}`)
        }))
      )
    )
  )

const allOf = (
  port: number,
  to: readonly [string, string],
  expected: boolean,
  name: string,
  from: readonly [string, string]
) =>
  protocols.flatMap((protocol) =>
    families.map((family) => ({
      name: `${name} ${port} ${protocol} v${family === 0 ? 4 : 6}`,
      protocol,
      port,
      from: from[family],
      to: to[family],
      expected
    }))
  )

const fromPod = (port: number, to: readonly [string, string], expected: boolean, name: string) =>
  allOf(port, to, expected, `pod → ${name}`, pods.pod)

const mail = [25, 465, 587]

const leaving: ReadonlyArray<Case> = [
  ...mail.flatMap((port) => fromPod(port, internet.server, false, "internet")),
  ...[80, 443].flatMap((port) => fromPod(port, internet.server, true, "internet")),
  ...[internet.metadata, internet.private, internet.carrier, sources["another node"]].flatMap((to) =>
    [22, 25, 80, 6443, 10250].flatMap((port) => fromPod(port, to, false, to[0]))
  ),
  ...Object.values(node).flatMap((to) =>
    [...Topology.nodePorts, ...Topology.translated].flatMap((port) =>
      fromPod(port, to, false, "its own node")
    )
  ),
  ...Topology.podPorts.flatMap((port) => fromPod(port, pods.neighbour, true, "another pod")),
  // By a service's address: network policies decide.
  ...fromPod(443, services.api, true, "API server's service").filter(({ protocol }) => protocol === "tcp"),
  ...fromPod(53, services.dns, true, "DNS's service").filter(({ protocol }) => protocol === "udp"),
  ...fromPod(80, services.absent, false, "a service that is not there")
]

const fromNode: ReadonlyArray<Case> = [
  ...mail.flatMap((port) => allOf(port, internet.server, false, "node → internet", node.public)),
  ...[80, 443].flatMap((port) => allOf(port, internet.server, true, "node → internet", node.public)),
  ...allOf(80, internet.metadata, true, "node → metadata", node.public),
  ...allOf(10250, sources["another node"], true, "node → another node", node.private),
  ...allOf(25, pods.pod, true, "node → pod", node.bridge)
]

class Bench extends Context.Service<Bench, { readonly lab: Lab.Lab; readonly rulesets: string }>()("Bench") {
  static readonly layer = Layer.effect(
    Bench,
    Effect.gen(function* () {
      const bin = yield* Ansible.installed
      const rulesets = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-firewall-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const folder = join(Ansible.folder, "test/firewall")
      yield* run(
        join(bin, "ansible-playbook"),
        [
          "--inventory",
          join(folder, "inventory.yml"),
          "--extra-vars",
          `target=${rulesets}`,
          join(folder, "render.yml")
        ],
        { env: Ansible.environment(bin) }
      )
      const lab = yield* Lab.make
      yield* Topology.build(lab)
      return Bench.of({ lab, rulesets })
    })
  )
}

/** The cases whose outcome is not the expected one. */
const wrong = Effect.fn("wrong")(function* (namespace: string, cases: ReadonlyArray<Case>) {
  const { lab } = yield* Bench
  const answers = yield* lab.probe(namespace, cases)
  assert.strictEqual(answers.length, cases.length)
  return cases.flatMap(({ expected, name }, index) =>
    answers[index] === expected ? [] : [`${name}: ${expected ? "closed" : "open"}`]
  )
})

const wrongArriving = Effect.fn("wrongArriving")(function* (cases: ReadonlyArray<Case>) {
  const isInside = ({ from }: Case) => inside.some((source) => sources[source].some((each) => each === from))
  const parts = yield* Effect.all(
    [
      wrong(
        "internet",
        cases.filter((each) => !isInside(each))
      ),
      wrong("private", cases.filter(isInside))
    ],
    { concurrency: "unbounded" }
  )
  return parts.flat()
})

const load = Effect.fn("load")(function* (host: string) {
  const { lab, rulesets } = yield* Bench
  yield* lab.exec("node", "nft", ["-f", "-"], readFileSync(join(rulesets, `${host}.nft`), "utf8"))
})

const needs = missing(forNamespaces)

describe.skipIf(needs !== "")(`The firewall of a node ${needs}`, () => {
  layer(Bench.layer.pipe(Layer.provideMerge(NodeServices.layer)), {
    excludeTestServices: true,
    timeout: "3 minutes"
  })("by packets", (it) => {
    it.effect("without it everything is open, so that what follows is its work", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* wrongArriving(arriving(() => true)), [])
        const opened = leaving.map((each) => ({
          ...each,
          // A node has no service of the address that is not there, and serves only its own ports.
          expected: !each.name.includes("not there")
        }))
        assert.deepStrictEqual(
          (yield* wrong("pod", opened)).filter((each) => !each.includes("its own node")),
          []
        )
      })
    )

    it.effect(
      "a run node: every source, port, protocol and family, with a service load balancer's translation",
      () =>
        Effect.gen(function* () {
          yield* load("run-1")
          assert.deepStrictEqual(yield* wrongArriving(arriving(isOpen)), [])
        })
    )

    it.effect(
      "another node: the web's ports are closed to everybody, the API server open to administrators",
      () =>
        Effect.gen(function* () {
          yield* load("ctrl-1")
          const expected = (source: Source, service: string) =>
            service === "6443 tcp" && source === "admin"
              ? true
              : !["80 tcp", "443 tcp"].includes(service) && isOpen(source, service)
          assert.deepStrictEqual(yield* wrongArriving(arriving(expected)), [])
        })
    )

    it.effect("a pod: what leaves the node is exactly what may, from the first packet on", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* Topology.forget(lab)
        assert.deepStrictEqual(yield* wrong("pod", leaving), [])
        const left = families.flatMap((family) => [
          ...["80", "443"].flatMap((port) =>
            protocols.map((protocol) => `${internet.server[family]} ${protocol} ${port}`)
          ),
          `${sources["another node"][family]} tcp 6443`
        ])
        assert.deepStrictEqual(yield* Topology.seen(lab, Topology.outsidePorts), left.toSorted())
      })
    )

    it.effect("a pod that lies about its address: no packet leaves", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* lab.sh("pod", "ip addr add 203.0.113.77/32 dev lo; ip addr add fd10::77/128 dev lo")
        yield* Topology.forget(lab)
        const lies = leaving
          .filter(({ to }) => [...internet.server, ...sources["another node"]].some((each) => each === to))
          .map((each) => ({
            ...each,
            from: each.to.includes(":") ? "fd10::77" : "203.0.113.77",
            expected: false
          }))
        assert.deepStrictEqual(yield* wrong("pod", lies), [])
        assert.deepStrictEqual(yield* Topology.seen(lab, Topology.outsidePorts), [])
      })
    )

    it.effect("an address of the inside that comes from the internet is forged", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* lab.sh(
          "internet",
          "for a in 10.0.0.10 10.42.7.7; do ip addr replace $a/32 dev lo; done; for a in fd10::10 fd00:42::7; do ip addr replace $a/128 dev lo; done"
        )
        const forged = [
          ["10.0.0.10", "fd10::10"],
          ["10.42.7.7", "fd00:42::7"]
        ].flatMap((from) =>
          families.map((family) => ({
            protocol: "udp" as const,
            from: from[family] ?? "",
            to: node.public[family],
            port: 30000
          }))
        )
        assert.deepStrictEqual(
          yield* lab.probe("internet", forged),
          forged.map(() => false)
        )
        const counters = yield* lab.sh("node", "nft list counters table inet mcpdeploy")
        const dropped = [...counters.matchAll(/(forged|outside) \{\s+packets (\d+)/g)].map((each) =>
          Number(each[2])
        )
        assert.strictEqual(
          dropped.reduce((sum, each) => sum + each, 0),
          forged.length
        )
      })
    )

    it.effect("the node itself: no mail leaves, everything else does", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* Topology.forget(lab)
        assert.deepStrictEqual(yield* wrong("node", fromNode), [])
        const seen = yield* Topology.seen(lab, mail)
        assert.deepStrictEqual(seen, [])
      })
    )

    it.effect("an exception opens one port of a node to pods, and no other", () =>
      Effect.gen(function* () {
        yield* load("ops-1")
        const cases = [10250, 22, 6443].flatMap((port) =>
          fromPod(port, sources["another node"], port === 10250, "another node")
        )
        assert.deepStrictEqual(
          yield* wrong(
            "pod",
            cases.filter(({ protocol }) => protocol === "tcp")
          ),
          []
        )
      })
    )

    it.effect("loading it again and removing it leaves the tables of others as they are", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        const others = () => lab.sh("node", "nft -s list table ip cluster; nft -s list table ip6 cluster")
        const before = yield* others()
        yield* load("run-1")
        yield* load("run-1")
        assert.strictEqual(yield* others(), before)
      })
    )
  })
})
