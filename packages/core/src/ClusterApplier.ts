/**
 * ClusterApplier: an image becomes a running, reachable workload. The cluster is the record: the last applied
 * workload and its receipts live beside it. Three more contracts are about the same cluster, and fail in the same words:
 * `Receipts` (what was proven), `Workloads` (what runs now), `Projects` (what there is).
 *
 * Every write first checks the namespace's owner, touches only what this service owns, and is fenced: a write whose
 * generation is older than the one in the cluster is refused by the write itself.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Generation, type RunSpec } from "./domain/DeployRequest.ts"
import type { ImageDigest } from "./domain/Image.ts"
import { type ImageRef } from "./domain/Image.ts"
import { Namespace, NamespaceOwnedByOther, ServiceName, ServiceTarget } from "./domain/Identity.ts"
import type { PodEvidence, ProbeEvidence, Receipt } from "./domain/Receipt.ts"
import { RolloutCause } from "./domain/RolloutCause.ts"
import { CommitSha } from "./domain/Source.ts"

/** The API server does not answer, or answers 429 or 5xx. A retry can help. */
export class ClusterUnreachable extends Schema.TaggedError<ClusterUnreachable>()("ClusterUnreachable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the cluster's API server cannot be reached: ${this.detail}`
  }
}

/** A newer deploy of the service has already written. Nothing was changed. */
export class SupersededByNewer extends Schema.TaggedError<SupersededByNewer>()("SupersededByNewer", {
  generation: Generation,
  newer: Generation,
  newerCommit: CommitSha
}) {
  readonly retryable = false
  override get message(): string {
    return `a newer deploy (commit ${this.newerCommit}) has already been applied`
  }
}

/** No such service in the cluster. */
export class ServiceNotFound extends Schema.TaggedError<ServiceNotFound>()("ServiceNotFound", {
  target: ServiceTarget
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.target} is not deployed here`
  }
}

/** How the API server is reached is not clear: no kubeconfig, or one that does not say it. */
export class ClusterConfigInvalid extends Schema.TaggedError<ClusterConfigInvalid>()("ClusterConfigInvalid", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the access to the cluster is not configured: ${this.detail}`
  }
}

/** The credentials are refused (401), or do not allow it (403). */
export class ClusterForbidden extends Schema.TaggedError<ClusterForbidden>()("ClusterForbidden", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the cluster does not allow it: ${this.detail}`
  }
}

/** The API server finds a value invalid. `causes` names the fields. */
export class ObjectInvalid extends Schema.TaggedError<ObjectInvalid>()("ObjectInvalid", {
  object: Schema.String,
  detail: Schema.String,
  causes: Schema.Array(Schema.Struct({ field: Schema.String, message: Schema.String }))
}) {
  readonly retryable = false
  override get message(): string {
    const causes = this.causes.map(({ field, message }) => `${field}: ${message}`).join("; ")
    return `${this.object} is not valid: ${causes === "" ? this.detail : causes}`
  }
}

/** The API server answers something else than its API says. */
export class UnexpectedAnswer extends Schema.TaggedError<UnexpectedAnswer>()("UnexpectedAnswer", {
  object: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the cluster's answer about ${this.object} is not understood: ${this.detail}`
  }
}

/** Others keep writing the same object. A retry can help. */
export class WriteConflict extends Schema.TaggedError<WriteConflict>()("WriteConflict", {
  object: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `${this.object} is being changed by someone else at the same time`
  }
}

/** An object of that name exists and was not made by us. It was left as it is. */
export class ObjectNotOwned extends Schema.TaggedError<ObjectNotOwned>()("ObjectNotOwned", {
  object: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.object} exists and belongs to something else: rename the service, or delete that object`
  }
}

/** The project is being deleted. A retry helps when that is over. */
export class NamespaceTerminating extends Schema.TaggedError<NamespaceTerminating>()("NamespaceTerminating", {
  namespace: Namespace
}) {
  readonly retryable = true
  override get message(): string {
    return `the namespace ${this.namespace} is being deleted: try again when it is gone`
  }
}

/** Another commit was applied with the same generation, so that none of the two is the newer one. */
export class GenerationTaken extends Schema.TaggedError<GenerationTaken>()("GenerationTaken", {
  generation: Generation,
  commit: CommitSha,
  other: CommitSha
}) {
  readonly retryable = false
  override get message(): string {
    return `commit ${this.other} was already deployed as generation ${this.generation}: commit ${this.commit} needs another one`
  }
}

/** The app does not answer as it should through the region's ingress. `status` is absent when nothing answers. */
export class ProbeFailed extends Schema.TaggedError<ProbeFailed>()("ProbeFailed", {
  url: Schema.String,
  status: Schema.optionalKey(Schema.Int),
  /** The beginning of the answer, or why there is none. */
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.status === undefined
      ? `${this.url} does not answer: ${this.detail}`
      : `${this.url} answers ${this.status}: ${this.detail}`
  }
}

/** The project still has services. */
export class ProjectNotEmpty extends Schema.TaggedError<ProjectNotEmpty>()("ProjectNotEmpty", {
  namespace: Namespace,
  services: Schema.Array(ServiceName)
}) {
  readonly retryable = false
  override get message(): string {
    return `the project still has services, delete them first: ${this.services.join(", ")}`
  }
}

/** What was deleted is not gone yet. A retry waits on. */
export class DeletionUnfinished extends Schema.TaggedError<DeletionUnfinished>()("DeletionUnfinished", {
  seconds: Schema.Finite,
  objects: Schema.Array(Schema.String)
}) {
  readonly retryable = true
  override get message(): string {
    return `still being deleted after ${this.seconds} seconds: ${this.objects.join(", ")}`
  }
}

/** A one-off command did not end in its time, and was ended. */
export class RunDeadline extends Schema.TaggedError<RunDeadline>()("RunDeadline", {
  seconds: Schema.Finite
}) {
  readonly retryable = false
  override get message(): string {
    return `the command had not ended after ${this.seconds} seconds, and was ended: give it more time with --deadline`
  }
}

/** Why the cluster could not be asked, or did not do what it was asked for. */
export const ClusterApplierReason = Schema.Union([
  ClusterConfigInvalid,
  ClusterUnreachable,
  ClusterForbidden,
  ObjectInvalid,
  ObjectNotOwned,
  UnexpectedAnswer,
  WriteConflict,
  SupersededByNewer,
  GenerationTaken,
  ServiceNotFound,
  NamespaceOwnedByOther,
  NamespaceTerminating,
  ProjectNotEmpty,
  DeletionUnfinished,
  RunDeadline,
  ProbeFailed,
  RolloutCause
])
export type ClusterApplierReason = typeof ClusterApplierReason.Type

/** A {@link ClusterApplierReason}, with what was being done and to what. */
export class ClusterApplierError extends Schema.TaggedError<ClusterApplierError>()("ClusterApplierError", {
  operation: Schema.String,
  /** The service, the namespace where it is about a whole project, or all. */
  target: Schema.Union([ServiceTarget, Namespace, Schema.Literal("all services")]),
  reason: ClusterApplierReason
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `${this.operation} of ${this.target}: ${this.reason.message}`
  }
}

/** What is to run: the request's part for the cluster, with the image that was built and the secrets' values. */
export interface Workload {
  readonly target: ServiceTarget
  readonly image: ImageRef
  readonly digest: ImageDigest
  readonly generation: Generation
  readonly run: RunSpec
  /** Values of `run.secrets`, by environment variable. */
  readonly secrets: Readonly<Record<string, Redacted.Redacted>>
  /** Another time makes new pods of the same image and environment. */
  readonly restartedAt?: string
}

/** The workload that `receipt` proves, run again as `generation`. Its Secret is in the cluster already, so no values. */
export const restoredWorkload = (
  target: ServiceTarget,
  { digest, image, restartedAt, run }: Receipt,
  generation: Generation
): Workload => ({
  ...{ target, image, digest, generation, run, secrets: {} },
  ...(restartedAt === undefined ? {} : { restartedAt })
})

/** One object's difference. `lines` is a unified diff of its YAML, secret values redacted. */
export const ObjectChange = Schema.Struct({
  object: Schema.String,
  action: Schema.Literals(["create", "update", "delete", "unchanged"]),
  lines: Schema.Array(Schema.String)
})
export type ObjectChange = typeof ObjectChange.Type

/** The result of `apply`. `revision` identifies the pod template that was applied. */
export const Applied = Schema.Struct({
  revision: Schema.String,
  changes: Schema.Array(ObjectChange),
  secretName: Schema.optionalKey(Schema.String)
})
export type Applied = typeof Applied.Type

/** Makes an image a running workload: the contract of a region's cluster. */
export class ClusterApplier extends Context.Service<
  ClusterApplier,
  {
    /**
     * Makes the project's namespace the owner's, or fails when it is someone else's. Comes before anything is built:
     * images and build cache are named after the namespace too.
     */
    readonly claim: (target: ServiceTarget) => Effect.Effect<void, ClusterApplierError>
    /** What `apply` would change: a server-side dry run, nothing is written. */
    readonly plan: (workload: Workload) => Effect.Effect<ReadonlyArray<ObjectChange>, ClusterApplierError>
    /** Server-side apply of everything the workload needs; no write for what is as it should be. */
    readonly apply: (workload: Workload) => Effect.Effect<Applied, ClusterApplierError>
    /** Waits until exactly the applied revision runs and is ready; fails with the real cause. */
    readonly awaitRollout: (
      workload: Workload,
      applied: Applied
    ) => Effect.Effect<ReadonlyArray<PodEvidence>, ClusterApplierError>
    /** Asks the app through the region's ingress; none for a service that is not public. */
    readonly probe: (workload: Workload) => Effect.Effect<ProbeEvidence | undefined, ClusterApplierError>
    /**
     * Makes what `receipt` says run again, with the Secret that it had, as `generation`. Returns when applied; await it
     * with `awaitRollout`.
     */
    readonly restore: (
      target: ServiceTarget,
      receipt: Receipt,
      generation: Generation
    ) => Effect.Effect<Applied, ClusterApplierError>
    /**
     * Deletes what the service owns, its request in the catalog included, and waits until it is gone. Deleting what is not
     * there succeeds. Returns what was deleted, as `Kind name`.
     */
    readonly delete: (target: ServiceTarget) => Effect.Effect<ReadonlyArray<string>, ClusterApplierError>
  }
>()("mcpdeploy/core/ClusterApplier") {}
