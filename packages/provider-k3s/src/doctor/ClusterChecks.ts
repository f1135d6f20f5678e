/** What can be wrong with a region's cluster, as the API server tells it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { domainSettings } from "../domains/DomainsConfig.ts"
import type { ApiFailure } from "../kubernetes/ApiFailure.ts"
import { type Kind, kinds, type ObjectRef } from "../kubernetes/Kind.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { admissionObjects } from "../manifests/Admission.ts"
import { labels } from "../manifests/Manifest.ts"
import { resourcesOf } from "../manifests/Quantity.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { regionRoom } from "../workload/Room.ts"
import { type Check, checked, failed, type Finding, named, ok, warning } from "./Finding.ts"

/** Kinds of the cluster itself. */
const cluster = (kind: string, apiVersion: string, plural: string): Kind => ({
  kind,
  apiVersion,
  plural,
  namespaced: false
})
const clusterKinds = {
  Node: cluster("Node", "v1", "nodes"),
  RuntimeClass: cluster("RuntimeClass", "node.k8s.io/v1", "runtimeclasses"),
  IngressClass: cluster("IngressClass", "networking.k8s.io/v1", "ingressclasses"),
  ClusterIssuer: cluster("ClusterIssuer", "cert-manager.io/v1", "clusterissuers")
}

const one = (kind: Kind, name: string): ObjectRef => ({ kind, namespace: undefined, name })
const all = (kind: Kind): ObjectRef => one(kind, "")

const Conditions = Schema.optionalKey(
  Schema.Array(
    Schema.Struct({ type: Schema.String, status: Schema.String, message: Schema.optionalKey(Schema.String) })
  )
)
const Node = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({ unschedulable: Schema.optionalKey(Schema.Boolean) }),
  status: Schema.Struct({
    conditions: Conditions,
    nodeInfo: Schema.Struct({ kubeletVersion: Schema.String })
  })
})
const Deployment = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, namespace: Schema.String }),
  spec: Schema.Struct({ replicas: Schema.optionalKey(Schema.Int) }),
  status: Schema.optionalKey(Schema.Struct({ availableReplicas: Schema.optionalKey(Schema.Int) }))
})
const Certificate = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, namespace: Schema.String }),
  status: Schema.optionalKey(
    Schema.Struct({ conditions: Conditions, notAfter: Schema.optionalKey(Schema.String) })
  )
})
const Issuer = Schema.Struct({
  status: Schema.optionalKey(Schema.Struct({ conditions: Conditions }))
})

const isTrue = (conditions: typeof Conditions.Type | undefined, type: string): boolean =>
  conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false

const decoded = <A>(schema: Schema.Codec<A, unknown>) => {
  const decode = Schema.decodeUnknownEffect(Schema.Array(schema))
  return (items: ReadonlyArray<unknown>) => decode(items)
}
const nodesOf = decoded(Node)
const deploymentsOf = decoded(Deployment)
const certificatesOf = decoded(Certificate)
const issuersOf = decoded(Issuer)

const pressures = ["DiskPressure", "MemoryPressure", "PIDPressure"]

const nodeFindings = ({ metadata: { name }, spec, status }: typeof Node.Type): ReadonlyArray<Finding> => {
  const check = `node ${name}`
  if (!isTrue(status.conditions, "Ready"))
    return [failed(check, "it is not ready", `kubectl describe node ${name}`)]
  const pressed = pressures.filter((type) => isTrue(status.conditions, type))
  if (pressed.length > 0)
    return [
      warning(check, pressed.join(", "), "pods are evicted from it: free space or memory, or add a node")
    ]
  if (spec.unschedulable === true)
    return [
      warning(
        check,
        "it takes no new pods (cordoned)",
        `kubectl uncordon ${name}, when its maintenance is over`
      )
    ]
  return [ok(check, `ready, ${status.nodeInfo.kubeletVersion}`)]
}

const reach = "check the kubeconfig, its rights, and that the API server is up"

const nodes = (api: KubernetesApi): Check =>
  api.list(all(clusterKinds.Node)).pipe(
    Effect.flatMap(({ items }) => nodesOf(items)),
    Effect.map((found) =>
      found.length === 0
        ? failed("nodes", "the cluster has none", "add one: nothing can run")
        : found.flatMap(nodeFindings)
    ),
    checked("API server", reach)
  )

/** Whether there is such an object; `missing` when there is none. */
const exists = (
  api: KubernetesApi,
  check: string,
  kind: Kind,
  name: string,
  advice: string
): Effect.Effect<Finding, ApiFailure> =>
  api.get(one(kind, name)).pipe(
    Effect.as(ok(check, `${kind.kind} ${name}`)),
    Effect.catchTag("NotFound", () => Effect.succeed(failed(check, `no ${kind.kind} ${name}`, advice)))
  )

const admission = (api: KubernetesApi, region: RegionConfig): Check => {
  const wanted = admissionObjects(region).map(({ kind, metadata }) => ({ kind, name: metadata.name }))
  const kindOf = (kind: string) =>
    cluster(
      kind,
      "admissionregistration.k8s.io/v1",
      kind === "ValidatingAdmissionPolicy"
        ? "validatingadmissionpolicies"
        : "validatingadmissionpolicybindings"
    )
  return Effect.forEach(wanted, ({ kind, name }) =>
    Effect.map(Effect.option(api.get(one(kindOf(kind), name))), (found): ReadonlyArray<string> =>
      found._tag === "None" ? [`${kind} ${name}`] : []
    )
  ).pipe(
    Effect.map((missing) => missing.flat()),
    Effect.map((missing) =>
      missing.length === 0
        ? ok("admission", `${wanted.length} objects of policies are there`)
        : failed(
            "admission",
            `missing: ${named(missing)}`,
            "kubectl apply --server-side -f k8s/admission.yaml of the region: until then nothing keeps a pod from running without its sandbox"
          )
    ),
    checked("admission", reach)
  )
}

const services = (api: KubernetesApi): Check =>
  api.list(all(kinds.Deployment), { label: `${labels.managedBy}=mcpdeploy` }).pipe(
    Effect.flatMap(({ items }) => deploymentsOf(items)),
    Effect.map((found) => {
      const down = found
        .filter(({ spec, status }) => (status?.availableReplicas ?? 0) < (spec.replicas ?? 1))
        .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
      return down.length === 0
        ? ok("services", `${found.length}, all with the replicas they want`)
        : warning(
            "services",
            `${down.length} of ${found.length} have fewer replicas than they want: ${named(down)}`,
            "mcpdeploy status of each tells why"
          )
    }),
    checked("services", reach)
  )

/** Fewer than this, and the next deploys may find no node: a rollout needs one pod more of each service. */
const fewPods = 5

const room = (api: KubernetesApi, region: RegionConfig): Check => {
  const { limits, reserved } = region
  const { cpu, memory } = resourcesOf(limits, reserved).requests
  return regionRoom(api, region, limits).pipe(
    Effect.map((count) => {
      const detail = `${count} more services of the default size fit, which reserve ${cpu} CPU and ${memory} each`
      return count < fewPods
        ? warning("room", detail, "add a run node, or lower `reserved` in the region's settings")
        : ok("room", detail)
    }),
    checked("room", reach)
  )
}

/** cert-manager renews after two thirds of 90 days: less than this means that renewals have failed for weeks. */
const renewalDays = 14
const day = 86_400_000

const certificates = (api: KubernetesApi, region: RegionConfig): Check => {
  const { issuer } = domainSettings(region)
  const advice = "see that cert-manager runs: kubectl -n cert-manager get pods"
  const issuing = api.get(one(clusterKinds.ClusterIssuer, issuer)).pipe(
    Effect.flatMap((live) => issuersOf([live])),
    Effect.map(([found]) =>
      isTrue(found?.status?.conditions, "Ready")
        ? ok("certificates", `ClusterIssuer ${issuer} is ready`)
        : failed(
            "certificates",
            `ClusterIssuer ${issuer} is not ready: ${found?.status?.conditions?.[0]?.message ?? "cert-manager has not looked at it"}`,
            advice
          )
    ),
    checked("certificates", `${advice}; kubectl apply -f k8s/clusterissuer.yaml of the region`)
  )
  const expiring = Effect.gen(function* () {
    const { items } = yield* api.list(all(kinds.Certificate))
    const now = yield* Clock.currentTimeMillis
    const late = (yield* certificatesOf(items)).filter(
      ({ status }) => status?.notAfter !== undefined && Date.parse(status.notAfter) - now < renewalDays * day
    )
    return late.length === 0
      ? []
      : [
          warning(
            "certificates",
            `less than ${renewalDays} days left: ${named(late.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`))}`,
            "mcpdeploy domain status of each tells what keeps it from being renewed"
          )
        ]
  }).pipe(checked("certificates", advice))
  return Effect.map(Effect.all([issuing, expiring], { concurrency: 2 }), (found) => found.flat())
}

/** A namespace that is never stored: the server does everything else. */
const rights = (api: KubernetesApi): Check => {
  const name = "dp-doctor-check"
  return api
    .validate({ apiVersion: "v1", kind: "Namespace", metadata: { name } }, one(kinds.Namespace, name))
    .pipe(
      Effect.as(ok("rights", "namespaces may be made")),
      checked(
        "rights",
        "the credentials of the kubeconfig may not make namespaces: give them the deployer's role"
      )
    )
}

export const clusterChecks = (api: KubernetesApi, region: RegionConfig): ReadonlyArray<Check> => [
  nodes(api),
  rights(api),
  exists(
    api,
    "sandbox",
    clusterKinds.RuntimeClass,
    region.runtimeClass,
    "install gVisor on the run nodes and make its RuntimeClass: no pod can start without it"
  ).pipe(checked("sandbox", reach)),
  exists(
    api,
    "ingress class",
    clusterKinds.IngressClass,
    region.ingressClass,
    "install the ingress controller: no service is reachable without it"
  ).pipe(checked("ingress class", reach)),
  admission(api, region),
  services(api),
  room(api, region),
  ...(region.domains === undefined ? [] : [certificates(api, region)])
]
