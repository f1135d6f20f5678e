/** Real packets through the ruleset that Ansible renders, between network namespaces. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { webSourcesOf } from "@mcpdeploy/core/region/WebSources"
import { run } from "@mcpdeploy/local-region/Command"
import * as Ansible from "./lab/Ansible.ts"
import * as Lab from "./lab/Lab.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"
import * as Cases from "./firewall/Cases.ts"
import * as Topology from "./firewall/Topology.ts"

const { internet, node, sources } = Topology
const { arriving, fromNode, fromPod, isOpen, leaving, mail, wrong, wrongArriving } = Cases

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
      yield* lab.sh(
        "lab",
        "ip netns add node; ip -n node link set lo up; ip netns exec node sysctl -qw net.ipv6.conf.default.accept_dad=0"
      )
      yield* Topology.build(lab, "node")
      return Bench.of({ lab, rulesets })
    })
  )
}

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
        const { lab } = yield* Bench
        assert.deepStrictEqual(
          yield* wrongArriving(
            lab,
            arriving(() => true)
          ),
          []
        )
        const opened = leaving.map((each) => ({
          ...each,
          // A node has no service of the address that is not there, and serves only its own ports.
          expected: !each.name.includes("not there")
        }))
        assert.deepStrictEqual(
          (yield* wrong(lab, "pod", opened)).filter((each) => !each.includes("its own node")),
          []
        )
      })
    )

    it.effect(
      "a run node: every source, port, protocol and family, with a service load balancer's translation",
      () =>
        Effect.gen(function* () {
          const { lab } = yield* Bench
          yield* load("run-1")
          assert.deepStrictEqual(yield* wrongArriving(lab, arriving(isOpen)), [])
        })
    )

    it.effect(
      "who may reach the web's ports is read from the ruleset, as `mcpdeploy region check` asks nodes",
      () =>
        Effect.gen(function* () {
          const { rulesets } = yield* Bench
          const sources = webSourcesOf(readFileSync(join(rulesets, "run-1.nft"), "utf8"))
          assert.deepStrictEqual(
            [...sources].toSorted(),
            ["173.245.48.0/20", "2001:db8:3::5/128", "203.0.113.5/32", "2400:cb00::/32"].toSorted()
          )
        })
    )

    it.effect(
      "another node: the web's ports are closed to everybody, the API server open to administrators",
      () =>
        Effect.gen(function* () {
          const { lab } = yield* Bench
          yield* load("ctrl-1")
          const expected = (source: Cases.Source, service: string) =>
            service === "6443 tcp" && source === "admin"
              ? true
              : !["80 tcp", "443 tcp"].includes(service) && isOpen(source, service)
          assert.deepStrictEqual(yield* wrongArriving(lab, arriving(expected)), [])
        })
    )

    it.effect("a pod: what leaves the node is exactly what may, from the first packet on", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* Topology.forget(lab)
        assert.deepStrictEqual(yield* wrong(lab, "pod", leaving), [])
        assert.deepStrictEqual(yield* Topology.seen(lab, Topology.outsidePorts), Cases.leftBehind.toSorted())
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
        assert.deepStrictEqual(yield* wrong(lab, "pod", lies), [])
        assert.deepStrictEqual(yield* Topology.seen(lab, Topology.outsidePorts), [])
      })
    )

    it.effect("an address of the inside that comes from the internet is forged: none arrives", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        const forged = [
          ["10.77.0.10", "fd10::10"],
          ["10.42.7.7", "fd00:42::7"]
        ].flatMap(([v4 = "", v6 = ""]) => [v4, v6])
        for (const address of forged) yield* lab.sh("internet", `ip addr replace ${address} dev lo`)
        yield* lab.exec(
          "node",
          "nft",
          ["-f", "-"],
          `table inet arrived {
            chain input { type filter hook input priority 200; policy accept; udp dport 30000 counter; }
          }`
        )
        const probes = forged.map((from) => ({
          protocol: "udp" as const,
          from,
          to: node.public[from.includes(":") ? 1 : 0],
          port: 30000
        }))
        yield* lab.sh("node", "nft delete table inet mcpdeploy")
        yield* lab.probe("internet", probes)
        assert.include(yield* lab.sh("node", "nft list table inet arrived"), `packets ${forged.length} `)
        yield* lab.sh(
          "node",
          "nft flush chain inet arrived input; nft add rule inet arrived input udp dport 30000 counter"
        )
        yield* load("run-1")
        yield* lab.probe("internet", probes)
        assert.include(yield* lab.sh("node", "nft list table inet arrived"), "packets 0 ")
        yield* lab.sh("node", "nft delete table inet arrived")
        for (const address of forged)
          yield* lab.sh("internet", `ip addr del ${address}/${address.includes(":") ? 128 : 32} dev lo`)
      })
    )

    it.effect("the node itself: no mail leaves, everything else does", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("run-1")
        yield* Topology.forget(lab)
        assert.deepStrictEqual(yield* wrong(lab, "node", fromNode), [])
        const seen = yield* Topology.seen(lab, mail)
        assert.deepStrictEqual(seen, [])
      })
    )

    it.effect("an exception opens one port of a node to pods, and no other", () =>
      Effect.gen(function* () {
        const { lab } = yield* Bench
        yield* load("ops-1")
        const cases = [10250, 22, 6443].flatMap((port) =>
          fromPod(port, sources["another node"], port === 10250, "another node")
        )
        assert.deepStrictEqual(
          yield* wrong(
            lab,
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
