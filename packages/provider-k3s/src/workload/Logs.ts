/** Logs: the output of a service's pods, whole lines, across restarts of containers and rollouts. */
import { ClusterUnreachable, ObjectInvalid } from "@mcpdeploy/core/ClusterApplier"
import type { LogLine } from "@mcpdeploy/core/Workloads"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ApiFailure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { containerName } from "../manifests/Deployment.ts"
import { labels } from "../manifests/Manifest.ts"
import { containerOf, endsOf, Pod, type Terminated } from "./PodState.ts"

const podRef = ({ namespace }: ServiceTarget, name: string): ObjectRef => ({
  kind: kinds.Pod,
  namespace,
  name
})

/** A line with the time at which it was written; times compare as text. */
interface StampedLine {
  readonly time: string
  readonly line: string
}

const stamp = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z (.*)$/s

/** `2026-01-02T03:04:05.6Z` to `…05.600000000`. */
const comparable = (seconds: string, fraction = ""): string => `${seconds}.${fraction.padEnd(9, "0")}`

/**
 * The present run's lines, or the previous one's. Once its answer has begun kubelet can tell a failure only as text, such as
 * "unable to retrieve container logs for containerd://…", in an answer 200: what begins without a time is that.
 */
const lines = (
  api: KubernetesApi,
  ref: ObjectRef,
  query: Readonly<Record<string, string>>
): Stream.Stream<StampedLine, ApiFailure> =>
  Stream.suspend(() => {
    let time: string | undefined
    return api.stream(ref, "/log", { container: containerName, timestamps: "true", ...query }).pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.mapEffect((text) => {
        const [, seconds, fraction, line = text] = stamp.exec(text) ?? []
        if (seconds !== undefined) time = comparable(seconds, fraction)
        return time === undefined
          ? Effect.fail(new ObjectInvalid({ object: nameOf(ref), detail: text, causes: [] }))
          : Effect.succeed({ time, line })
      })
    )
  })

/** Where a run is looked for: as the present one, and as the one before, which it is as soon as the next has begun. */
export type Where = "current" | "previous"

const readTimeout = "10 seconds"

/** The last lines of the run that is found there, from its first second to its last where they are given. */
export const lastLines = (
  api: KubernetesApi,
  target: ServiceTarget,
  pod: string,
  where: Where,
  tail: number,
  { finishedAt, startedAt }: Pick<Terminated, "finishedAt" | "startedAt"> = {}
): Effect.Effect<ReadonlyArray<string>, ApiFailure> => {
  const ref = podRef(target, pod)
  const from = startedAt == null ? "" : comparable(startedAt.slice(0, 19))
  // Any fraction of that second.
  const to = finishedAt == null ? "~" : `${finishedAt.slice(0, 19)}.~`
  return lines(api, ref, { tailLines: String(tail), previous: String(where === "previous") }).pipe(
    Stream.filter(({ time }) => time >= from && time <= to),
    Stream.map(({ line }) => line),
    Stream.runCollect,
    Effect.timeoutOrElse({
      duration: readTimeout,
      orElse: () => Effect.fail(new ClusterUnreachable({ detail: `no log within ${readTimeout}` }))
    })
  )
}

/** One run of a pod's container. */
export interface Run {
  readonly pod: string
  readonly id: string
}

/**
 * The run whose log a pod has: the present one, or the last one while it waits for its next start. A container that has
 * not started yet has none.
 */
export const runOf = (pod: Pod): ReadonlyArray<Run> => {
  const container = containerOf(pod)
  const id = container?.containerID
  const hasLog = container?.state?.running !== undefined || endsOf(pod).length > 0
  return id === undefined || !hasLog ? [] : [{ pod: pod.metadata.name, id }]
}

/** Follows one run to its end. A connection that breaks is resumed after the last line that was seen. */
export const followRun = (
  api: KubernetesApi,
  target: ServiceTarget,
  run: Run,
  tail: number | undefined
): Stream.Stream<LogLine, ApiFailure> =>
  Stream.suspend(() => {
    let last: string | undefined
    const stillRuns = Effect.map(
      api.get(podRef(target, run.pod)).pipe(
        Effect.flatMap((live) => Schema.decodeUnknownEffect(Pod)(live)),
        Effect.option
      ),
      (pod) =>
        pod._tag === "Some" &&
        containerOf(pod.value)?.containerID === run.id &&
        containerOf(pod.value)?.state?.running !== undefined
    )
    const open = Stream.suspend(() => {
      const from = last
      return lines(api, podRef(target, run.pod), {
        follow: "true",
        ...(from !== undefined
          ? { sinceTime: `${from.slice(0, 19)}Z` }
          : tail === undefined
            ? {}
            : { tailLines: String(tail) })
      }).pipe(
        Stream.filter(({ time }) => from === undefined || time > from),
        Stream.map(({ line, time }): LogLine => {
          last = time
          return { pod: run.pod, line }
        })
      )
    })
    return open.pipe(
      Stream.retry(($) =>
        $(Schedule.spaced("500 millis")).pipe(
          Schedule.upTo({ duration: "60 seconds" }),
          Schedule.while(({ input }) => input._tag === "ClusterUnreachable")
        )
      ),
      // The API server ends a follow when it restarts itself, although the container runs on.
      Stream.repeat(($) => $(Schedule.spaced("200 millis")).pipe(Schedule.while(() => stillRuns))),
      // A pod that is gone has no more lines.
      Stream.catchTag(["NotFound", "ObjectInvalid"], () => Stream.empty)
    )
  })

/** Lines of all pods of a service. `follow` goes on until interrupted; `tail` is how many earlier lines of each pod come first. */
export const logs = (
  api: KubernetesApi,
  target: ServiceTarget,
  { follow, tail }: { readonly follow: boolean; readonly tail: number }
): Stream.Stream<LogLine, ApiFailure> => {
  const pods = watch(api, { kind: kinds.Pod, namespace: target.namespace, name: "" }, Pod, {
    label: `${labels.service}=${target.service}`
  })
  if (!follow)
    return pods.pipe(
      Stream.take(1),
      Stream.map((items) => items.flatMap(runOf)),
      Stream.flattenIterable,
      Stream.flatMap((run) =>
        lines(api, podRef(target, run.pod), { tailLines: String(tail) }).pipe(
          Stream.map(({ line }): LogLine => ({ pod: run.pod, line })),
          Stream.catchTag(["NotFound", "ObjectInvalid"], () => Stream.empty)
        )
      )
    )
  return Stream.suspend(() => {
    const seen = new Set<string>()
    let isFirst = true
    return pods.pipe(
      Stream.map((items) => {
        const fresh = items.flatMap(runOf).filter(({ id }) => !seen.has(id))
        const started = fresh.map((run) => ({ run, tail: isFirst ? tail : undefined }))
        for (const { id } of fresh) seen.add(id)
        isFirst = false
        return started
      }),
      Stream.flattenIterable,
      Stream.flatMap(({ run, tail }) => followRun(api, target, run, tail), {
        concurrency: "unbounded",
        bufferSize: 16
      })
    )
  })
}
