/** RolloutState: what a Deployment, its pods and their events say about a rollout. Pure, so that every cause is tested. */
import { AppNotReady, PodsRefused, QuotaExceeded } from "@mcpdeploy/core/domain/RolloutCause"
import type { PodEvidence } from "@mcpdeploy/core/domain/Receipt"
import * as Schema from "effect/Schema"
import { annotations, labels } from "../manifests/Manifest.ts"
import {
  Condition,
  containerOf,
  digestOf,
  endsOf,
  hasEnded,
  isEnding,
  isReady,
  type Pod,
  revisionOf,
  type Trouble,
  troubleOf
} from "./PodState.ts"
import type { Seen } from "./Seen.ts"

const Labels = Schema.optionalKey(Schema.Record(Schema.String, Schema.String))

/** A Deployment, as far as it is used (apps/v1). */
export const Deployment = Schema.Struct({
  metadata: Schema.Struct({
    name: Schema.String,
    generation: Schema.Int,
    annotations: Labels,
    deletionTimestamp: Schema.optionalKey(Schema.String)
  }),
  spec: Schema.Struct({
    replicas: Schema.Int,
    template: Schema.Struct({
      metadata: Schema.Struct({ labels: Labels }),
      spec: Schema.Struct({
        containers: Schema.Array(
          Schema.Struct({
            image: Schema.String,
            resources: Schema.optionalKey(
              Schema.Struct({
                limits: Schema.optionalKey(Schema.Struct({ cpu: Schema.String, memory: Schema.String }))
              })
            )
          })
        )
      })
    })
  }),
  status: Schema.Struct({
    observedGeneration: Schema.optionalKey(Schema.Int),
    updatedReplicas: Schema.optionalKey(Schema.Int),
    readyReplicas: Schema.optionalKey(Schema.Int),
    conditions: Schema.optionalKey(Schema.Array(Condition))
  })
})
export type Deployment = typeof Deployment.Type

/** An event about a pod (core/v1). */
export const PodEvent = Schema.Struct({
  involvedObject: Schema.Struct({ name: Schema.optionalKey(Schema.String) }),
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String)
})
export type PodEvent = typeof PodEvent.Type

/** Which events are asked for: those that say that a probe failed. */
export const unhealthyEvents = "involvedObject.kind=Pod,reason=Unhealthy"

export interface RolloutState {
  /** The service's Deployments: one, or none when it was deleted. */
  readonly deployments: ReadonlyArray<Deployment>
  readonly pods: ReadonlyArray<Pod>
  /** Events with the reason "Unhealthy": a probe failed. */
  readonly events: ReadonlyArray<PodEvent>
  /** What was seen of the pods before, by uid. */
  readonly seen: ReadonlyMap<string, Seen>
}

export interface Expected {
  readonly revision: string
  readonly port: number
}

export type Verdict =
  | { readonly _tag: "Pending"; readonly trouble: Trouble | undefined; readonly detail: string }
  | { readonly _tag: "Ready"; readonly pods: ReadonlyArray<PodEvidence> }
  /** The Deployment is no longer what was applied. */
  | { readonly _tag: "Replaced" }
  | { readonly _tag: "Deleted" }

export const generationOf = (deployment: Deployment): string | undefined =>
  deployment.metadata.annotations?.[annotations.generation]

/** The controller cannot make pods at all: there is none to look at. */
const refusalOf = (deployment: Deployment): Trouble | undefined => {
  const failure = deployment.status.conditions?.find(
    ({ status, type }) => type === "ReplicaFailure" && status === "True"
  )
  const detail = failure?.message
  if (detail === undefined) return undefined
  return {
    cause: /exceeded quota/.test(detail) ? new QuotaExceeded({ detail }) : new PodsRefused({ detail }),
    isCertain: false,
    // A pod of the service's last revision may just be leaving.
    certainAfter: 10
  }
}

/** The app runs and a probe fails: only time can tell whether it will answer. */
const unhealthyOf = (pod: Pod, events: ReadonlyArray<PodEvent>, port: number): Trouble | undefined => {
  const messages = events
    .filter(({ involvedObject }) => involvedObject.name === pod.metadata.name)
    .map(({ message }) => message ?? "")
  const detail = messages.at(-1)
  const container = containerOf(pod)
  if (detail === undefined || container === undefined || isReady(pod) || isEnding(pod)) return undefined
  const isKilledByProbe =
    container.restartCount > 0 && messages.some((message) => message.startsWith("Liveness probe"))
  if (container.state?.running === undefined && !isKilledByProbe) return undefined
  return {
    cause: new AppNotReady({
      pod: pod.metadata.name,
      port,
      detail,
      lines: [],
      ...(isKilledByProbe ? { killed: container.restartCount } : {})
    }),
    isCertain: false,
    run: container.state?.running === undefined ? (endsOf(pod).at(-1) ?? "running") : "running"
  }
}

/** The exit codes of an app that kubelet ends: by SIGKILL, or by SIGTERM where that sufficed. */
export const killedCodes = [137, 143]

/** A crash that its own probe has caused is told as what the probe says; all else as the pod's status has it. */
export const podTrouble = (
  pod: Pod,
  events: ReadonlyArray<PodEvent>,
  port: number,
  seen?: Seen
): Trouble | undefined => {
  const trouble = troubleOf(pod, seen)
  if (trouble === undefined) return unhealthyOf(pod, events, port)
  const isSignalled = trouble.cause._tag === "AppCrashed" && killedCodes.includes(trouble.cause.exitCode)
  return (isSignalled ? unhealthyOf(pod, events, port) : undefined) ?? trouble
}

const hopelessness = ({ certainAfter = Number.POSITIVE_INFINITY, isCertain }: Trouble): number =>
  isCertain ? 0 : certainAfter

/** The trouble that is certain, or will be first. */
const worst = (troubles: ReadonlyArray<Trouble>): Trouble | undefined =>
  troubles.toSorted((a, b) =>
    hopelessness(a) < hopelessness(b) ? -1 : hopelessness(a) > hopelessness(b) ? 1 : 0
  )[0]

export const judge = (state: RolloutState, { port, revision }: Expected): Verdict => {
  const [deployment] = state.deployments
  if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined)
    return { _tag: "Deleted" }
  if (deployment.spec.template.metadata.labels?.[labels.revision] !== revision) return { _tag: "Replaced" }
  const { spec, status } = deployment
  const pods = state.pods.filter((pod) => revisionOf(pod) === revision && !isEnding(pod))
  // That the new pods serve and the old ones are ending, the pods tell two controllers earlier than the Deployment's status.
  const isSettled =
    (status.observedGeneration ?? 0) >= deployment.metadata.generation &&
    (status.updatedReplicas ?? 0) === spec.replicas &&
    state.pods.every((pod) => revisionOf(pod) === revision || isEnding(pod) || hasEnded(pod))
  const evidence = pods.filter(isReady).flatMap((pod) => {
    const digest = digestOf(pod)
    return digest === undefined
      ? []
      : [{ name: pod.metadata.name, node: pod.spec.nodeName ?? "", digest } satisfies PodEvidence]
  })
  if (isSettled && evidence.length === spec.replicas) return { _tag: "Ready", pods: evidence }
  const refusal = pods.filter(isReady).length < spec.replicas ? refusalOf(deployment) : undefined
  const troubles = pods.flatMap(
    (pod) => podTrouble(pod, state.events, port, state.seen.get(pod.metadata.uid)) ?? []
  )
  return {
    _tag: "Pending",
    trouble: worst(refusal === undefined ? troubles : [...troubles, refusal]),
    detail: `${pods.filter(isReady).length} of ${spec.replicas} pods are ready`
  }
}

/** A port that the app's output says it listens on, and that is not the expected one. */
export const otherPort = (lines: ReadonlyArray<string>, port: number): number | undefined => {
  for (const line of lines.toReversed()) {
    const match = /(?:listen|running|serving|started|http:\/\/)[^\n]*?(?::|port[ =:]+)(\d{2,5})\b/i.exec(line)
    const found = Number(match?.[1])
    if (match !== null && found >= 1 && found <= 65535) return found === port ? undefined : found
  }
  return undefined
}
