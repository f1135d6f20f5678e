/**
 * A node with a pod, the internet, and the region's private network, each a network namespace:
 *
 *     internet ── public1 ┐
 *                         node ── cni0 ── pod, neighbour
 *     private ── private1 ┘
 *
 * On the node, rules of the kind that a service load balancer, kube-proxy and a CNI plugin make translate addresses.
 */
import * as Effect from "effect/Effect"
import type { Lab } from "../lab/Lab.ts"

/** Addresses by family: [v4, v6]. */
type Pair = readonly [string, string]

export const sources = {
  stranger: ["203.0.113.66", "2001:db8:3::66"],
  admin: ["203.0.113.9", "2001:db8:3::9"],
  "load balancer": ["203.0.113.5", "2001:db8:3::5"],
  Cloudflare: ["173.245.48.7", "2400:cb00::7"],
  "another node": ["10.77.0.10", "fd10::10"],
  "a machine that is no node": ["10.77.0.99", "fd10::99"]
} as const satisfies Record<string, Pair>

export const node = {
  public: ["203.0.113.41", "2001:db8:3::41"],
  private: ["10.77.0.41", "fd10::41"],
  bridge: ["10.42.1.1", "fd00:42:0:1::1"]
} as const satisfies Record<string, Pair>

export const pods = {
  pod: ["10.42.1.2", "fd00:42:0:1::2"],
  neighbour: ["10.42.1.3", "fd00:42:0:1::3"]
} as const satisfies Record<string, Pair>

export const internet = {
  server: ["192.0.2.25", "2001:db8:2::25"],
  metadata: ["169.254.169.254", "fd00:ec2::254"],
  /** Private addresses that the node would send by its default route. */
  private: ["192.168.7.7", "fd77::7"],
  carrier: ["100.64.0.7", "64:ff9b::a9fe:a9fe"]
} as const satisfies Record<string, Pair>

export const services = {
  /** Of the API server: its endpoint is another node. */
  api: ["10.43.0.1", "fd00:43::1"],
  dns: ["10.43.0.10", "fd00:43::10"],
  absent: ["10.43.9.9", "fd00:43::9:9"]
} as const satisfies Record<string, Pair>

/** Ports that the node's own processes serve. */
export const nodePorts = [22, 5000, 6443, 8472, 10250, 30000, 32767]
/** Ports of the node that are translated to the pod's 8080: a service load balancer's, and a node port. */
export const translated = [80, 443, 8443, 30080]
export const podPorts = [25, 53, 8080]
export const outsidePorts = [22, 25, 80, 443, 465, 587, 6443, 10250]

const translation = (family: "ip" | "ip6", [at, pod, apiServer, api, dns]: ReadonlyArray<string>): string => {
  const to = (address: string | undefined, port: number) =>
    family === "ip" ? `${address}:${port}` : `[${address}]:${port}`
  return `table ${family} cluster {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ${["tcp", "udp"].map((protocol) => `fib daddr type local ${protocol} dport { ${translated.join(", ")} } dnat to ${to(pod, 8080)}`).join("\n    ")}
    ${family} daddr ${api} tcp dport 443 dnat to ${to(apiServer, 6443)}
    ${family} daddr ${dns} udp dport 53 dnat to ${to(pods.neighbour[family === "ip" ? 0 : 1], 53)}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { "public1", "private1" } ${family} saddr ${family === "ip" ? "10.42.0.0/16" : "fd00:42::/56"} masquerade
    oifname "cni0" fib saddr type != local ${family} saddr != ${at} masquerade
  }
}
`
}

const cluster =
  translation("ip", [
    node.bridge[0],
    pods.pod[0],
    sources["another node"][0],
    services.api[0],
    services.dns[0]
  ]) +
  translation("ip6", [
    node.bridge[1],
    pods.pod[1],
    sources["another node"][1],
    services.api[1],
    services.dns[1]
  ])

const address = (device: string, [v4, v6]: Pair, lengths: readonly [number, number]) =>
  `ip addr add ${v4}/${lengths[0]} dev ${device}; ip addr add ${v6}/${lengths[1]} dev ${device} nodad`

const links = (namespace: string) => `
for name in internet private pod neighbour; do
  ip netns add $name; ip -n $name link set lo up
  ip netns exec $name sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
done
ip link add public1 netns ${namespace} type veth peer name eth0 netns internet
ip link add private1 netns ${namespace} type veth peer name eth0 netns private
ip -n ${namespace} link add cni0 type bridge
for name in pod neighbour; do
  ip link add $name netns ${namespace} type veth peer name eth0 netns $name
  ip -n ${namespace} link set $name master cni0 up
done
for name in internet private pod neighbour; do ip -n $name link set eth0 up; done
for device in public1 private1 cni0; do ip -n ${namespace} link set $device up; done
`

const onInternet = `
${address("eth0", ["203.0.113.1", "2001:db8:3::1"], [24, 64])}
${[sources.stranger, sources.admin, sources["load balancer"]].map((each) => address("eth0", each, [24, 64])).join("\n")}
${[sources.Cloudflare, ...Object.values(internet)].map((each) => address("lo", each, [32, 128])).join("\n")}
# For answers to packets whose source is a lie, and to pods if nobody translates their address.
ip route add default via 203.0.113.41; ip -6 route add default via 2001:db8:3::41
`
const onPrivate = `
${address("eth0", sources["another node"], [16, 64])}
${address("eth0", sources["a machine that is no node"], [16, 64])}
ip route add default via 10.77.0.41; ip -6 route add default via fd10::41
`
const onNode = `
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
${address("public1", node.public, [24, 64])}
${address("private1", node.private, [16, 64])}
${address("cni0", node.bridge, [24, 64])}
ip route replace default via 203.0.113.1; ip -6 route replace default via 2001:db8:3::1
`
const onPod = (own: Pair) => `
${address("eth0", own, [24, 64])}
ip route add default via ${node.bridge[0]}; ip -6 route add default via ${node.bridge[1]}
`

/** Remembers each destination to which a packet of the node came: the observer sits in the other namespace. */
const observer = `
table inet observer {
  set seen4 { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }
  set seen6 { type ipv6_addr . inet_proto . inet_service; flags dynamic; size 65535; }
  chain prerouting {
    type filter hook prerouting priority raw - 10; policy accept;
    iifname "eth0" meta l4proto { tcp, udp } add @seen4 { ip daddr . meta l4proto . th dport }
    iifname "eth0" meta l4proto { tcp, udp } add @seen6 { ip6 daddr . meta l4proto . th dport }
  }
}
`

/** Builds it in a lab, without a firewall, around a namespace that is there: the node's. */
export const build = Effect.fn("Topology.build")(function* (lab: Lab, namespace: string) {
  yield* lab.sh("lab", links(namespace))
  yield* lab.sh("internet", onInternet)
  yield* lab.sh("private", onPrivate)
  yield* lab.sh(namespace, onNode)
  yield* lab.sh("pod", onPod(pods.pod))
  yield* lab.sh("neighbour", onPod(pods.neighbour))
  yield* lab.exec(namespace, "nft", ["-f", "-"], cluster)
  yield* Effect.forEach(["internet", "private"], (each) => lab.exec(each, "nft", ["-f", "-"], observer))
  yield* lab.serve(namespace, Object.values(node).flat(), nodePorts)
  yield* Effect.forEach(Object.entries(pods), ([name, own]) => lab.serve(name, own, podPorts))
  yield* lab.serve("internet", Object.values(internet).flat(), outsidePorts)
  yield* lab.serve(
    "private",
    [...sources["another node"], ...sources["a machine that is no node"]],
    outsidePorts
  )
})

/** Forgets what was seen. */
export const forget = (lab: Lab) =>
  Effect.forEach(["internet", "private"], (each) =>
    lab.sh(each, "nft flush set inet observer seen4; nft flush set inet observer seen6")
  )

/** Where packets of the node arrived since: `address protocol port`, only ports that are asked for. */
export const seen = Effect.fn("Topology.seen")(function* (lab: Lab, ports: ReadonlyArray<number>) {
  const listed = yield* Effect.forEach(["internet", "private"], (each) => lab.sh(each, "nft -n list ruleset"))
  return [...listed.join("\n").matchAll(/([0-9a-f.:]+) \. (6|17|tcp|udp) \. (\d+)/g)]
    .filter(([, , , port]) => ports.includes(Number(port)))
    .map(
      ([, to, protocol, port]) => `${to} ${protocol === "6" || protocol === "tcp" ? "tcp" : "udp"} ${port}`
    )
    .toSorted()
})
