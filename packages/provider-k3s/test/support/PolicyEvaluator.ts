/**
 * Judges NetworkPolicies by the words of networking.k8s.io/v1, from the objects as the API server gets them. It shares
 * nothing with how they are made.
 */
import { BlockList, isIPv6 } from "node:net"
import * as Schema from "effect/Schema"

const Selector = Schema.Struct({
  matchLabels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
const PolicyPeer = Schema.Struct({
  namespaceSelector: Schema.optionalKey(Selector),
  podSelector: Schema.optionalKey(Selector),
  ipBlock: Schema.optionalKey(
    Schema.Struct({ cidr: Schema.String, except: Schema.optionalKey(Schema.Array(Schema.String)) })
  )
})
const Ports = Schema.optionalKey(Schema.Array(Schema.Struct({ protocol: Schema.String, port: Schema.Int })))

export const Policy = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, namespace: Schema.String }),
  spec: Schema.Struct({
    podSelector: Selector,
    policyTypes: Schema.Array(Schema.Literals(["Ingress", "Egress"])),
    ingress: Schema.optionalKey(
      Schema.Array(Schema.Struct({ from: Schema.optionalKey(Schema.Array(PolicyPeer)), ports: Ports }))
    ),
    egress: Schema.optionalKey(
      Schema.Array(Schema.Struct({ to: Schema.optionalKey(Schema.Array(PolicyPeer)), ports: Ports }))
    )
  })
})
type Policy = typeof Policy.Type

/** One end of a connection: a pod, or an address outside the cluster. */
export interface Endpoint {
  readonly name: string
  readonly address: string
  readonly pod?: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> }
}

export interface Traffic {
  readonly source: Endpoint
  readonly destination: Endpoint
  readonly port: number
  readonly protocol: "TCP" | "UDP" | "SCTP"
}

const selects = (
  { matchLabels = {} }: typeof Selector.Type,
  labels: Readonly<Record<string, string>>
): boolean => Object.entries(matchLabels).every(([name, value]) => labels[name] === value)

const inRange = (cidr: string, address: string): boolean => {
  const [network = "", prefix = ""] = cidr.split("/")
  if (isIPv6(network) !== isIPv6(address)) return false
  const family = isIPv6(network) ? "ipv6" : "ipv4"
  const list = new BlockList()
  list.addSubnet(network, Number(prefix), family)
  return list.check(address, family)
}

const isPeer = (peer: typeof PolicyPeer.Type, policy: Policy, { address, pod }: Endpoint): boolean => {
  if (peer.ipBlock !== undefined) {
    const { cidr, except = [] } = peer.ipBlock
    return inRange(cidr, address) && !except.some((range) => inRange(range, address))
  }
  if (pod === undefined) return false
  const inNamespace =
    peer.namespaceSelector === undefined
      ? pod.namespace === policy.metadata.namespace
      : selects(peer.namespaceSelector, { "kubernetes.io/metadata.name": pod.namespace })
  return inNamespace && selects(peer.podSelector ?? {}, pod.labels)
}

const direction = (
  policies: ReadonlyArray<Policy>,
  type: "Ingress" | "Egress",
  self: Endpoint,
  other: Endpoint,
  { port, protocol }: Traffic
): boolean => {
  const { pod } = self
  if (pod === undefined) return true
  const applying = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      spec.policyTypes.includes(type) &&
      selects(spec.podSelector, pod.labels)
  )
  const rulesOf = ({ spec }: Policy) =>
    type === "Ingress"
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec.egress ?? []).map(({ ports, to }) => ({ peers: to, ports }))
  return (
    applying.length === 0 ||
    applying.some((policy) =>
      rulesOf(policy).some(
        ({ peers, ports }) =>
          (ports === undefined ||
            ports.some((allowed) => allowed.port === port && allowed.protocol === protocol)) &&
          (peers === undefined || peers.some((peer) => isPeer(peer, policy, other)))
      )
    )
  )
}

/** Whether `traffic` may pass: the source's policies let it out, and the destination's let it in. */
export const isAllowed = (policies: ReadonlyArray<Policy>, traffic: Traffic): boolean =>
  direction(policies, "Egress", traffic.source, traffic.destination, traffic) &&
  direction(policies, "Ingress", traffic.destination, traffic.source, traffic)
