/** Workloads: what runs of a service now, for who looks after it: its state, its output, a command beside it. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ClusterApplierError } from "./ClusterApplier.ts"
import { Generation } from "./domain/DeployRequest.ts"
import { ImageDigest } from "./domain/Image.ts"
import { ServiceTarget } from "./domain/Identity.ts"
import type { Receipt } from "./domain/Receipt.ts"
import { CommitSha } from "./domain/Source.ts"

/**
 * A pod as a person asks for it. `trouble` is the cause why it is not ready, where there is one; `lastEnd` why a pod that is
 * ready was started again.
 */
export const PodStatus = Schema.Struct({
  name: Schema.String,
  ready: Schema.Boolean,
  phase: Schema.String,
  restarts: Schema.Int,
  digest: Schema.optionalKey(ImageDigest),
  trouble: Schema.optionalKey(Schema.String),
  lastEnd: Schema.optionalKey(Schema.String)
})
export type PodStatus = typeof PodStatus.Type

/** What runs of a service now, and what troubles it. */
export const ServiceStatus = Schema.Struct({
  target: ServiceTarget,
  generation: Generation,
  commit: CommitSha,
  digest: ImageDigest,
  replicas: Schema.Int,
  readyReplicas: Schema.Int,
  /** Where the service answers; absent when it is not public. */
  url: Schema.optionalKey(Schema.String),
  pods: Schema.Array(PodStatus),
  /** How many more pods like its own there is room for; what cannot be asked is absent. */
  room: Schema.optionalKey(
    Schema.Struct({
      /** On the region's nodes. */
      region: Schema.optionalKey(Schema.Int),
      /** In the project's quota. */
      project: Schema.optionalKey(Schema.Int)
    })
  )
})
export type ServiceStatus = typeof ServiceStatus.Type

/** One whole line of a container's output. */
export interface LogLine {
  readonly pod: string
  readonly line: string
}

/** A command that runs once, beside the service, in what `receipt` says: its image, environment and limits. */
export interface OneOff {
  readonly receipt: Receipt
  readonly command: readonly [string, ...ReadonlyArray<string>]
  /** Seconds from its start, the pulling of the image included. */
  readonly deadlineSeconds: number
}

/** A line that the command writes (standard output and error are one stream), and at last how it ended. */
export type OneOffEvent =
  | { readonly _tag: "Line"; readonly line: string }
  | { readonly _tag: "Ended"; readonly exitCode: number }

/** What runs of a service now: status, logs, a command beside it. */
export class Workloads extends Context.Service<
  Workloads,
  {
    /** What is there and what troubles it; fails with `ServiceNotFound` where there is none. */
    readonly status: (target: ServiceTarget) => Effect.Effect<ServiceStatus, ClusterApplierError>
    /** Lines of all pods, in the order in which they arrive. `follow` goes on until interrupted, across restarts. */
    readonly logs: (
      target: ServiceTarget,
      options: { readonly follow: boolean; readonly tail: number }
    ) => Stream.Stream<LogLine, ClusterApplierError>
    /**
     * Runs a command once, sandboxed like the service, and removes it when it has ended or the stream is interrupted; when
     * this process is killed, the cluster removes it. A command that fails is not a failure of the stream.
     */
    readonly run: (target: ServiceTarget, oneOff: OneOff) => Stream.Stream<OneOffEvent, ClusterApplierError>
  }
>()("mcpdeploy/core/Workloads") {}
