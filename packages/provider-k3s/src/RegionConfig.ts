/** RegionConfig: what differs from one region to another, as far as workloads see it. */
import { CpuQuantity, MemoryQuantity } from "@mcpdeploy/core/domain/DeployRequest"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DomainsConfig } from "./domains/DomainsConfig.ts"

const Labels = Schema.Record(Schema.String, Schema.String)

/** Pods of another namespace: by the namespace's name and the pods' labels. */
const PodsOf = Schema.Struct({ namespace: Schema.String, labels: Labels })

/** An address range such as `10.42.0.0/16` or `fd00:42::/56`. */
const Cidr = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[0-9a-fA-F.:]+\/[0-9]{1,3}$/, { expected: "an address range such as 10.0.0.0/8" })
  )
)

const IngressEndpoint = Schema.String.pipe(
  Schema.check(
    Schema.makeFilter((text) =>
      URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? undefined : "an http or https URL"
    )
  )
)

/** What a container gets, and what it may ask for at most. */
const Limits = Schema.Struct({
  cpu: CpuQuantity,
  memory: MemoryQuantity,
  maxCpu: CpuQuantity,
  maxMemory: MemoryQuantity
})

const Part = Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0.001, maximum: 1 })))

/**
 * The part of its limits that a container reserves on its node. What idle apps use, because most are idle most of the time;
 * what they use above it they share, and under pressure for memory the node ends first who uses most above it.
 */
const Reserved = Schema.Struct({ cpu: Part, memory: Part })

/** What all services of one project may use together. A rollout needs room for one pod more of a service. */
const Quota = Schema.Struct({
  pods: Schema.Int,
  services: Schema.Int,
  cpu: CpuQuantity,
  memory: MemoryQuantity
})

/** What is to be known of a region's cluster. */
export class RegionConfig extends Schema.Class<RegionConfig>("mcpdeploy/provider-k3s/RegionConfig")({
  /** Path of a kubeconfig. Absent: `KUBECONFIG`, then the pod's own service account, then `~/.kube/config`. */
  kubeconfig: Schema.optionalKey(Schema.String),
  /** The kubeconfig's context; its current one when absent. */
  context: Schema.optionalKey(Schema.String),
  /** Services are reached at `{service}-{hash}.{platformDomain}`. */
  platformDomain: PlatformDomain,
  /**
   * Where the region's ingress accepts connections, asked with the platform host as `Host`. Absent: each service's own
   * `https://{platform host}`, as its users reach it.
   */
  ingressEndpoint: Schema.optionalKey(IngressEndpoint),
  ingressClass: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed("traefik"))),
  /** The only pods outside the project that may connect to customer pods. */
  ingressPods: PodsOf.pipe(
    Schema.withConstructorDefault(
      Effect.succeed({ namespace: "dp-system", labels: { "app.kubernetes.io/name": "traefik" } })
    )
  ),
  /** The cluster's name server. */
  dnsPods: PodsOf.pipe(
    Schema.withConstructorDefault(
      Effect.succeed({ namespace: "kube-system", labels: { "k8s-app": "kube-dns" } })
    )
  ),
  runtimeClass: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed("gvisor"))),
  /** Ranges of nodes, pods and services that are public addresses, so that customer pods do not reach them either. */
  clusterCidrs: Schema.Array(Cidr).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  limits: Limits.pipe(
    Schema.withConstructorDefault(
      Effect.succeed({ cpu: "1", memory: "512Mi", maxCpu: "8", maxMemory: "16Gi" })
    )
  ),
  /** 20m and 64Mi of the default limits. */
  reserved: Reserved.pipe(Schema.withConstructorDefault(Effect.succeed({ cpu: 0.02, memory: 0.125 }))),
  /** By limits, not by what is reserved. The default has room for 30 services of default size, all rolled out at once. */
  quota: Quota.pipe(
    Schema.withConstructorDefault(Effect.succeed({ pods: 60, services: 30, cpu: "64", memory: "32Gi" }))
  ),
  /** Custom domains. */
  domains: Schema.optionalKey(DomainsConfig),
  /**
   * How long a node may take to lead a service's own name to new pods: kube-proxy's `iptables.minSyncPeriod`, 1 s by default. A
   * deploy is good only after it, since the services beside it use that name; the request through the ingress takes part of it.
   */
  serviceSyncMs: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(1000))),
  /** How long the app may take to answer through the ingress after its pods are ready. */
  probeSeconds: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(30)))
}) {}
