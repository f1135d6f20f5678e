/** K3sClusterApplier: {@link ClusterApplier} on Kubernetes. */
import { ClusterApplier, restoredWorkload, type Workload } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import { failed } from "../kubernetes/ContractFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { probe } from "../workload/Probe.ts"
import { awaitRollout } from "../workload/Rollout.ts"
import { patiently } from "../workload/Siblings.ts"
import * as Delete from "./Delete.ts"
import * as Project from "./Project.ts"
import { applyService, planService } from "./ServiceObjects.ts"

export const make = (api: KubernetesApi, region: RegionConfig): ClusterApplier["Service"] => {
  const secretsOf = { _tag: "FromWorkload" } as const
  return ClusterApplier.of({
    claim: Effect.fn("ClusterApplier.claim")(
      function* (target) {
        yield* Project.claimNamespace(api, target.owner)
      },
      (effect, target) => Effect.mapError(effect, failed("claim", target))
    ),
    plan: Effect.fn("ClusterApplier.plan")(
      (workload: Workload) => planService(api, region, workload),
      (effect, { target }) => Effect.mapError(effect, failed("plan", target))
    ),
    apply: Effect.fn("ClusterApplier.apply")(
      (workload: Workload) => applyService(api, region, workload, secretsOf, false),
      (effect, { target }) => Effect.mapError(effect, failed("apply", target))
    ),
    awaitRollout: Effect.fn("ClusterApplier.awaitRollout")(
      (workload, applied) => awaitRollout(api, workload, applied),
      (effect, { target }) => Effect.mapError(effect, failed("rollout", target))
    ),
    probe: Effect.fn("ClusterApplier.probe")(
      (workload: Workload) =>
        Effect.zipWith(
          patiently(api, workload, "verify", probe(workload, region), Effect.void),
          Effect.sleep(region.serviceSyncMs),
          (evidence) => evidence,
          { concurrent: true }
        ),
      (effect, { target }) => Effect.mapError(effect, failed("probe", target))
    ),
    restore: Effect.fn("ClusterApplier.restore")(
      function* (target, receipt, generation) {
        const workload = restoredWorkload(target, receipt, generation)
        return yield* applyService(api, region, workload, { _tag: "Kept", name: receipt.secretName }, true)
      },
      (effect, target) => Effect.mapError(effect, failed("restore", target))
    ),
    delete: Effect.fn("ClusterApplier.delete")(
      (target) => Delete.deleteService(api, target),
      (effect, target) => Effect.mapError(effect, failed("delete", target))
    )
  })
}
