/** The control plane and the node: etcd, kube-apiserver, controllers, scheduler, kubelet and kube-proxy. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Certificates from "../Certificates.ts"
import { admissionObjects, clusterObjects, runPool } from "../ClusterObjects.ts"
import * as Health from "../Health.ts"
import * as KubeApi from "../KubeApi.ts"
import { RegionEnded } from "../LocalRegionError.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import * as Containerd from "./Containerd.ts"

const inBundle = `https://127.0.0.1:${Network.guestPorts.api}`

const Node = Schema.fromJsonString(
  Schema.Struct({
    status: Schema.Struct({
      conditions: Schema.optionalKey(
        Schema.Array(Schema.Struct({ type: Schema.String, status: Schema.String }))
      )
    })
  })
)

/** Paths of what several components are told. */
const files = Effect.map(Supervision, ({ folder }) => ({
  certificate: (name: string) => join(folder.certificates, name),
  kubeconfig: (name: string) => join(folder.configuration, `${name}.kubeconfig`),
  configuration: (name: string) => join(folder.configuration, name)
}))

/** Writes every component's kubeconfig, and that of people and tools outside the bundle. */
export const kubeconfigs = Effect.fn("Kubernetes.kubeconfigs")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, settings } = yield* Supervision
  const { kubeconfig } = yield* files
  yield* Effect.forEach(
    ["controller-manager", "scheduler", "proxy", "dns", "traefik", "kubelet"],
    Effect.fnUntraced(function* (name) {
      const text = yield* Certificates.kubeconfig(folder.certificates, name, inBundle)
      yield* fs.writeFileString(kubeconfig(name), text, { mode: 0o600 })
    }),
    { discard: true }
  )
  const outside = `https://127.0.0.1:${settings.ports.api}`
  const text = yield* Certificates.kubeconfig(folder.certificates, "admin", outside)
  yield* fs.writeFileString(folder.kubeconfig, text, { mode: 0o600 })
})

const etcd = "http://127.0.0.1:2379"

export const startEtcd = Effect.fn("Kubernetes.startEtcd")(function* () {
  const { folder, program } = yield* Supervision
  yield* Server.start({
    name: "etcd",
    command: yield* program("etcd-server", "etcd"),
    args: [
      ...["--data-dir", folder.state("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd],
      ...["--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn"]
    ],
    healthy: Health.http(`${etcd}/health`)
  })
})

export const startApiServer = Effect.fn("Kubernetes.startApiServer")(function* () {
  const { folder, program } = yield* Supervision
  const { certificate } = yield* files
  yield* Server.start({
    name: "kube-apiserver",
    command: yield* program("kubernetes", "kube-apiserver"),
    args: [
      `--etcd-servers=${etcd}`,
      "--bind-address=0.0.0.0",
      `--secure-port=${Network.guestPorts.api}`,
      `--advertise-address=${Network.pods.node}`,
      "--endpoint-reconciler-type=none",
      `--service-cluster-ip-range=${Network.services.cidr}`,
      "--authorization-mode=Node,RBAC",
      "--allow-privileged=true",
      `--client-ca-file=${certificate("ca.crt")}`,
      `--tls-cert-file=${certificate("apiserver.crt")}`,
      `--tls-private-key-file=${certificate("apiserver.key")}`,
      `--kubelet-certificate-authority=${certificate("ca.crt")}`,
      `--kubelet-client-certificate=${certificate("apiserver.crt")}`,
      `--kubelet-client-key=${certificate("apiserver.key")}`,
      "--kubelet-preferred-address-types=InternalIP",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${certificate("service-account.pub")}`,
      `--service-account-signing-key-file=${certificate("service-account.key")}`,
      "--profiling=false"
    ],
    healthy: KubeApi.call(folder.certificates, { method: "GET", path: "/readyz" }),
    deadline: "90 seconds"
  })
})

export const startControllers = Effect.fn("Kubernetes.startControllers")(function* () {
  const { program } = yield* Supervision
  const { certificate, kubeconfig } = yield* files
  yield* Server.start({
    name: "kube-controller-manager",
    command: yield* program("kubernetes", "kube-controller-manager"),
    args: [
      `--kubeconfig=${kubeconfig("controller-manager")}`,
      "--leader-elect=false",
      "--bind-address=127.0.0.1",
      "--use-service-account-credentials=true",
      `--service-account-private-key-file=${certificate("service-account.key")}`,
      `--root-ca-file=${certificate("ca.crt")}`
    ],
    healthy: Health.accepts({ host: "127.0.0.1", port: 10_257 })
  })
})

export const startScheduler = Effect.fn("Kubernetes.startScheduler")(function* () {
  const { program } = yield* Supervision
  const { kubeconfig } = yield* files
  yield* Server.start({
    name: "kube-scheduler",
    command: yield* program("kubernetes", "kube-scheduler"),
    args: [`--kubeconfig=${kubeconfig("scheduler")}`, "--leader-elect=false", "--bind-address=127.0.0.1"],
    healthy: Health.accepts({ host: "127.0.0.1", port: 10_259 })
  })
})

export const startProxy = Effect.fn("Kubernetes.startProxy")(function* () {
  const { program } = yield* Supervision
  const { kubeconfig } = yield* files
  yield* Server.start({
    name: "kube-proxy",
    command: yield* program("kubernetes", "kube-proxy"),
    args: [
      `--kubeconfig=${kubeconfig("proxy")}`,
      "--proxy-mode=iptables",
      // A new pod is reached by its service's name at once, not up to a second later.
      "--iptables-min-sync-period=100ms",
      `--cluster-cidr=${Network.pods.cidr}`,
      `--hostname-override=${Certificates.nodeName}`,
      "--healthz-bind-address=127.0.0.1:10256",
      "--metrics-bind-address=127.0.0.1:10249",
      // The table's size is the machine's, not the bundle's.
      "--conntrack-max-per-core=0",
      "--conntrack-tcp-timeout-established=0",
      "--conntrack-tcp-timeout-close-wait=0"
    ],
    healthy: Health.accepts({ host: "127.0.0.1", port: 10_256 })
  })
})

export const startKubelet = Effect.fn("Kubernetes.startKubelet")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, settings, program } = yield* Supervision
  const { certificate, kubeconfig, configuration } = yield* files
  const file = configuration("kubelet.json")
  yield* fs.writeFileString(
    file,
    JSON.stringify({
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: certificate("ca.crt") }
      },
      authorization: { mode: "Webhook" },
      tlsCertFile: certificate("kubelet.crt"),
      tlsPrivateKeyFile: certificate("kubelet.key"),
      address: Network.pods.node,
      healthzBindAddress: "127.0.0.1",
      containerRuntimeEndpoint: `unix://${Containerd.socket}`,
      clusterDNS: [Network.services.dns],
      clusterDomain: "cluster.local",
      resolvConf: configuration("resolv.conf"),
      podLogsDir: join(folder.logs, "pods"),
      volumePluginDir: join(folder.state("kubelet"), "volume-plugins"),
      cgroupRoot: `/${settings.cgroup}/pods`,
      cgroupDriver: "cgroupfs",
      failCgroupV1: false,
      failSwapOn: false,
      enforceNodeAllocatable: [],
      localStorageCapacityIsolation: false,
      serializeImagePulls: false,
      maxPods: 500,
      // A developer's disk may be nearly full; the defaults would evict everything.
      evictionHard: { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
      // Images are cheap to keep; garbage collection starts late.
      imageGCHighThresholdPercent: 99,
      imageGCLowThresholdPercent: 95,
      nodeStatusUpdateFrequency: "5s"
    })
  )
  yield* Server.start({
    name: "kubelet",
    command: yield* program("kubernetes", "kubelet"),
    args: [
      `--config=${file}`,
      `--kubeconfig=${kubeconfig("kubelet")}`,
      `--root-dir=${folder.state("kubelet")}`,
      `--hostname-override=${Certificates.nodeName}`,
      `--node-ip=${Network.pods.node}`,
      `--node-labels=${Object.entries(runPool)
        .map(([key, value]) => `${key}=${value}`)
        .join(",")}`
    ],
    healthy: Health.http("http://127.0.0.1:10248/healthz")
  })
})

export const applyClusterObjects = Effect.fn("Kubernetes.applyClusterObjects")(function* () {
  const { folder } = yield* Supervision
  const admission = yield* Effect.orDie(admissionObjects)
  yield* Effect.forEach(
    [...clusterObjects, ...admission],
    (each) => KubeApi.applyWhenServed(folder.certificates, each),
    { discard: true }
  ).pipe(Effect.mapError((error) => new RegionEnded({ detail: error.message })))
})

/** The node takes pods. */
export const awaitNode = Effect.fn("Kubernetes.awaitNode")(function* () {
  const { folder } = yield* Supervision
  yield* KubeApi.call(folder.certificates, {
    method: "GET",
    path: `/api/v1/nodes/${Certificates.nodeName}`
  }).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Node)),
    Effect.filterOrFail(
      (node) =>
        node.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
      () => new Health.NotHealthy({ detail: "the node is not Ready" })
    ),
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.timeout("90 seconds"),
    Effect.mapError((error) => new RegionEnded({ detail: `the node did not get ready: ${error.message}` }))
  )
})
