/**
 * Who may talk to whom: nothing, except from the region's ingress and the same project to customer pods, and from
 * customer pods to the name server, the same project and the public internet.
 */
import type { V1NetworkPolicy } from "@kubernetes/client-node"
import type { Owner } from "@mcpdeploy/core/domain/Identity"
import type { RegionConfig } from "../RegionConfig.ts"
import { type Manifest, projectLabels } from "./Manifest.ts"

/**
 * IPv4 ranges that are not the public internet (IANA special-purpose registry, RFC 6890, multicast, reserved). The
 * metadata endpoint 169.254.169.254 is in 169.254.0.0/16.
 */
export const specialIpv4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4"
] as const

/**
 * All global unicast addresses of IPv6 are in 2000::/3 (RFC 4291); unique local, link-local, mapped, NAT64 and multicast
 * addresses are outside it. Inside it these are not the public internet: 2001::/23 (protocol assignments, Teredo among
 * them), documentation, and 6to4, which leads to any IPv4 address.
 */
export const globalIpv6 = "2000::/3"
export const specialIpv6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"] as const

const isIpv6 = (cidr: string): boolean => cidr.includes(":")
const isGlobalIpv6 = (cidr: string): boolean => /^[23][0-9a-f]{3}:/i.test(cidr)

const metadata = (owner: Owner, name: string) => ({
  name,
  namespace: owner.namespace,
  labels: projectLabels(owner)
})

const podsOf = (pods: RegionConfig["dnsPods"]) => ({
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": pods.namespace } },
  podSelector: { matchLabels: pods.labels }
})

/** Whatever no other policy allows is denied, in both directions. */
export const denyAll = (owner: Owner) =>
  ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: metadata(owner, "deny-all"),
    spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] }
  }) satisfies V1NetworkPolicy

// Not checked with `satisfies`: the library's type says `_from` for the API's `from`.
export const allowIngress = (owner: Owner, region: RegionConfig) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: metadata(owner, "allow-ingress"),
  spec: {
    podSelector: {},
    policyTypes: ["Ingress"],
    ingress: [{ from: [podsOf(region.ingressPods), { podSelector: {} }] }]
  }
})

export const allowEgress = (owner: Owner, region: RegionConfig) =>
  ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: metadata(owner, "allow-egress"),
    spec: {
      podSelector: {},
      policyTypes: ["Egress"],
      egress: [
        {
          to: [podsOf(region.dnsPods)],
          ports: [
            { protocol: "UDP", port: 53 },
            { protocol: "TCP", port: 53 }
          ]
        },
        { to: [{ podSelector: {} }] },
        {
          to: [
            {
              ipBlock: {
                cidr: "0.0.0.0/0",
                except: [...specialIpv4, ...region.clusterCidrs.filter((cidr) => !isIpv6(cidr))]
              }
            },
            {
              ipBlock: {
                cidr: globalIpv6,
                except: [...specialIpv6, ...region.clusterCidrs.filter(isGlobalIpv6)]
              }
            }
          ]
        }
      ]
    }
  }) satisfies V1NetworkPolicy

export const networkPolicies = (owner: Owner, region: RegionConfig): ReadonlyArray<Manifest> => [
  denyAll(owner),
  allowIngress(owner, region),
  allowEgress(owner, region)
]
