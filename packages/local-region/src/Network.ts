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

/** Addresses of the cluster's services. */
export const services = { cidr: "10.43.0.0/16", api: "10.43.0.1", dns: "10.43.0.10" }

/**
 * BuildKit, its RUN steps and the daemon itself, which fetches what Dockerfiles and foreign registries name: a network
 * namespace of their own, whose only way out is one link.
 */
export const builds = {
  namespace: "builds",
  /** The link's two ends: in the bundle's network, and inside. */
  link: "builds0",
  uplink: "uplink0",
  linkCidr: "10.45.0.0/30",
  linkAddress: "10.45.0.1",
  daemon: "10.45.0.2",
  /** The bridge of RUN steps. */
  bridge: "build0",
  cidr: "10.44.0.0/16",
  gateway: "10.44.0.1"
}

/** The registry, as images name it. */
export const registryName = "registry.internal:5000"

/** Ports of the servers inside the bundle. */
export const guestPorts = {
  api: 6443,
  registry: 5000,
  /** The registry for buildkitd, which has to show a certificate: an `ADD` that is led here cannot. */
  registryForBuilds: 5443,
  http: 80,
  https: 443,
  dns: 5354
}

const notForUntrusted = [slirp.cidr, "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"]

const established = "-A UNTRUSTED -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"

const drops = (device: string, ranges: ReadonlyArray<string>) =>
  ranges.map((range) => `-A UNTRUSTED -i ${device} -d ${range} -j DROP`)

const allowsDns = (device: string, address: string) =>
  ["udp", "tcp"].map(
    (protocol) => `-A UNTRUSTED -i ${device} -d ${address} -p ${protocol} --dport 53 -j RETURN`
  )

/** As a machine answers on which nothing listens. */
const refuses = (chain: string, range: string) => [
  `-A ${chain} -d ${range} -p tcp -j REJECT --reject-with tcp-reset`,
  `-A ${chain} -d ${range} -j REJECT`
]

/**
 * What builds and pods may not reach, decided before any address translation: so no service address, no node port
 * and no rule that another program adds can open a way around it. `machineAddresses` are the machine's own: slirp4netns
 * would connect to them as a local process does. buildkitd, unlike RUN steps, reaches the registry. A service address or
 * port that is nobody's is refused.
 */
export const firewall = (machineAddresses: ReadonlyArray<string>): string => {
  const own = machineAddresses.map((address) => `${address}/32`)
  const { cidr, daemon, link, linkCidr } = builds
  const toRegistry = `-i ${link} -s ${daemon}/32 -d ${pods.node}/32 -p tcp --dport ${guestPorts.registry}`
  return [
    "*mangle",
    ":UNTRUSTED - [0:0]",
    "-A PREROUTING -j UNTRUSTED",
    established,
    ...allowsDns(link, slirp.dns),
    `-A UNTRUSTED ${toRegistry} -j RETURN`,
    ...drops(link, [pods.cidr, services.cidr, cidr, linkCidr, ...notForUntrusted, ...own]),
    ...allowsDns(pods.bridge, pods.node),
    ...drops(pods.bridge, [pods.node, services.api, cidr, linkCidr, ...notForUntrusted, ...own]),
    "COMMIT",
    // kube-proxy leads what it knows elsewhere before this; its iptables mode lets the rest go to the default route.
    "*filter",
    ...["FORWARD", "OUTPUT"].flatMap((chain) => refuses(chain, services.cidr)),
    "COMMIT",
    "*nat",
    `-A PREROUTING ${toRegistry} -j REDIRECT --to-ports ${guestPorts.registryForBuilds}`,
    ...[pods.cidr, cidr, linkCidr].map(
      (range) => `-A POSTROUTING -s ${range} -o ${slirp.device} -j MASQUERADE`
    ),
    "COMMIT",
    ""
  ].join("\n")
}

/** Inside the builds' namespace: a RUN step reaches neither the daemon nor another step, and cannot pass for either. */
export const buildsFirewall = [
  "*mangle",
  ":UNTRUSTED - [0:0]",
  "-A PREROUTING -j UNTRUSTED",
  `-A UNTRUSTED -i ${builds.bridge} ! -s ${builds.cidr} -j DROP`,
  established,
  ...drops(builds.bridge, [builds.cidr, builds.linkCidr, "127.0.0.0/8"]),
  "COMMIT",
  ""
].join("\n")

/** No IPv6 leads anywhere, so nothing untrusted needs it: not even the link-local address of its neighbour. */
const withoutIpv6 = (devices: ReadonlyArray<string>): string =>
  ["*mangle", ...devices.map((device) => `-A PREROUTING -i ${device} -j DROP`), "COMMIT", ""].join("\n")

/** The node's rules for IPv6: what comes from builds and pods is dropped. */
export const firewall6 = withoutIpv6([builds.link, pods.bridge])

/** The rules for IPv6 where builds run: all of it is dropped. */
export const buildsFirewall6 = withoutIpv6([builds.bridge, builds.uplink])

/** Arguments of nsenter, inside the bundle, for a program in the machine's own network: the bundle's init is there. */
export const onMachine = ["--net=/proc/1/ns/net", "--"]

/** Arguments of nsenter, inside the bundle, for a program in the builds' network. */
export const inBuilds = [`--net=/run/netns/${builds.namespace}`, "--"]

const sysctls = `
for name in all default; do
  if [ -e /proc/sys/net/ipv6/conf/$name/disable_ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6; fi
done
# Neighbours on one bridge are subject to the firewall too.
for name in iptables ip6tables; do
  if [ -e /proc/sys/net/bridge/bridge-nf-call-$name ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-$name; fi
done
echo 1 > /proc/sys/net/ipv4/ip_forward
`

/** Run inside the network namespace, once. Idempotent, so that a half-made network is completed. */
export const setUp = `set -eu
ip link set lo up
ip link show ${pods.bridge} >/dev/null 2>&1 || ip link add ${pods.bridge} type bridge
ip addr replace ${pods.node}/16 dev ${pods.bridge}
ip link set ${pods.bridge} up
[ -e /run/netns/${builds.namespace} ] || ip netns add ${builds.namespace}
ip link show ${builds.link} >/dev/null 2>&1 ||
  ip link add ${builds.link} type veth peer name ${builds.uplink} netns ${builds.namespace}
ip addr replace ${builds.linkAddress}/30 dev ${builds.link}
ip link set ${builds.link} up
ip route replace ${builds.cidr} via ${builds.daemon} dev ${builds.link}
${sysctls}`

/** The same inside the builds' namespace. */
export const setUpBuilds = `set -eu
ip link set lo up
ip link show ${builds.bridge} >/dev/null 2>&1 || ip link add ${builds.bridge} type bridge
ip addr replace ${builds.gateway}/16 dev ${builds.bridge}
ip link set ${builds.bridge} up
ip addr replace ${builds.daemon}/30 dev ${builds.uplink}
ip link set ${builds.uplink} up
ip route replace default via ${builds.linkAddress} dev ${builds.uplink}
${sysctls}`
