/**
 * The bundle's network: a namespace with no device of the machine's, whose only way out is slirp4netns, a user-mode
 * network stack. Nothing is configured in the machine's own network.
 */

/** The machine, as slirp4netns presents it to the bundle. */
export const slirp = {
  device: "tap0",
  cidr: "10.0.2.0/24",
  /** The bundle's own address. */
  guest: "10.0.2.100",
  gateway: "10.0.2.2",
  /** Forwards to the machine's own resolver. */
  dns: "10.0.2.3"
}

/** Pods and the node. The node's servers listen on the bridge's address. */
export const pods = { bridge: "cni0", cidr: "10.42.0.0/16", node: "10.42.0.1" }

export const services = { cidr: "10.43.0.0/16", api: "10.43.0.1", dns: "10.43.0.10" }

/** BuildKit's RUN steps: a bridge of their own. */
export const builds = { bridge: "build0", cidr: "10.44.0.0/16", gateway: "10.44.0.1" }

export const registryName = "registry.internal:5000"

/** Ports of the servers inside the bundle. */
export const guestPorts = { api: 6443, registry: 5000, http: 80, https: 443, dns: 5354 }

const notForUntrusted = [slirp.cidr, "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"]

/**
 * What RUN steps and pods may not reach, decided before any address translation: so no service address, no node port
 * and no rule that another program adds can open a way around it. `machineAddresses` are the machine's own: slirp4netns
 * would connect to them as a local process does.
 */
export const firewall = (machineAddresses: ReadonlyArray<string>): string => {
  const drops = (bridge: string, ranges: ReadonlyArray<string>) =>
    ranges.map((range) => `-A UNTRUSTED -i ${bridge} -d ${range} -j DROP`)
  const own = machineAddresses.map((address) => `${address}/32`)
  return [
    "*mangle",
    ":UNTRUSTED - [0:0]",
    "-A PREROUTING -j UNTRUSTED",
    "-A UNTRUSTED -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
    ...["udp", "tcp"].map(
      (protocol) => `-A UNTRUSTED -i ${builds.bridge} -d ${slirp.dns} -p ${protocol} --dport 53 -j RETURN`
    ),
    ...drops(builds.bridge, [pods.cidr, services.cidr, builds.cidr, ...notForUntrusted, ...own]),
    ...["udp", "tcp"].map(
      (protocol) => `-A UNTRUSTED -i ${pods.bridge} -d ${pods.node} -p ${protocol} --dport 53 -j RETURN`
    ),
    ...drops(pods.bridge, [pods.node, services.api, builds.cidr, ...notForUntrusted, ...own]),
    "COMMIT",
    "*nat",
    `-A POSTROUTING -s ${pods.cidr} -o ${slirp.device} -j MASQUERADE`,
    `-A POSTROUTING -s ${builds.cidr} -o ${slirp.device} -j MASQUERADE`,
    "COMMIT",
    ""
  ].join("\n")
}

/** No IPv6 leads anywhere, so nothing untrusted needs it: not even the link-local address of its neighbour. */
export const firewall6 = [
  "*mangle",
  ...[builds.bridge, pods.bridge].map((bridge) => `-A PREROUTING -i ${bridge} -j DROP`),
  "COMMIT",
  ""
].join("\n")

/** Arguments of nsenter, inside the bundle, for a program in the machine's own network: the bundle's init is there. */
export const onMachine = ["--net=/proc/1/ns/net", "--"]

/** Run inside the network namespace, once. Idempotent, so that a half-made network is completed. */
export const setUp = `set -eu
ip link set lo up
ip link show ${pods.bridge} >/dev/null 2>&1 || ip link add ${pods.bridge} type bridge
ip addr replace ${pods.node}/16 dev ${pods.bridge}
ip link set ${pods.bridge} up
ip link show ${builds.bridge} >/dev/null 2>&1 || ip link add ${builds.bridge} type bridge
ip addr replace ${builds.gateway}/16 dev ${builds.bridge}
ip link set ${builds.bridge} up
echo 1 > /proc/sys/net/ipv4/ip_forward
for name in all default; do
  if [ -e /proc/sys/net/ipv6/conf/$name/disable_ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6; fi
done
# Neighbours on one bridge are subject to the firewall too.
for name in iptables ip6tables; do
  if [ -e /proc/sys/net/bridge/bridge-nf-call-$name ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-$name; fi
done
`
