/** Every field that a customer's objects must not have, one case each, and objects that they may be. */
import type { Kind } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import type { Manifest } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import type * as Schema from "effect/Schema"

export const kind = (name: string, apiVersion: string, plural: string): Kind => ({
  kind: name,
  apiVersion,
  plural,
  namespaced: true
})

type Fields = Schema.JsonObject

export const container = (more: Fields = {}): Fields => ({ name: "app", image: "library/busybox", ...more })
export const podSpec = (more: Fields = {}): Fields => ({
  runtimeClassName: "gvisor",
  automountServiceAccountToken: false,
  restartPolicy: "Always",
  containers: [container()],
  ...more
})

const inContainer = (more: Fields): Fields => podSpec({ containers: [container(more)] })
const volume = (source: Fields): Fields => podSpec({ volumes: [{ name: "v", ...source }] })
const security = (securityContext: Fields): Fields => inContainer({ securityContext })

/** What is refused, by the words of the refusal. */
export const forbiddenPods: ReadonlyArray<readonly [refusal: string, spec: Fields]> = [
  ["runtimeClassName is gvisor", { automountServiceAccountToken: false, containers: [container()] }],
  ["hostNetwork", podSpec({ hostNetwork: true })],
  ["hostPID", podSpec({ hostPID: true })],
  ["hostIPC", podSpec({ hostIPC: true })],
  ["automountServiceAccountToken", { runtimeClassName: "gvisor", containers: [container()] }],
  ["automountServiceAccountToken", podSpec({ automountServiceAccountToken: true })],
  ["volumes are", volume({ hostPath: { path: "/" } })],
  ["volumes are", volume({ nfs: { server: "10.0.0.1", path: "/" } })],
  ["volumes are", volume({ persistentVolumeClaim: { claimName: "c" } })],
  ["volumes are", volume({ csi: { driver: "d" } })],
  ["volumes are", volume({ iscsi: { targetPortal: "10.0.0.1", iqn: "iqn.2001-04.a:b", lun: 0 } })],
  ["volumes are", volume({ image: { reference: "a" } })],
  ["projected volume", volume({ projected: { sources: [{ serviceAccountToken: { path: "token" } }] } })],
  [
    "projected volume",
    volume({ projected: { sources: [{ clusterTrustBundle: { name: "b", path: "p" } }] } })
  ],
  ["privileged", security({ privileged: true })],
  [
    "privileged",
    podSpec({ initContainers: [container({ name: "i", securityContext: { privileged: true } })] })
  ],
  ["procMount", podSpec({ hostUsers: false, ...security({ procMount: "Unmasked" }) })],
  ["default capabilities", security({ capabilities: { add: ["SYS_ADMIN"] } })],
  ["default capabilities", security({ capabilities: { add: ["NET_RAW"] } })],
  ["hostPort", inContainer({ ports: [{ containerPort: 80, hostPort: 80 }] })],
  [
    "hostPort",
    podSpec({ initContainers: [container({ name: "i", ports: [{ containerPort: 80, hostPort: 80 }] })] })
  ],
  ...["livenessProbe", "readinessProbe", "startupProbe"].flatMap((probe) => [
    ["name no host", inContainer({ [probe]: { httpGet: { host: "169.254.169.254", port: 80 } } })] as const,
    ["name no host", inContainer({ [probe]: { tcpSocket: { host: "10.43.0.1", port: 443 } } })] as const
  ]),
  ...["postStart", "preStop"].map(
    (hook) =>
      [
        "name no host",
        inContainer({ lifecycle: { [hook]: { httpGet: { host: "10.43.0.1", port: 80 } } } })
      ] as const
  ),
  ["sysctls", podSpec({ securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] } })],
  ["nodeName", podSpec({ nodeName: "ctrl-1" })],
  ["priorityClassName", podSpec({ priorityClassName: "system-node-critical" })],
  ["resourceClaims", podSpec({ resourceClaims: [{ name: "c", resourceClaimName: "c" }] })]
]

export const allowedPods: Readonly<Record<string, Fields>> = {
  plain: podSpec(),
  "as root with the default capabilities": security({
    runAsUser: 0,
    capabilities: { add: ["CHOWN", "SETUID", "SETGID", "NET_BIND_SERVICE"] }
  }),
  "with volumes of its own": podSpec({
    volumes: [
      { name: "a", emptyDir: {} },
      { name: "b", configMap: { name: "c" } },
      { name: "c", secret: { secretName: "s" } },
      { name: "d", projected: { sources: [{ secret: { name: "s" } }] } }
    ]
  }),
  "with probes of itself": inContainer({
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { port: 8080, httpHeaders: [{ name: "Host", value: "a.ml.ink" }] } },
    lifecycle: { preStop: { sleep: { seconds: 5 } } }
  })
}

const labelled = { labels: { app: "x" } }
const selector = { matchLabels: labelled.labels }
const object = (kind: Kind, namespace: string, rest: Fields, metadata: Fields = {}): Manifest => ({
  apiVersion: kind.apiVersion,
  kind: kind.kind,
  metadata: { name: "x", namespace, ...metadata },
  ...rest
})

type OfPod = (namespace: string, spec: Fields, annotations?: Fields) => Manifest
const template = (spec: Fields, annotations: Fields = {}): Fields => ({
  metadata: { ...labelled, annotations },
  spec
})

const job = kind("Job", "batch/v1", "jobs")
const once = (spec: Fields): Fields => ({ ...spec, restartPolicy: "Never" })

/** A pod by itself, and all that make pods. */
export const podKinds: ReadonlyArray<readonly [Kind, OfPod]> = [
  ...[kind("Pod", "v1", "pods")].map(
    (it) =>
      [
        it,
        (namespace: string, spec: Fields, annotations: Fields = {}) =>
          object(it, namespace, { spec }, { annotations })
      ] as const
  ),
  ...[
    kind("Deployment", "apps/v1", "deployments"),
    kind("ReplicaSet", "apps/v1", "replicasets"),
    kind("DaemonSet", "apps/v1", "daemonsets"),
    kind("StatefulSet", "apps/v1", "statefulsets")
  ].map(
    (it) =>
      [
        it,
        (namespace: string, spec: Fields, annotations?: Fields) =>
          object(it, namespace, {
            spec: {
              selector,
              ...(it.kind === "StatefulSet" ? { serviceName: "x" } : {}),
              template: template(spec, annotations)
            }
          })
      ] as const
  ),
  ...[kind("ReplicationController", "v1", "replicationcontrollers")].map(
    (it) =>
      [
        it,
        (namespace: string, spec: Fields, annotations?: Fields) =>
          object(it, namespace, {
            spec: { selector: labelled.labels, template: template(spec, annotations) }
          })
      ] as const
  ),
  ...[kind("PodTemplate", "v1", "podtemplates")].map(
    (it) =>
      [
        it,
        (namespace: string, spec: Fields, annotations?: Fields) =>
          object(it, namespace, { template: template(spec, annotations) })
      ] as const
  ),
  [
    job,
    (namespace, spec, annotations) =>
      object(job, namespace, { spec: { template: template(once(spec), annotations) } })
  ],
  ...[kind("CronJob", "batch/v1", "cronjobs")].map(
    (it) =>
      [
        it,
        (namespace: string, spec: Fields, annotations?: Fields) =>
          object(it, namespace, {
            spec: {
              schedule: "0 0 * * *",
              jobTemplate: { spec: { template: template(once(spec), annotations) } }
            }
          })
      ] as const
  )
]

const service = kind("Service", "v1", "services")
const ingress = kind("Ingress", "networking.k8s.io/v1", "ingresses")
const ports = [{ port: 80 }]
const select = { selector: { app: "x" } }

const rule = (host: string | undefined, path: Fields = {}): Fields => ({
  ...(host === undefined ? {} : { host }),
  http: {
    paths: [
      { path: "/", pathType: "Prefix", backend: { service: { name: "x", port: { number: 80 } } }, ...path }
    ]
  }
})
const ingressSpec = (host: string | undefined, more: Fields = {}): Fields => ({
  spec: { ingressClassName: "traefik", rules: [rule(host)], ...more }
})
const own = "x-abcdefghijaaaaaa.ml.ink"
const traefik = (name: string, value: string): Fields => ({
  annotations: { [`traefik.ingress.kubernetes.io/${name}`]: value }
})

type Case = readonly [refusal: string, kind: Kind, fields: Fields, metadata?: Fields]
const secret = kind("Secret", "v1", "secrets")
const role = kind("Role", "rbac.authorization.k8s.io/v1", "roles")
const slice = kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
const roleBinding = kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings")

export const forbiddenObjects: ReadonlyArray<Case> = [
  ["type ClusterIP", service, { spec: { type: "NodePort", ports, ...select } }],
  ["type ClusterIP", service, { spec: { type: "LoadBalancer", ports, ...select } }],
  ["type ClusterIP", service, { spec: { type: "ExternalName", externalName: "metadata.internal" } }],
  ["externalIPs", service, { spec: { externalIPs: ["10.43.0.1"], ports, ...select } }],
  ["selects pods", service, { spec: { ports } }],
  ["speaks h2c", service, { spec: { ports, ...select } }, traefik("service.serverstransport", "dp-x-y@file")],
  ["speaks h2c", service, { spec: { ports, ...select } }, traefik("service.serversscheme", "https")],
  ["speaks h2c", service, { spec: { ports, ...select } }, traefik("service.nodeportlb", "true")],
  ["ingressClassName", ingress, ingressSpec(own, { ingressClassName: "nginx" })],
  ["ingressClassName", ingress, { spec: { rules: [rule(own)] } }],
  [
    "default backend",
    ingress,
    ingressSpec(own, { defaultBackend: { service: { name: "x", port: { number: 80 } } } })
  ],
  ["names one host", ingress, ingressSpec(undefined)],
  ["names one host", ingress, ingressSpec("*.ml.ink")],
  ["names one host", ingress, ingressSpec("*.example.com")],
  ["platform host", ingress, ingressSpec("ml.ink")],
  ["platform host", ingress, ingressSpec("grafana.ml.ink")],
  ["platform host", ingress, ingressSpec("cname.ml.ink")],
  ["platform host", ingress, ingressSpec("other-abcdefghijaaaaaa.ml.ink")],
  ["platform host", ingress, ingressSpec("x-abcdefghij.deeper.ml.ink")],
  ["tls is for", ingress, ingressSpec(own, { tls: [{ hosts: ["bank.example.com"], secretName: "s" }] })],
  [
    "leads to a service",
    ingress,
    ingressSpec(own, {
      rules: [
        rule(own, {
          backend: { resource: { apiGroup: "traefik.io", kind: "TraefikService", name: "api@internal" } }
        })
      ]
    })
  ],
  ["no backtick", ingress, ingressSpec(own, { rules: [rule(own, { path: "/`) || PathPrefix(`/" })] })],
  [
    "annotations for Traefik",
    ingress,
    ingressSpec(own),
    traefik("router.middlewares", "dp-system-auth@kubernetescrd")
  ],
  ["annotations for Traefik", ingress, ingressSpec(own), traefik("router.priority", "1000")],
  ["annotations for Traefik", ingress, ingressSpec(own), traefik("router.entrypoints", "traefik")],
  [
    "annotations for Traefik",
    ingress,
    ingressSpec(own),
    { annotations: { "kubernetes.io/ingress.class": "traefik" } }
  ],
  [
    "no service-account token",
    secret,
    { type: "kubernetes.io/service-account-token" },
    { annotations: { "kubernetes.io/service-account.name": "default" } }
  ],
  [
    "only the cluster's controllers",
    slice,
    { addressType: "IPv4", endpoints: [{ addresses: ["10.44.0.9"] }], ports: [{ port: 80 }] },
    { labels: { "kubernetes.io/service-name": "x" } }
  ],
  ["not allowed here", role, { rules: [] }],
  [
    "not allowed here",
    roleBinding,
    {
      subjects: [],
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" }
    }
  ]
]

export const allowedObjects: ReadonlyArray<readonly [string, Kind, Fields, Fields?]> = [
  ["a service", service, { spec: { ports, ...select } }],
  ["a headless service", service, { spec: { clusterIP: "None", ports, ...select } }],
  [
    "a service that speaks h2c",
    service,
    { spec: { ports, ...select } },
    traefik("service.serversscheme", "h2c")
  ],
  ["a platform host", ingress, ingressSpec(own)],
  [
    "a host of its own",
    ingress,
    ingressSpec("www.example.com", { tls: [{ hosts: ["www.example.com"], secretName: "s" }] })
  ],
  ["Traefik's entry point", ingress, ingressSpec(own), traefik("router.entrypoints", "websecure")],
  ["a secret", secret, { type: "Opaque" }],
  ["a TLS secret", secret, { type: "kubernetes.io/tls", data: { "tls.crt": "", "tls.key": "" } }]
]

export const objectOf = object
