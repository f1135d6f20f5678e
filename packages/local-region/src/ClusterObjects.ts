/** What a region's cluster has besides workloads: the runtime class, the ingress class, DNS, and their rights. */
import type { KubeObject } from "./KubeApi.ts"
import * as Network from "./Network.ts"

/** The label that RuntimeClass `gvisor` puts customer pods by, as the run-pool's nodes have it in a real region. */
export const runPool: Readonly<Record<string, string>> = { "mcpdeploy.io/pool": "run" }

export const systemNamespace = "dp-system"
export const runtimeClass = "gvisor"
export const ingressClass = "traefik"

const rbac = "/apis/rbac.authorization.k8s.io/v1"

const rights = (user: string, rules: ReadonlyArray<unknown>): ReadonlyArray<KubeObject> => [
  {
    collection: `${rbac}/clusterroles`,
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: `mcpdeploy:${user}` },
      rules
    }
  },
  {
    collection: `${rbac}/clusterrolebindings`,
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: `mcpdeploy:${user}` },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: `mcpdeploy:${user}` },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: `system:${user}` }]
    }
  }
]

const watch = ["get", "list", "watch"]
const dnsPorts = ["UDP", "TCP"].map((protocol) => ({
  name: `dns-${protocol.toLowerCase()}`,
  port: 53,
  protocol
}))

/** In the order in which they are applied. */
export const clusterObjects: ReadonlyArray<KubeObject> = [
  {
    collection: "/api/v1/namespaces",
    object: { apiVersion: "v1", kind: "Namespace", metadata: { name: systemNamespace } }
  },
  {
    collection: "/apis/node.k8s.io/v1/runtimeclasses",
    object: {
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name: runtimeClass },
      handler: "gvisor",
      scheduling: { nodeSelector: runPool }
    }
  },
  {
    collection: "/apis/networking.k8s.io/v1/ingressclasses",
    object: {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: { name: ingressClass },
      spec: { controller: "traefik.io/ingress-controller" }
    }
  },
  ...rights("traefik", [
    { apiGroups: [""], resources: ["services", "secrets", "nodes", "namespaces"], verbs: watch },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: watch },
    { apiGroups: ["networking.k8s.io"], resources: ["ingresses", "ingressclasses"], verbs: watch },
    { apiGroups: ["networking.k8s.io"], resources: ["ingresses/status"], verbs: ["update"] }
  ]),
  ...rights("coredns", [
    { apiGroups: [""], resources: ["services", "pods", "namespaces"], verbs: watch },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: watch }
  ]),
  {
    // CoreDNS runs beside the cluster, on the node's address: the service has no pods to select.
    collection: "/api/v1/namespaces/kube-system/services",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
      spec: { clusterIP: Network.services.dns, ports: dnsPorts.map((port) => ({ ...port, targetPort: 53 })) }
    }
  },
  {
    collection: "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
    object: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "kube-dns-node",
        namespace: "kube-system",
        labels: { "kubernetes.io/service-name": "kube-dns" }
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [Network.pods.node], conditions: { ready: true } }],
      ports: dnsPorts
    }
  }
]
