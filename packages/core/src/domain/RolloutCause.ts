/**
 * Why an applied workload does not run: what the cluster says about it, as types. None of these is retryable by itself:
 * the same image with the same settings ends the same way.
 */
import * as Schema from "effect/Schema"

const lastLines = (lines: ReadonlyArray<string>): string =>
  lines.length === 0
    ? "; it wrote nothing"
    : `; its last lines:\n${lines.map((line) => `  ${line}`).join("\n")}`

const times = (count: number): string => (count === 1 ? "once" : `${count} times`)

/** The signals that end an app, by number (signal(7)). */
const signals: Readonly<Record<number, string>> = {
  2: "SIGINT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM"
}

/** Signals that come from outside an app as a rule. */
const isSentBySomeone = (signal: string): boolean => ["SIGINT", "SIGKILL", "SIGTERM"].includes(signal)

/** What an exit code says: of itself the app ends with a code, or by a fault; SIGTERM and SIGKILL someone has sent it. */
export const howItEnds = (exitCode: number): string => {
  if (exitCode === 0) return "ends at once with exit code 0, but a service must go on running"
  const signal = exitCode > 128 ? signals[exitCode - 128] : undefined
  if (signal === undefined) return `crashes with exit code ${exitCode}`
  return isSentBySomeone(signal)
    ? `is ended by ${signal} (exit code ${exitCode}), which an app is sent from outside as a rule`
    : `crashes by ${signal} (exit code ${exitCode})`
}

/** The node cannot get the image. `detail` is the container runtime's message. */
export class ImagePullFailed extends Schema.TaggedError<ImagePullFailed>()("ImagePullFailed", {
  pod: Schema.String,
  image: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the image ${this.image} cannot be pulled: ${this.detail}`
  }
}

/** The app ends by itself. `exitCode` is above 128 when a signal ended it (128 + the signal's number). */
export class AppCrashed extends Schema.TaggedError<AppCrashed>()("AppCrashed", {
  pod: Schema.String,
  exitCode: Schema.Int,
  restarts: Schema.Int,
  /** The container's last lines of output. */
  lines: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return `the app ${howItEnds(this.exitCode)} (started ${times(this.restarts + 1)})${lastLines(this.lines)}`
  }
}

/** The app needs more memory than `limit`. */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  pod: Schema.String,
  limit: Schema.String,
  lines: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return `the app was killed because it used more memory than its limit of ${this.limit}: raise run.memory${lastLines(this.lines)}`
  }
}

/** No node has room. `detail` is the scheduler's message. */
export class Unschedulable extends Schema.TaggedError<Unschedulable>()("Unschedulable", {
  pod: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `no node can take the app: ${this.detail}`
  }
}

/** The cluster has ended the pod as a whole, such as for the node's memory. `detail` is its reason. Another pod takes its place. */
export class PodEvicted extends Schema.TaggedError<PodEvicted>()("PodEvicted", {
  pod: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the cluster has ended the pod: ${this.detail}`
  }
}

/** The project's quota leaves no room. `detail` names what was asked, used and allowed. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the project's quota does not allow it: ${this.detail}: lower run.memory, run.cpu or run.replicas, or delete another service of the project`
  }
}

/** The cluster's admission refuses the pods, for another reason than the quota. */
export class PodsRefused extends Schema.TaggedError<PodsRefused>()("PodsRefused", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the cluster refuses the app's pods: ${this.detail}`
  }
}

/** The container cannot be made or started, such as a command that is not in the image. */
export class ContainerNotStarted extends Schema.TaggedError<ContainerNotStarted>()("ContainerNotStarted", {
  pod: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the app's container cannot be started: ${this.detail}`
  }
}

/** The app runs, but does not answer on its port or fails its health check. `detail` is the probe's last message. */
export class AppNotReady extends Schema.TaggedError<AppNotReady>()("AppNotReady", {
  pod: Schema.String,
  port: Schema.Int,
  detail: Schema.String,
  /** A port that the app's own output says it listens on, where that is another. */
  otherPort: Schema.optionalKey(Schema.Int),
  /** How often the kubelet has ended the app for it; absent where it has not. */
  killed: Schema.optionalKey(Schema.Int),
  lines: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    const refused = /refused/.test(this.detail)
    const cause = refused
      ? `nothing listens on port ${this.port} (on all addresses, not only 127.0.0.1)`
      : `it is not ready on port ${this.port}`
    const hint =
      this.otherPort === undefined
        ? refused
          ? ": the app must listen on the port in the environment variable PORT, or run.port must be the app's"
          : ""
        : `: it says it listens on ${this.otherPort}, so set run.port to ${this.otherPort} or let it listen on PORT`
    const killed =
      this.killed === undefined ? "" : `; the kubelet has ended it ${times(this.killed)} for that`
    return `the app runs, but ${cause}${hint} (${this.detail})${killed}${lastLines(this.lines)}`
  }
}

/** The rollout took longer than `run.rolloutSeconds`, with no clearer cause to be seen. */
export class RolloutDeadline extends Schema.TaggedError<RolloutDeadline>()("RolloutDeadline", {
  seconds: Schema.Finite,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the app was not ready within ${this.seconds} seconds: ${this.detail}`
  }
}

/** Why a rollout does not end well, as the cluster shows it. */
export const RolloutCause = Schema.Union([
  ImagePullFailed,
  AppCrashed,
  OutOfMemory,
  Unschedulable,
  PodEvicted,
  QuotaExceeded,
  PodsRefused,
  ContainerNotStarted,
  AppNotReady,
  RolloutDeadline
])
export type RolloutCause = typeof RolloutCause.Type
