/** OneOff: a command that runs once in what a receipt says, as a Job, so that the cluster ends it when nobody else can. */
import type { OneOff, OneOffEvent } from "@mcpdeploy/core/Workloads"
import { randomBytes } from "node:crypto"
import {
  NamespaceTerminating,
  restoredWorkload,
  RunDeadline,
  ServiceNotFound
} from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { PodsRefused } from "@mcpdeploy/core/domain/RolloutCause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, type ObjectRef } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { followRun, runOf } from "./Logs.ts"
import { oneOffJob, oneOffName } from "../manifests/Jobs.ts"
import { containerOf, Pod, troubleOf } from "./PodState.ts"
import * as Project from "../apply/Project.ts"
import * as Record from "../apply/Record.ts"
import type { RegionConfig } from "../RegionConfig.ts"

/** What the Job's own deadline takes longer than ours: it is for when this process is no longer there. */
const marginSeconds = 30
const removeTimeout = "45 seconds"

const JobEvent = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, uid: Schema.String }),
  message: Schema.optionalKey(Schema.String)
})

/** Why the controller makes no pod: quota, or an admission policy. */
const refusalOf = Effect.fnUntraced(function* (api: KubernetesApi, { name, namespace }: ObjectRef) {
  const { items } = yield* api.list(
    { kind: kinds.Event, namespace, name: "" },
    { field: `involvedObject.kind=Job,involvedObject.name=${name},reason=FailedCreate` }
  )
  const messages = yield* Effect.forEach(items, (item) =>
    Effect.orElseSucceed(
      Effect.map(Schema.decodeUnknownEffect(JobEvent)(item), ({ message }) => message),
      () => undefined
    )
  )
  return messages.findLast((message) => message !== undefined)
})

/** The pods of a Job. */
const watchPods = (api: KubernetesApi, { name, namespace }: ObjectRef) =>
  watch(api, { kind: kinds.Pod, namespace, name: "" }, Pod, { label: `job-name=${name}` })

/** Deletes the Job with its pod, and waits until both are gone. */
const remove = (api: KubernetesApi, ref: ObjectRef) =>
  Effect.gen(function* () {
    yield* api.delete(ref, { propagation: "Foreground" }).pipe(Effect.catchTag("NotFound", () => Effect.void))
    yield* watchPods(api, ref).pipe(
      Stream.takeUntil((pods) => pods.length === 0),
      Stream.runDrain
    )
  }).pipe(
    Effect.timeoutOption(removeTimeout),
    // The Job's own time limits remove it then.
    Effect.catch((failure) => Effect.logWarning(`Job ${ref.name} is left to the cluster: ${failure.message}`))
  )

/** The pod's states, from the first that says anything to the last. Fails when it is certain that it will not start. */
const podStates = (api: KubernetesApi, ref: ObjectRef): Stream.Stream<Pod, Failure> =>
  Stream.merge(watchPods(api, ref), Stream.as(Stream.tick("2 seconds"), undefined)).pipe(
    Stream.mapAccumEffect(
      (): { readonly pods: ReadonlyArray<Pod>; readonly ticks: number } => ({ pods: [], ticks: 0 }),
      Effect.fnUntraced(function* (
        state,
        pods: ReadonlyArray<Pod> | undefined
      ): Effect.fn.Return<
        readonly [{ readonly pods: ReadonlyArray<Pod>; readonly ticks: number }, ReadonlyArray<Pod>],
        Failure
      > {
        const next = { pods: pods ?? state.pods, ticks: state.ticks + (pods === undefined ? 1 : 0) }
        const [pod] = next.pods
        if (pod === undefined) {
          const detail = next.ticks > 1 ? yield* refusalOf(api, ref) : undefined
          if (detail !== undefined) return yield* new PodsRefused({ detail })
          return [next, []]
        }
        const trouble = runOf(pod).length === 0 ? troubleOf(pod) : undefined
        if (trouble?.isCertain === true) return yield* trouble.cause
        return [next, [pod]]
      })
    )
  )

export const run = (
  api: KubernetesApi,
  region: RegionConfig,
  target: ServiceTarget,
  { command, deadlineSeconds, receipt }: OneOff
): Stream.Stream<OneOffEvent, Failure> =>
  Stream.unwrap(
    Effect.gen(function* () {
      if ((yield* Project.find(api, target.owner)) === undefined)
        return yield* new ServiceNotFound({ target })
      const record = yield* Record.read(api, target)
      if (record === undefined) return yield* new ServiceNotFound({ target })
      const name = oneOffName(target, randomBytes(4).toString("hex"))
      const ref: ObjectRef = { kind: kinds.Job, namespace: target.namespace, name }
      const manifest = oneOffJob(restoredWorkload(target, receipt, receipt.generation), region, {
        ...{ name, command, secretName: receipt.secretName },
        deadlineSeconds: deadlineSeconds + marginSeconds
      })
      const owner = { apiVersion: "v1", kind: "ConfigMap", name: target.service, uid: record.uid }
      yield* Effect.acquireRelease(
        api.create({ ...manifest, metadata: { ...manifest.metadata, ownerReferences: [owner] } }, ref),
        () => remove(api, ref)
      )
      const started = yield* podStates(api, ref).pipe(
        Stream.flatMap((pod) => Stream.fromIterable(runOf(pod))),
        Stream.runHead,
        Effect.map(Option.getOrUndefined)
      )
      if (started === undefined) return yield* new NamespaceTerminating({ namespace: target.namespace })
      const exitCode = podStates(api, ref).pipe(
        Stream.map((pod) => containerOf(pod)?.state?.terminated?.exitCode),
        Stream.filter((code) => code !== undefined),
        Stream.take(1),
        Stream.map((code): OneOffEvent => ({ _tag: "Ended", exitCode: code }))
      )
      const lines = followRun(api, target, started, undefined).pipe(
        Stream.map(({ line }): OneOffEvent => ({ _tag: "Line", line }))
      )
      return Stream.concat(lines, exitCode)
    })
  ).pipe(
    Stream.interruptWhen(
      Effect.andThen(
        Effect.sleep(`${deadlineSeconds} seconds`),
        Effect.fail(new RunDeadline({ seconds: deadlineSeconds }))
      )
    )
  )
