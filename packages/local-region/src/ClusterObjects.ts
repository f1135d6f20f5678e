/** What a region's cluster has besides workloads: the runtime class, the ingress class, DNS, their rights, admission. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import type { KubeObject } from "./KubeApi.ts"
import * as Network from "./Network.ts"
import { toolchainFolder } from "./Recipe.ts"

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

const AdmissionObjects = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({
      apiVersion: Schema.Literal("admissionregistration.k8s.io/v1"),
      kind: Schema.Literals(["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]),
      metadata: Schema.StructWithRest(Schema.Struct({ name: Schema.String }), [
        Schema.Record(Schema.String, Schema.Json)
      ]),
      spec: Schema.JsonObject
    })
  )
)

const admissionCollections = {
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
  ValidatingAdmissionPolicyBinding: "validatingadmissionpolicybindings"
} as const

/**
 * What the cluster refuses in customer namespaces, as a real region does. The file is written, and kept equal to the
 * region's own, by a test of `@mcpdeploy/provider-k3s`.
 */
export const admissionObjects = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(join(toolchainFolder, "cluster", "admission.json"))
  return (yield* Schema.decodeEffect(AdmissionObjects)(text)).map((object): KubeObject => ({
    collection: `/apis/admissionregistration.k8s.io/v1/${admissionCollections[object.kind]}`,
    object
  }))
})
