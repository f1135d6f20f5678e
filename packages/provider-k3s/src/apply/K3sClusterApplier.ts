/**
 * K3sClusterApplier: {@link ClusterApplier} on Kubernetes. Needs RuntimeClass gvisor, a Traefik ingress, and rights on the
 * kinds in kubernetes/Kind.ts (the README has them as a ClusterRole).
 */
import {
  ClusterApplier,
  ClusterApplierError,
  type ClusterApplierReason,
  ClusterUnreachable,
  type ClusterConfigInvalid,
  restoredWorkload,
  UnexpectedAnswer,
  type Workload,
  WriteConflict
} from "@mcpdeploy/core/ClusterApplier"
import { type Namespace, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Delete from "./Delete.ts"
import * as Images from "../catalog/Images.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import { kinds } from "../kubernetes/Kind.ts"
import * as KubeConfig from "../kubernetes/KubeConfig.ts"
import * as KubernetesApi from "../kubernetes/KubernetesApi.ts"
import * as Logs from "../workload/Logs.ts"
import * as OneOff from "../workload/OneOff.ts"
import { probe } from "../workload/Probe.ts"
import * as Project from "./Project.ts"
import * as Record from "./Record.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { awaitRollout } from "../workload/Rollout.ts"
import { applyService, listOf, planService, pruneSecrets } from "./ServiceObjects.ts"
import { status } from "../workload/Status.ts"

/** What the API server says, in the contract's words. */
const reasonOf = (failure: Failure): ClusterApplierReason => {
  switch (failure._tag) {
    case "Conflict":
    case "AlreadyExists":
      return new WriteConflict({ object: failure.object })
    case "NotFound":
      return new UnexpectedAnswer({ object: failure.object, detail: "it does not exist" })
    case "Expired":
      return new ClusterUnreachable({ detail: failure.message })
    default:
      return failure
  }
}

/** A failure in the words of the contracts. */
export const failed =
  (operation: string, target: ClusterApplierError["target"]) =>
  (failure: Failure): ClusterApplierError =>
    new ClusterApplierError({ operation, target, reason: reasonOf(failure) })

const make = (api: KubernetesApi.KubernetesApi, region: RegionConfig): ClusterApplier["Service"] => {
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
      (workload: Workload) => probe(workload, region),
      (effect, { target }) => Effect.mapError(effect, failed("probe", target))
    ),
    record: Effect.fn("ClusterApplier.record")(
      function* (target, receipt) {
        const [secrets] = yield* Effect.all(
          [listOf(api, target, kinds.Secret), Project.find(api, target.owner)],
          { concurrency: "unbounded" }
        )
        yield* pruneSecrets(api, target, secrets, yield* Record.addReceipt(api, target, receipt))
      },
      (effect, target) => Effect.mapError(effect, failed("record", target))
    ),
    history: Effect.fn("ClusterApplier.history")(
      function* (target) {
        if ((yield* Project.find(api, target.owner)) === undefined) return []
        return (yield* Record.read(api, target))?.receipts ?? []
      },
      (effect, target) => Effect.mapError(effect, failed("history", target))
    ),
    restore: Effect.fn("ClusterApplier.restore")(
      function* (target, receipt, generation) {
        const workload = restoredWorkload(target, receipt, generation)
        return yield* applyService(api, region, workload, { _tag: "Kept", name: receipt.secretName }, true)
      },
      (effect, target) => Effect.mapError(effect, failed("restore", target))
    ),
    status: Effect.fn("ClusterApplier.status")(
      (target: ServiceTarget) => status(api, target, region),
      (effect, target) => Effect.mapError(effect, failed("status", target))
    ),
    logs: (target, options) =>
      Stream.unwrap(Effect.as(Project.find(api, target.owner), Logs.logs(api, target, options))).pipe(
        Stream.mapError(failed("logs", target))
      ),
    run: (target, oneOff) =>
      OneOff.run(api, region, target, oneOff).pipe(Stream.mapError(failed("run", target))),
    hasProject: Effect.fn("ClusterApplier.hasProject")(
      function* (owner) {
        return yield* Project.find(api, owner).pipe(
          Effect.map((live) => live !== undefined),
          Effect.catchTag("NamespaceTerminating", () => Effect.succeed(true))
        )
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    services: Effect.fn("ClusterApplier.services")(
      function* (owner) {
        const live = yield* Project.find(api, owner).pipe(
          Effect.catchTag("NamespaceTerminating", () => Effect.undefined)
        )
        if (live === undefined) return []
        const names = yield* Project.services(api, owner)
        return names.map((service) => new ServiceTarget({ owner, service }))
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    images: Effect.fn("ClusterApplier.images")(
      (namespace?: Namespace) => Images.images(api, namespace),
      (effect, namespace) => Effect.mapError(effect, failed("look-up", namespace ?? "all services"))
    ),
    delete: Effect.fn("ClusterApplier.delete")(
      (target: ServiceTarget) => Delete.deleteService(api, target),
      (effect, target) => Effect.mapError(effect, failed("delete", target))
    ),
    deleteProject: Effect.fn("ClusterApplier.deleteProject")(
      (owner) => Delete.deleteProject(api, owner),
      (effect, owner) => Effect.mapError(effect, failed("delete", owner.namespace))
    )
  })
}

/** Connects with the first request. Fails only when no access to a cluster is configured. */
export const layer = (region: RegionConfig): Layer.Layer<ClusterApplier, ClusterConfigInvalid> =>
  Layer.effect(
    ClusterApplier,
    Effect.gen(function* () {
      const access = yield* KubeConfig.load(region)
      return make(yield* KubernetesApi.make(access), region)
    })
  )
