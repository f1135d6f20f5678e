/** PodState: what a pod's status says about the app in it, and why it is not ready. Pure. */
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import {
  AppCrashed,
  ContainerNotStarted,
  ImagePullFailed,
  OutOfMemory,
  type RolloutCause,
  Unschedulable
} from "@mcpdeploy/core/domain/RolloutCause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { labels } from "../manifests/Manifest.ts"

const Terminated = Schema.Struct({
  exitCode: Schema.Int,
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String)
})

const ContainerState = Schema.Struct({
  waiting: Schema.optionalKey(
    Schema.Struct({ reason: Schema.optionalKey(Schema.String), message: Schema.optionalKey(Schema.String) })
  ),
  running: Schema.optionalKey(Schema.Struct({})),
  terminated: Schema.optionalKey(Terminated)
})

export const Condition = Schema.Struct({
  type: Schema.String,
  status: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String),
  lastTransitionTime: Schema.optionalKey(Schema.NullOr(Schema.String))
})

/** A pod, as far as it is used (core/v1). */
export const Pod = Schema.Struct({
  metadata: Schema.Struct({
    name: Schema.String,
    uid: Schema.String,
    labels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    deletionTimestamp: Schema.optionalKey(Schema.String)
  }),
  spec: Schema.Struct({
    nodeName: Schema.optionalKey(Schema.String),
    containers: Schema.Array(
      Schema.Struct({
        image: Schema.optionalKey(Schema.String),
        resources: Schema.optionalKey(
          Schema.Struct({
            limits: Schema.optionalKey(Schema.Struct({ memory: Schema.optionalKey(Schema.String) }))
          })
        )
      })
    )
  }),
  status: Schema.Struct({
    phase: Schema.optionalKey(Schema.String),
    conditions: Schema.optionalKey(Schema.Array(Condition)),
    containerStatuses: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          ready: Schema.Boolean,
          restartCount: Schema.Int,
          imageID: Schema.optionalKey(Schema.String),
          containerID: Schema.optionalKey(Schema.String),
          state: Schema.optionalKey(ContainerState),
          lastState: Schema.optionalKey(ContainerState)
        })
      )
    )
  })
})
export type Pod = typeof Pod.Type

/** Why a pod is not ready. */
export interface Trouble {
  readonly cause: RolloutCause
  /** Waiting longer changes nothing. */
  readonly isCertain: boolean
  /** Seconds for which the trouble has to last before it is certain; absent when that alone says nothing. */
  readonly certainAfter?: number
  /** Which of the container's runs has the log that tells more. */
  readonly log?: "current" | "previous"
}

/** How many starts have to fail before a crash counts as a crash loop: an app may wait for its database. */
const certainRestarts = 2

/** Registries answer so when the image, or the permission, is not there; anything else may be a hiccup. */
const finalPullErrors =
  /not found|manifest unknown|name unknown|unauthorized|authorization failed|forbidden|denied|no match for platform|invalid reference|InvalidImageName/i

/** How many pulls have to fail, where the cause may be a hiccup. */
const certainPulls = 3

const pullReasons = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "ImageInspectError",
  "RegistryUnavailable",
  "SignatureValidationFailed"
])

const startReasons = new Set(["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])

export const containerOf = (pod: Pod) => pod.status.containerStatuses?.[0]

export const isReady = (pod: Pod): boolean =>
  pod.status.conditions?.some(({ status, type }) => type === "Ready" && status === "True") ?? false

export const isEnding = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined

/** Evicted, or its node went away: such a pod does not start again. */
export const hasEnded = ({ status }: Pod): boolean =>
  status.phase === "Failed" || status.phase === "Succeeded"

export const revisionOf = (pod: Pod): string | undefined => pod.metadata.labels?.[labels.revision]

/** The digest in `registry/name@sha256:…`, by which the container runtime pulled the image that runs. */
export const digestOf = (pod: Pod): ImageDigest | undefined => {
  const id = containerOf(pod)?.imageID ?? ""
  return Option.getOrUndefined(Schema.decodeOption(ImageDigest)(id.slice(id.lastIndexOf("@") + 1)))
}

/** Whether the last attempt to pull the image has failed; each change from false to true is one attempt. */
export const isPullFailing = (pod: Pod): boolean =>
  containerOf(pod)?.state?.waiting?.reason === "ErrImagePull"

/** Why the pod is not ready, where its status says it. `failedPulls` is how many attempts were seen to fail. */
export const troubleOf = (pod: Pod, failedPulls = 0): Trouble | undefined => {
  const name = pod.metadata.name
  const scheduled = pod.status.conditions?.find(({ type }) => type === "PodScheduled")
  if (scheduled?.status === "False" && scheduled.reason === "Unschedulable")
    return {
      cause: new Unschedulable({ pod: name, detail: scheduled.message ?? "no node fits" }),
      isCertain: false,
      certainAfter: 30
    }
  const container = containerOf(pod)
  if (container === undefined || isReady(pod)) return undefined
  const { lastState, restartCount, state } = container
  const waiting = state?.waiting
  const detail = waiting?.message ?? waiting?.reason ?? ""
  if (waiting?.reason !== undefined && pullReasons.has(waiting.reason))
    return {
      cause: new ImagePullFailed({ pod: name, image: pod.spec.containers[0]?.image ?? "", detail }),
      isCertain: finalPullErrors.test(detail) || failedPulls >= certainPulls
    }
  if (waiting?.reason !== undefined && startReasons.has(waiting.reason))
    return {
      cause: new ContainerNotStarted({ pod: name, detail }),
      isCertain: restartCount >= certainRestarts,
      certainAfter: 10
    }
  const ended = state?.terminated ?? (restartCount > 0 ? lastState?.terminated : undefined)
  if (ended === undefined) return undefined
  const log = state?.terminated === undefined ? "previous" : "current"
  if (ended.reason === "OOMKilled")
    return {
      cause: new OutOfMemory({
        pod: name,
        limit: pod.spec.containers[0]?.resources?.limits?.memory ?? "unknown size",
        lines: []
      }),
      isCertain: restartCount >= 1,
      log
    }
  if (ended.reason === "StartError" || ended.reason === "ContainerCannotRun")
    return {
      cause: new ContainerNotStarted({ pod: name, detail: ended.message ?? ended.reason }),
      isCertain: restartCount >= 1
    }
  return {
    cause: new AppCrashed({ pod: name, exitCode: ended.exitCode, restarts: restartCount, lines: [] }),
    isCertain: restartCount >= certainRestarts,
    log
  }
}
