/** Logs: the output of a service's pods, whole lines, across restarts of containers and rollouts. */
import type { LogLine } from "@mcpdeploy/core/Workloads"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ApiFailure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, type ObjectRef } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { containerName } from "../manifests/Deployment.ts"
import { labels } from "../manifests/Manifest.ts"
import { containerOf, Pod } from "./PodState.ts"

const podRef = ({ namespace }: ServiceTarget, name: string): ObjectRef => ({
  kind: kinds.Pod,
  namespace,
  name
})

const lines = (api: KubernetesApi, ref: ObjectRef, query: Readonly<Record<string, string>>) =>
  api.stream(ref, "/log", { container: containerName, ...query }).pipe(Stream.decodeText, Stream.splitLines)

/** The last lines of a container's present or previous run. */
export const lastLines = (
  api: KubernetesApi,
  target: ServiceTarget,
  pod: string,
  { previous, tail }: { readonly previous: boolean; readonly tail: number }
): Effect.Effect<ReadonlyArray<string>, ApiFailure> =>
  lines(api, podRef(target, pod), { tailLines: String(tail), previous: String(previous) }).pipe(
    Stream.runCollect,
    Effect.timeoutOrElse({ duration: "10 seconds", orElse: () => Effect.succeed([]) })
  )

/** One run of a pod's container. */
export interface Run {
  readonly pod: string
  readonly id: string
}

/** Runs that have a log: a container that has not started yet has none. */
export const runOf = (pod: Pod): ReadonlyArray<Run> => {
  const container = containerOf(pod)
  const id = container?.containerID
  const hasLog = container?.state?.running !== undefined || container?.state?.terminated !== undefined
  return id === undefined || !hasLog ? [] : [{ pod: pod.metadata.name, id }]
}

/** `2026-01-02T03:04:05.6Z` to `…05.600000000Z`, so that times compare as text. */
const comparable = (time: string): string => {
  const [seconds = "", fraction = ""] = time.replace("Z", "").split(".")
  return `${seconds}.${fraction.padEnd(9, "0")}`
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
        timestamps: "true",
        ...(from !== undefined
          ? { sinceTime: `${from.slice(0, 19)}Z` }
          : tail === undefined
            ? {}
            : { tailLines: String(tail) })
      }).pipe(
        Stream.map((line) => {
          const space = line.indexOf(" ")
          return { time: comparable(line.slice(0, space)), line: line.slice(space + 1) }
        }),
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
          Stream.map((line): LogLine => ({ pod: run.pod, line })),
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
