/** The policies judged by an evaluator of our own, over a matrix of sources, destinations and ports. */
import { BlockList, isIPv6 } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { allowEgress, allowIngress, denyAll, networkPolicies } from "../src/manifests/NetworkPolicies.ts"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { region, targetOf } from "./support/Sample.ts"

const { owner } = targetOf("user1", "project1", "web")

interface Pod {
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
}

const customer: Pod = { namespace: owner.namespace, labels: { app: "any" } }
const neighbour: Pod = { namespace: "dp-user2-project1", labels: {} }
const traefik: Pod = { namespace: "dp-system", labels: { "app.kubernetes.io/name": "traefik" } }
const registry: Pod = { namespace: "dp-system", labels: { "app.kubernetes.io/name": "registry" } }
const falseTraefik: Pod = { namespace: "dp-user2-project1", labels: { "app.kubernetes.io/name": "traefik" } }
const dns: Pod = { namespace: "kube-system", labels: { "k8s-app": "kube-dns" } }
const falseDns: Pod = { namespace: "dp-user2-project1", labels: { "k8s-app": "kube-dns" } }

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>
}
interface Peer {
  readonly namespaceSelector?: Selector
  readonly podSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except: ReadonlyArray<string> }
}

const selects = ({ matchLabels = {} }: Selector, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(matchLabels).every(([name, value]) => labels[name] === value)

/** Semantics of networking.k8s.io/v1: without a namespaceSelector a podSelector means the policy's own namespace. */
const matchesPod = ({ namespaceSelector, podSelector }: Peer, pod: Pod): boolean => {
  if (podSelector === undefined && namespaceSelector === undefined) return false
  const inNamespace =
    namespaceSelector === undefined
      ? pod.namespace === owner.namespace
      : selects(namespaceSelector, { "kubernetes.io/metadata.name": pod.namespace })
  return inNamespace && selects(podSelector ?? {}, pod.labels)
}

const inRange = (cidr: string, address: string): boolean => {
  const [network = "", prefix = ""] = cidr.split("/")
  if (isIPv6(network) !== isIPv6(address)) return false
  const list = new BlockList()
  const family = isIPv6(network) ? "ipv6" : "ipv4"
  list.addSubnet(network, Number(prefix), family)
  return list.check(address, family)
}

const matchesAddress = ({ ipBlock }: Peer, address: string): boolean =>
  ipBlock !== undefined &&
  inRange(ipBlock.cidr, address) &&
  !ipBlock.except.some((range) => inRange(range, address))

interface Rule {
  readonly to: ReadonlyArray<Peer>
  readonly ports?: ReadonlyArray<{ readonly protocol: string; readonly port: number }>
}

const egressRules = (config: RegionConfig): ReadonlyArray<Rule> => allowEgress(owner, config).spec.egress

const mayReach = (
  destination: Pod | string,
  port: number,
  protocol = "TCP",
  config: RegionConfig = region
): boolean =>
  egressRules(config).some(
    ({ ports, to }) =>
      (ports === undefined ||
        ports.some((allowed) => allowed.port === port && allowed.protocol === protocol)) &&
      to.some((peer: Peer) =>
        typeof destination === "string" ? matchesAddress(peer, destination) : matchesPod(peer, destination)
      )
  )

const mayComeFrom = (source: Pod): boolean =>
  allowIngress(owner, region).spec.ingress.some(({ from }) =>
    from.some((peer: Peer) => matchesPod(peer, source))
  )

describe("network policies", () => {
  it("apply to every pod of the project, in both directions", () => {
    assert.deepStrictEqual(denyAll(owner).spec, { podSelector: {}, policyTypes: ["Ingress", "Egress"] })
    assert.lengthOf(networkPolicies(owner, region), 3)
  })

  it("let only Traefik in dp-system and the same project in", () => {
    assert.isTrue(mayComeFrom(traefik))
    assert.isTrue(mayComeFrom(customer))
    for (const source of [neighbour, registry, falseTraefik, dns]) assert.isFalse(mayComeFrom(source))
  })

  it("let pods out to the same project on any port, and to the name server on 53 only", () => {
    assert.isTrue(mayReach(customer, 5432))
    assert.isTrue(mayReach(dns, 53, "UDP"))
    assert.isTrue(mayReach(dns, 53, "TCP"))
    assert.isFalse(mayReach(dns, 9153))
    for (const port of [53, 80, 443, 5000])
      for (const destination of [neighbour, registry, traefik, falseDns])
        for (const protocol of ["TCP", "UDP"]) assert.isFalse(mayReach(destination, port, protocol))
  })

  it("let pods out to the public internet", () => {
    for (const address of [
      "1.1.1.1",
      "8.8.8.8",
      "140.82.121.4",
      "172.15.0.1",
      "172.32.0.1",
      "100.63.0.1",
      "100.128.0.1",
      "2606:4700::1111",
      "2a01:4f8::1",
      "2001:4860:4860::8888"
    ])
      assert.isTrue(mayReach(address, 443), address)
  })

  it("let pods reach no private, link-local, shared, loopback or metadata address, v4 or v6", () => {
    for (const address of [
      "169.254.169.254",
      "10.0.0.1",
      "10.43.0.1",
      "10.255.255.255",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "127.0.0.1",
      "100.64.0.1",
      "100.127.255.255",
      "169.254.0.1",
      "0.0.0.0",
      "192.0.0.192",
      "192.0.2.1",
      "198.18.0.1",
      "198.51.100.1",
      "203.0.113.1",
      "224.0.0.1",
      "239.255.255.255",
      "240.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::ffff:10.0.0.1",
      "fd00:ec2::254",
      "fc00::1",
      "fe80::1",
      "fec0::1",
      "ff02::1",
      "64:ff9b::a00:1",
      "64:ff9b:1::1",
      "100::1",
      "2001::1",
      "2001:db8::1",
      "2002:a00:1::1",
      "3fff::1"
    ])
      for (const port of [80, 443, 53]) assert.isFalse(mayReach(address, port), address)
  })

  it("let pods reach none of the region's own public ranges", () => {
    const own = new RegionConfig({
      ...region,
      clusterCidrs: ["95.216.0.0/24", "2a01:4f8:1::/48", "fd42::/56", "10.1.0.0/16"]
    })
    assert.isFalse(mayReach("95.216.0.7", 443, "TCP", own))
    assert.isFalse(mayReach("2a01:4f8:1::5", 443, "TCP", own))
    assert.isTrue(mayReach("95.216.1.7", 443, "TCP", own))
    assert.isTrue(mayReach("2a01:4f8:2::5", 443, "TCP", own))
  })
})
