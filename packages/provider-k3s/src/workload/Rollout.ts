/** Rollout: waits, on watches, until the applied revision runs, or until it is clear that it will not. */
import {
  type Applied,
  ServiceNotFound,
  SupersededByNewer,
  type Workload
} from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { PodEvidence } from "@mcpdeploy/core/domain/Receipt"
import { RolloutDeadline } from "@mcpdeploy/core/domain/RolloutCause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ApiFailure, Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { explain } from "./Explain.ts"
import { defaultRolloutSeconds } from "../manifests/Deployment.ts"
import { labels } from "../manifests/Manifest.ts"
import { isEnding, isReady, Pod } from "./PodState.ts"
import { hurry } from "./ReadinessRequests.ts"
import * as Record from "../apply/Record.ts"
import {
  Deployment,
  judge,
  PodEvent,
  type RolloutState,
  unhealthyEvents,
  type Verdict
} from "./RolloutState.ts"
import { remember } from "./Seen.ts"
import { awaitEndpoints } from "./ServiceEndpoints.ts"
import { patiently } from "./Siblings.ts"

/** The rollout's state, each time something about it changes, and each second for what only time makes certain. */
const states = (api: KubernetesApi, { target }: Workload): Stream.Stream<RolloutState, ApiFailure> =>
  Stream.suspend(() => {
    const { namespace, service } = target
    let deployments: ReadonlyArray<Deployment> | undefined
    let pods: ReadonlyArray<Pod> | undefined
    let events: ReadonlyArray<PodEvent> = []
    let seen: RolloutState["seen"] = new Map()
    const all = (kind: (typeof kinds)[keyof typeof kinds]) => ({ kind, namespace, name: "" })
    return Stream.mergeAll(
      [
        watch(api, all(kinds.Deployment), Deployment, { field: `metadata.name=${service}` }).pipe(
          Stream.map((items) => void (deployments = items))
        ),
        watch(api, all(kinds.Pod), Pod, { label: `${labels.service}=${service}` }).pipe(
          Stream.map((items) => {
            pods = items
            seen = remember(seen, items)
          })
        ),
        watch(api, all(kinds.Event), PodEvent, { field: unhealthyEvents }).pipe(
          Stream.map((items) => void (events = items))
        ),
        Stream.tick("1 second"),
        Stream.fromEffectDrain(hurry(api, () => pods ?? []))
      ],
      { concurrency: "unbounded" }
    ).pipe(
      // Several changes that came together are judged once.
      Stream.mapArray(() => [undefined] as const),
      Stream.map(() =>
        deployments === undefined || pods === undefined ? [] : [{ deployments, pods, events, seen }]
      ),
      Stream.flattenIterable
    )
  })

/** Whose Deployment it is by now. */
const replaced = Effect.fnUntraced(function* (
  api: KubernetesApi,
  { generation, target }: Workload
): Effect.fn.Return<never, Failure> {
  const record = yield* Record.read(api, target)
  if (record === undefined) return yield* new ServiceNotFound({ target })
  return yield* new SupersededByNewer({
    generation,
    newer: Generation.make(record.generation),
    newerCommit: record.commit
  })
})

/** New pods in place of those that are not ready: they start at once, not when the back-off of many crashes is over. */
const renewPods = Effect.fnUntraced(function* (
  api: KubernetesApi,
  { target }: Workload,
  { revision }: Applied
): Effect.fn.Return<void, Failure> {
  const all = { kind: kinds.Pod, namespace: target.namespace, name: "" }
  const selector = `${labels.service}=${target.service},${labels.revision}=${revision}`
  const { items } = yield* api.list(all, { label: selector })
  for (const { metadata, ...rest } of items) {
    const pod = Schema.decodeUnknownOption(Pod)({ metadata, ...rest })
    if (Option.isNone(pod) || isReady(pod.value) || isEnding(pod.value)) continue
    yield* api
      .delete(
        { ...all, name: metadata.name },
        { propagation: "Background", precondition: { uid: metadata.uid } }
      )
      .pipe(
        // Without the right to it, kubelet starts the app again in its own time.
        Effect.catch((failure) => Effect.logDebug(`${metadata.name} stays: ${failure.message}`))
      )
  }
})

/** Waits for at most `run.rolloutSeconds`, and again for services that are deployed at the same time. */
export const awaitRollout = Effect.fn("Rollout.await")(
  (
    api: KubernetesApi,
    workload: Workload,
    applied: Applied
  ): Effect.Effect<ReadonlyArray<PodEvidence>, Failure> =>
    patiently(api, workload, "deploy", awaitOnce(api, workload, applied), renewPods(api, workload, applied))
)

/** Waits for at most `run.rolloutSeconds`. */
const awaitOnce = Effect.fnUntraced(function* (
  api: KubernetesApi,
  workload: Workload,
  applied: Applied
): Effect.fn.Return<ReadonlyArray<PodEvidence>, Failure> {
  const seconds = workload.run.rolloutSeconds ?? defaultRolloutSeconds
  let last: Verdict = { _tag: "Pending", trouble: undefined, detail: "the cluster has not begun" }
  // Since when the same kind of trouble has lasted.
  let since: { readonly tag: string; readonly at: number } | undefined

  /** The verdict in it, as soon as it is clear. */
  const settle = Effect.fnUntraced(function* (state: RolloutState): Effect.fn.Return<ReadonlyArray<Verdict>> {
    last = judge(state, { revision: applied.revision, port: workload.run.port })
    if (last._tag !== "Pending") return [last]
    const { trouble } = last
    if (trouble === undefined) {
      since = undefined
      return []
    }
    const now = yield* Clock.currentTimeMillis
    if (since?.tag !== trouble.cause._tag) since = { tag: trouble.cause._tag, at: now }
    const { certainAfter = Number.POSITIVE_INFINITY, isCertain } = trouble
    return isCertain || now - since.at >= certainAfter * 1000 ? [last] : []
  })

  const verdict = yield* states(api, workload).pipe(
    Stream.mapEffect(settle),
    Stream.flattenIterable,
    Stream.runHead,
    Effect.timeoutOption(`${seconds} seconds`),
    Effect.map(Option.flatten),
    Effect.map(Option.getOrElse((): Verdict => last))
  )
  switch (verdict._tag) {
    case "Ready":
      yield* awaitEndpoints(api, workload, verdict.pods)
      return verdict.pods
    case "Deleted":
      return yield* new ServiceNotFound({ target: workload.target })
    case "Replaced":
      return yield* replaced(api, workload)
    case "Pending": {
      const { detail, trouble } = verdict
      if (trouble === undefined) return yield* new RolloutDeadline({ seconds, detail })
      return yield* yield* explain(api, workload.target, trouble)
    }
  }
})
