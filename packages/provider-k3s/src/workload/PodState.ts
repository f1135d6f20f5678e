/** PodState: what a pod's status says about the app in it, and why it is not ready. Pure. */
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import {
  AppCrashed,
  ContainerNotStarted,
  ImagePullFailed,
  OutOfMemory,
  PodEvicted,
  type RolloutCause,
  Unschedulable
} from "@mcpdeploy/core/domain/RolloutCause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { labels } from "../manifests/Manifest.ts"

/** How one run of a container ended. Times are whole seconds. */
export const Terminated = Schema.Struct({
  exitCode: Schema.Int,
  reason: Schema.optionalKey(Schema.String),
  /** Of a failed run the end of its output, because of `terminationMessagePolicy`. */
  message: Schema.optionalKey(Schema.String),
  startedAt: Schema.optionalKey(Schema.NullOr(Schema.String)),
  finishedAt: Schema.optionalKey(Schema.NullOr(Schema.String)),
  containerID: Schema.optionalKey(Schema.String)
})
export type Terminated = typeof Terminated.Type

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
    namespace: Schema.String,
    uid: Schema.String,
    labels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    deletionTimestamp: Schema.optionalKey(Schema.String)
  }),
  spec: Schema.Struct({
    nodeName: Schema.optionalKey(Schema.String),
    containers: Schema.Array(
      Schema.Struct({
        image: Schema.optionalKey(Schema.String),
        ports: Schema.optionalKey(Schema.Array(Schema.Struct({ containerPort: Schema.Int }))),
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
    /** Of a pod that the cluster has ended as a whole, such as "Evicted". */
    reason: Schema.optionalKey(Schema.String),
    message: Schema.optionalKey(Schema.String),
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
  /** The run whose output tells more: the one that ended so, or the one that goes on. */
  readonly run?: Terminated | "running"
}

/** A crash loop is certain at the third end, whatever was written: an app may wait for its database. */
const certainRestarts = 2

/** Words of an app that waits for something: what may be there at the next start. */
const mayHeal =
  /refused|reset by|time[d -]*out|unreachable|unavailable|temporar|not (?:yet )?(?:ready|there|up|reachable|available|responding)|starting|waiting|wait for|retry|try again|in use|\bbusy\b|\block(?:ed)?\b|connect|resolve|lookup|host ?name|no such host|unknown host|name or service|getaddrinfo|socket|hang up|broken pipe|EAI_AGAIN|ENOTFOUND|E[A-Z]*CONN|EPIPE|\bDNS\b|\b50[234]\b/i

/** What differs from one run to the next although the cause is the same: times, process ids, addresses. */
const withoutNumbers = (text: string): string => text.replace(/(?:0x)?[0-9a-f]*[0-9][0-9a-f]*/gi, "#")

/**
 * Whether two ends, one after the other, leave no doubt: the same exit code after the same words, which are not those of an
 * app that waits. An app that twice ends with success does not go on running, whatever it waits for.
 */
export const isSameCrash = (one: Terminated, other: Terminated): boolean => {
  if (one.exitCode !== other.exitCode) return false
  if (one.exitCode === 0) return true
  const [words, otherWords] = [linesOf(one), linesOf(other)].map((lines) => withoutNumbers(lines.join("\n")))
  return words !== "" && words === otherWords && linesOf(one).every((line) => !mayHeal.test(line))
}

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

/** The port on which the app is expected; every pod of a service names it. */
export const portOf = (pod: Pod): number => pod.spec.containers[0]?.ports?.[0]?.containerPort ?? 0

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

/** How many of a container's last lines stand in an error. */
export const shownLines = 20

/** kubelet's note that the log was gone when it looked. */
const noMessage = "Error on reading termination message from logs"

/** The last lines of a run, as far as its end says them: at most 2048 bytes, and none of a run that succeeded. */
export const linesOf = ({ exitCode, message = "" }: Terminated): ReadonlyArray<string> =>
  exitCode === 0 || message.startsWith(noMessage) || message.trim() === ""
    ? []
    : message.replace(/\n$/, "").split("\n").slice(-shownLines)

/** The ends that a pod's status shows now, the latest last. */
export const endsOf = (pod: Pod): ReadonlyArray<Terminated> => {
  const container = containerOf(pod)
  return [container?.lastState?.terminated, container?.state?.terminated].filter((end) => end !== undefined)
}

/** What a pod's status said before, as far as it matters. */
export interface Past {
  /** How many attempts to pull its image failed. */
  readonly failedPulls: number
  /** How its runs ended, the latest last. */
  readonly ends: ReadonlyArray<Terminated>
}

/** The run could not begin because its pod's sandbox was gone: a memory limit ends the sandbox as a whole. */
const hasNoSandbox = ({ message = "", reason }: Terminated): boolean =>
  reason === "StartError" && /sandbox\b.*\bnot running/.test(message)

/** Why the pod is not ready, where its status says it. */
export const troubleOf = (
  pod: Pod,
  { ends, failedPulls }: Past = { failedPulls: 0, ends: endsOf(pod) }
): Trouble | undefined => {
  const name = pod.metadata.name
  // Who takes a pod away ends its app, too: that is no trouble of the app's.
  if (isEnding(pod)) return undefined
  const { message, phase, reason } = pod.status
  if (phase === "Failed" && reason !== undefined)
    return {
      cause: new PodEvicted({ pod: name, detail: message === undefined ? reason : `${reason}: ${message}` }),
      isCertain: false
    }
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
  const latest = state?.terminated ?? lastState?.terminated
  if (latest === undefined) return undefined
  // What took the sandbox away ended a run before; kubelet makes another sandbox.
  const ended = hasNoSandbox(latest) ? (ends.findLast((end) => !hasNoSandbox(end)) ?? latest) : latest
  // While the next run goes on, nothing is certain: it may be the one that succeeds.
  const isDown = state?.running === undefined
  if (ended.reason === "OOMKilled")
    return {
      cause: new OutOfMemory({
        pod: name,
        limit: pod.spec.containers[0]?.resources?.limits?.memory ?? "unknown size",
        lines: linesOf(ended)
      }),
      isCertain: isDown && restartCount >= 1,
      run: ended
    }
  if (ended.reason === "StartError" || ended.reason === "ContainerCannotRun")
    return {
      cause: new ContainerNotStarted({ pod: name, detail: ended.message ?? ended.reason }),
      isCertain: isDown && restartCount >= 1 && !hasNoSandbox(ended)
    }
  const [before, last] = ends.slice(-2)
  const isRepeated = before !== undefined && last !== undefined && isSameCrash(before, last)
  return {
    cause: new AppCrashed({
      pod: name,
      exitCode: ended.exitCode,
      restarts: restartCount,
      lines: linesOf(ended)
    }),
    isCertain: isDown && (restartCount >= certainRestarts || isRepeated),
    run: ended
  }
}
