/** The evidence of a deploy: what runs, from which commit, and how that was seen. */
import * as Schema from "effect/Schema"
import { BuildSpec, Generation, RunSpec, SourceSpec } from "./DeployRequest.ts"
import { DeployStep } from "./DeployEvent.ts"
import { ImageDigest, ImageRef } from "./Image.ts"
import { CommitSha } from "./Source.ts"

/** A running pod, and the digest of the image that its container runs (from the pod's status, not from its spec). */
export const PodEvidence = Schema.Struct({
  name: Schema.String,
  node: Schema.String,
  digest: ImageDigest
})
export type PodEvidence = typeof PodEvidence.Type

/** The app's answer through the region's ingress. */
export const ProbeEvidence = Schema.Struct({
  url: Schema.String,
  status: Schema.Int,
  /** Milliseconds from the request to the answer's head. */
  durationMs: Schema.Finite,
  /** What is odd about the answer though it will do: each visitor is refused. With the answer's first line. */
  warning: Schema.optionalKey(Schema.String)
})
export type ProbeEvidence = typeof ProbeEvidence.Type

/** How long a step took. */
export const StepTiming = Schema.Struct({ step: DeployStep, durationMs: Schema.Finite })
export type StepTiming = typeof StepTiming.Type

/** How many receipts a service keeps. */
export const keptReceipts = 10

/** What a deploy has proven: the commit, its digest, the pods that run it, and the app's answer. */
export class Receipt extends Schema.Class<Receipt>("mcpdeploy/core/Receipt")({
  commit: CommitSha,
  image: ImageRef,
  digest: ImageDigest,
  /** Identifies everything that went into the image; an equal key makes a build unnecessary. */
  buildKey: Schema.String,
  generation: Generation,
  source: SourceSpec,
  build: BuildSpec,
  run: RunSpec,
  /** Name of the immutable Secret with the values of `run.secrets`, where there are any. */
  secretName: Schema.optionalKey(Schema.String),
  pods: Schema.Array(PodEvidence),
  /** Absent for a service that is not public. */
  probe: Schema.optionalKey(ProbeEvidence),
  steps: Schema.Array(StepTiming),
  /** The commit's deploy was a return to an earlier receipt. */
  rollback: Schema.optionalKey(Schema.Boolean),
  /** When its pods were last restarted on request, ISO 8601. */
  restartedAt: Schema.optionalKey(Schema.String),
  /** ISO 8601. */
  deployedAt: Schema.String
}) {}
