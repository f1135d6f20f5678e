/** Status: what of a service runs now, as a person asks for it. */
import { ServiceNotFound, UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import type { PodStatus, ServiceStatus } from "@mcpdeploy/core/Workloads"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import { howItEnds } from "@mcpdeploy/core/domain/RolloutCause"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ApiFailure, Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { annotations, labels } from "../manifests/Manifest.ts"
import { urlOf } from "../manifests/PlatformUrl.ts"
import { explain } from "./Explain.ts"
import { containerOf, digestOf, endsOf, isEnding, isReady, Pod, portOf } from "./PodState.ts"
import * as Project from "../apply/Project.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { quotaRoom, regionRoom } from "./Room.ts"
import { Deployment, killedCodes, PodEvent, podTrouble, unhealthyEvents } from "./RolloutState.ts"

const Applied = Schema.Struct({
  [annotations.generation]: Schema.FiniteFromString.pipe(Schema.decodeTo(Generation)),
  [annotations.commit]: CommitSha
})

const decodeAs =
  <A>(schema: Schema.Decoder<A>, object: string) =>
  (value: unknown) =>
    Schema.decodeUnknownEffect(schema)(value).pipe(
      Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
    )

/** Why a pod that is ready was started anew, as far as its status says it. */
const lastEndOf = (pod: Pod, events: ReadonlyArray<PodEvent>): string | undefined => {
  const end = endsOf(pod).at(-1)
  if (end === undefined || !isReady(pod)) return undefined
  if (end.reason === "OOMKilled") return "the last run used more memory than its limit"
  const isKilled = events.some(
    ({ involvedObject, message = "" }) =>
      involvedObject.name === pod.metadata.name && message.startsWith("Liveness probe")
  )
  return isKilled && killedCodes.includes(end.exitCode)
    ? "the kubelet ended the last run, which did not answer any more"
    : `the last run ${end.exitCode === 0 ? "ended with exit code 0" : howItEnds(end.exitCode)}`
}

const podStatus = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  pod: Pod,
  events: ReadonlyArray<PodEvent>
): Effect.fn.Return<PodStatus> {
  const digest = digestOf(pod)
  const trouble = podTrouble(pod, events, portOf(pod))
  const explained = trouble === undefined ? undefined : yield* explain(api, target, trouble)
  const lastEnd = lastEndOf(pod, events)
  return {
    name: pod.metadata.name,
    ready: isReady(pod),
    phase: isEnding(pod) ? "Terminating" : (pod.status.phase ?? "Unknown"),
    restarts: containerOf(pod)?.restartCount ?? 0,
    ...(digest === undefined ? {} : { digest }),
    ...(explained === undefined ? {} : { trouble: explained.message }),
    ...(lastEnd === undefined ? {} : { lastEnd })
  }
})

const orAbsent = <A>(effect: Effect.Effect<A, ApiFailure>) =>
  effect.pipe(Effect.catchTag("NotFound", () => Effect.undefined))

export const status = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  region: RegionConfig
): Effect.fn.Return<ServiceStatus, Failure> {
  const ref = (kind: ObjectRef["kind"], name: string): ObjectRef => ({
    kind,
    namespace: target.namespace,
    name
  })
  yield* Project.find(api, target.owner)
  const [live, ingress, pods, events] = yield* Effect.all(
    [
      orAbsent(api.get(ref(kinds.Deployment, target.service))),
      orAbsent(api.get(ref(kinds.Ingress, target.service))),
      api.list(ref(kinds.Pod, ""), { label: `${labels.service}=${target.service}` }),
      api.list(ref(kinds.Event, ""), { field: unhealthyEvents })
    ],
    { concurrency: "unbounded" }
  )
  if (live === undefined) return yield* new ServiceNotFound({ target })
  const object = nameOf(ref(kinds.Deployment, target.service))
  const deployment = yield* decodeAs(Deployment, object)(live)
  const applied = yield* decodeAs(Applied, object)(live.metadata.annotations)
  const image = deployment.spec.template.spec.containers[0]?.image ?? ""
  const digest = yield* decodeAs(ImageDigest, object)(image.slice(image.lastIndexOf("@") + 1))
  const { limits = region.limits } = deployment.spec.template.spec.containers[0]?.resources ?? {}
  // An account that may not look at the nodes still sees its service.
  const [onNodes, inQuota] = yield* Effect.all(
    [Effect.option(regionRoom(api, region, limits)), Effect.option(quotaRoom(api, target.namespace, limits))],
    { concurrency: "unbounded" }
  )
  const room = {
    ...(Option.isSome(onNodes) ? { region: onNodes.value } : {}),
    ...(Option.isSome(inQuota) ? { project: inQuota.value } : {})
  }
  const items = yield* Effect.forEach(pods.items, decodeAs(Pod, "pods"))
  const unhealthy = yield* Effect.forEach(events.items, decodeAs(PodEvent, "events"))
  return {
    target,
    generation: applied[annotations.generation],
    commit: applied[annotations.commit],
    digest,
    replicas: deployment.spec.replicas,
    readyReplicas: deployment.status.readyReplicas ?? 0,
    ...(ingress === undefined
      ? {}
      : { url: urlOf(region, platformHost(target, region.platformDomain), "/") }),
    pods: yield* Effect.forEach(items, (pod) => podStatus(api, target, pod, unhealthy), {
      concurrency: "unbounded"
    }),
    ...(Object.keys(room).length === 0 ? {} : { room })
  }
})
