/**
 * K3sCluster: what core asks of a cluster, on Kubernetes: `ClusterApplier`, `Receipts`, `Workloads`, `Projects`. Needs
 * RuntimeClass gvisor, a Traefik ingress, and rights on the objects of customer namespaces.
 */
import { ClusterApplier, type ClusterConfigInvalid } from "@mcpdeploy/core/ClusterApplier"
import { Projects } from "@mcpdeploy/core/Projects"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as K3sClusterApplier from "./apply/K3sClusterApplier.ts"
import * as K3sReceipts from "./apply/K3sReceipts.ts"
import * as K3sProjects from "./catalog/K3sProjects.ts"
import * as KubeConfig from "./kubernetes/KubeConfig.ts"
import * as KubernetesApi from "./kubernetes/KubernetesApi.ts"
import type { RegionConfig } from "./RegionConfig.ts"
import * as K3sWorkloads from "./workload/K3sWorkloads.ts"

/** Connects with the first request. Fails only when no access to a cluster is configured. */
export const layer = (
  region: RegionConfig
): Layer.Layer<ClusterApplier | Receipts | Workloads | Projects, ClusterConfigInvalid> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const api = yield* KubernetesApi.make(yield* KubeConfig.load(region))
      return Context.make(ClusterApplier, K3sClusterApplier.make(api, region)).pipe(
        Context.add(Receipts, K3sReceipts.make(api)),
        Context.add(Workloads, K3sWorkloads.make(api, region)),
        Context.add(Projects, K3sProjects.make(api))
      )
    })
  )
