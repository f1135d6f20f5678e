/** Robot's firewall at a dedicated node's switch port, as `@mcpdeploy/provider-hetzner` sets it: real packets through the same rules. */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { readRegion } from "@mcpdeploy/core/region/Region"
import type { RobotRule } from "@mcpdeploy/provider-hetzner/robot/RobotApi"
import { rulesOf } from "@mcpdeploy/provider-hetzner/robot/RobotPlan"
import * as Effect from "effect/Effect"
import * as Lab from "./lab/Lab.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"

const lacks = missing(forNamespaces)
const eu = fileURLToPath(new URL("../../regions/eu-central-1", import.meta.url))

/** One rule as nftables has it. Robot knows no state: neither does this. */
const filterRule = ({ action, dst_ip, dst_port, protocol, src_ip, src_port, tcp_flags }: RobotRule): string =>
  [
    src_ip == null ? "" : `ip saddr ${src_ip}`,
    dst_ip == null ? "" : `ip daddr ${dst_ip}`,
    protocol == null ? "" : `meta l4proto ${protocol}`,
    src_port == null ? "" : `th sport ${src_port}`,
    dst_port == null ? "" : `th dport ${dst_port}`,
    tcp_flags == null ? "" : `tcp flags & ${tcp_flags} == ${tcp_flags}`,
    action === "accept" ? "accept" : "drop"
  ].join(" ")

const switchPort = (input: ReadonlyArray<RobotRule>): string => `
table ip robot {
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "node" accept
    ${input.map(filterRule).join("\n    ")}
  }
}`

/** As flannel does: https://github.com/flannel-io/flannel, pkg/trafficmngr/iptables, `MASQUERADE --random-fully`. */
const masquerade = `
table ip flannel {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.42.0.0/16 oifname "public" masquerade fully-random
  }
}`

/** pod ── node ── switch port ── internet. */
const links = `
for name in pod node port internet; do ip netns add $name; ip -n $name link set lo up; done
ip link add eth0 netns pod type veth peer name cni0 netns node
ip link add public netns node type veth peer name node netns port
ip link add uplink netns port type veth peer name eth0 netns internet
ip -n pod addr add 10.42.1.2/24 dev eth0; ip -n node addr add 10.42.1.1/24 dev cni0
ip -n node addr add 198.51.100.41/24 dev public; ip -n port addr add 198.51.100.1/24 dev node
ip -n port addr add 203.0.113.1/24 dev uplink; ip -n internet addr add 203.0.113.80/24 dev eth0
ip -n pod link set eth0 up; ip -n node link set cni0 up; ip -n node link set public up
ip -n port link set node up; ip -n port link set uplink up; ip -n internet link set eth0 up
ip -n pod route add default via 10.42.1.1
ip -n node route add default via 198.51.100.1
ip -n internet route add default via 203.0.113.1
for name in node port; do ip netns exec $name sysctl -qw net.ipv4.ip_forward=1; done
`

describe.skipIf(lacks !== "")(`Robot's firewall ${lacks}`, () => {
  it.live(
    "loses none of 10,000 connections that pods open through the masquerade, nor an answer by UDP; lets no other connection in",
    () =>
      Effect.gen(function* () {
        const region = yield* readRegion(eu)
        const lab = yield* Lab.make
        yield* lab.sh("lab", links)
        yield* lab.exec("port", "nft", ["-f", "-"], switchPort(rulesOf(region, true).input))
        yield* lab.exec("node", "nft", ["-f", "-"], masquerade)
        yield* lab.serve("internet", ["203.0.113.80"], [443, 53])
        yield* lab.serve("node", ["198.51.100.41"], [443, 5000, 30080])

        const connect = fileURLToPath(new URL("./lab/connect.ts", import.meta.url))
        const lost = yield* lab.exec("pod", process.execPath, [
          connect,
          "203.0.113.80",
          "443",
          "10000",
          "250"
        ])
        assert.strictEqual(lost.trim(), "0")
        const asked = { protocol: "udp" as const, from: "10.42.1.2", to: "203.0.113.80", port: 53 }
        const answers = yield* lab.probe(
          "pod",
          Array.from({ length: 40 }, () => asked)
        )
        assert.isFalse(answers.includes(false))

        const arriving = [443, 5000, 30080].map((port) => ({
          protocol: "tcp" as const,
          from: "203.0.113.80",
          to: "198.51.100.41",
          port
        }))
        assert.deepStrictEqual(yield* lab.probe("internet", arriving), [true, false, false])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )
})
