/** Rollout: waits, on watches, until the applied revision runs, or until it is clear that it will not. */
import {
  type Applied,
  ServiceNotFound,
  SupersededByNewer,
  type Workload
} from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { PodEvidence } from "@mcpdeploy/core/domain/Receipt"
import {
  AppCrashed,
  AppNotReady,
  OutOfMemory,
  type RolloutCause,
  RolloutDeadline
} from "@mcpdeploy/core/domain/RolloutCause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ApiFailure, Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { lastLines } from "./Logs.ts"
import { defaultRolloutSeconds } from "../manifests/Deployment.ts"
import { labels } from "../manifests/Manifest.ts"
import { isPullFailing, Pod, type Trouble } from "./PodState.ts"
import * as Record from "../apply/Record.ts"
import { Deployment, judge, otherPort, PodEvent, type RolloutState, type Verdict } from "./RolloutState.ts"

/** How many of a container's last lines stand in an error. */
const shownLines = 20

/** The rollout's state, each time something about it changes, and each second for what only time makes certain. */
const states = (api: KubernetesApi, { target }: Workload): Stream.Stream<RolloutState, ApiFailure> =>
  Stream.suspend(() => {
    const { namespace, service } = target
    let deployments: ReadonlyArray<Deployment> | undefined
    let pods: ReadonlyArray<Pod> | undefined
    let events: ReadonlyArray<PodEvent> = []
    const failedPulls = new Map<string, number>()
    let failing = new Set<string>()
    const countPulls = (pods: ReadonlyArray<Pod>) => {
      const now = new Set(pods.filter(isPullFailing).map(({ metadata }) => metadata.uid))
      for (const uid of now) if (!failing.has(uid)) failedPulls.set(uid, (failedPulls.get(uid) ?? 0) + 1)
      failing = now
    }
    const all = (kind: (typeof kinds)[keyof typeof kinds]) => ({ kind, namespace, name: "" })
    return Stream.mergeAll(
      [
        watch(api, all(kinds.Deployment), Deployment, { field: `metadata.name=${service}` }).pipe(
          Stream.map((items) => void (deployments = items))
        ),
        watch(api, all(kinds.Pod), Pod, { label: `${labels.service}=${service}` }).pipe(
          Stream.map((items) => {
            pods = items
            countPulls(items)
          })
        ),
        watch(api, all(kinds.Event), PodEvent, { field: "involvedObject.kind=Pod,reason=Unhealthy" }).pipe(
          Stream.map((items) => void (events = items))
        ),
        Stream.tick("1 second")
      ],
      { concurrency: "unbounded" }
    ).pipe(
      // Several changes that came together are judged once.
      Stream.mapArray(() => [undefined] as const),
      Stream.map(() =>
        deployments === undefined || pods === undefined ? [] : [{ deployments, pods, events, failedPulls }]
      ),
      Stream.flattenIterable
    )
  })

/** The cause, with the app's own last words where they tell more. */
const explain = Effect.fnUntraced(function* (
  api: KubernetesApi,
  { target }: Workload,
  { cause, log }: Trouble
): Effect.fn.Return<RolloutCause> {
  if (log === undefined || !("pod" in cause)) return cause
  const { pod } = cause
  const said = (previous: boolean) => lastLines(api, target, pod, { previous, tail: shownLines })
  const first = log === "previous"
  // Since the state was read, the kubelet may have begun the next run, or taken the last one's log away.
  const lines = yield* said(first).pipe(
    Effect.flatMap((lines) =>
      lines.length > 0 ? Effect.succeed(lines) : Effect.orElseSucceed(said(!first), () => lines)
    ),
    // The cause itself matters more than that its log is gone.
    Effect.catch((failure) =>
      Effect.orElseSucceed(said(!first), () => [`(the log cannot be read: ${failure.message})`])
    )
  )
  switch (cause._tag) {
    case "AppCrashed":
      return new AppCrashed({ ...cause, lines })
    case "OutOfMemory":
      return new OutOfMemory({ ...cause, lines })
    case "AppNotReady": {
      const other = otherPort(lines, cause.port)
      return new AppNotReady({ ...cause, lines, ...(other === undefined ? {} : { otherPort: other }) })
    }
    default:
      return cause
  }
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

/** Waits for at most `run.rolloutSeconds`. */
export const awaitRollout = Effect.fn("Rollout.await")(function* (
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
      return verdict.pods
    case "Deleted":
      return yield* new ServiceNotFound({ target: workload.target })
    case "Replaced":
      return yield* replaced(api, workload)
    case "Pending": {
      const { detail, trouble } = verdict
      if (trouble === undefined) return yield* new RolloutDeadline({ seconds, detail })
      return yield* yield* explain(api, workload, trouble)
    }
  }
})
