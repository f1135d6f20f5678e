/**
 * Record: the ConfigMap `{service}`, which owns all other objects of a service and keeps its receipts (what is large in them, in
 * objects beside it: ReceiptSpecs.ts).
 *
 * It is also the fence. A deploy begins by claiming the record: a conditional write that raises its fencing token, and is
 * refused when a newer generation has claimed it before. Every other write carries the token and is conditional on the
 * object that was read, in which a greater token is refused (Apply.ts). So whoever read before a newer deploy wrote cannot
 * write after it. Objects name the record as their owner: what a late writer makes of a service that was deleted
 * meanwhile is deleted by the cluster's garbage collector.
 */
import {
  GenerationTaken,
  ObjectNotOwned,
  ServiceNotFound,
  SupersededByNewer,
  UnexpectedAnswer
} from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { keptReceipts, type Receipt } from "@mcpdeploy/core/domain/Receipt"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Conflict, type Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { isManaged, labelOf, type LiveObject } from "../kubernetes/LiveObject.ts"
import {
  annotations,
  type Fence,
  labels,
  type Manifest,
  type OwnerReference,
  serviceLabels
} from "../manifests/Manifest.ts"
import * as ReceiptSpecs from "./ReceiptSpecs.ts"
import { KeptReceipt } from "./ReceiptSpecs.ts"
import { retryConflicts } from "./Retry.ts"

/** Who claims, and whether it is a return to an earlier receipt. */
export interface Claim {
  readonly generation: Generation
  readonly commit: CommitSha
  /** Whether it wants an Ingress. */
  readonly isPublic: boolean
  readonly restoring: boolean
}

export interface ServiceRecord {
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: Generation
  readonly commit: CommitSha
  readonly token: number
  /** Whether the newest deploy wants an Ingress: an older one that made one takes it back otherwise. */
  readonly isPublic: boolean
  /** The commit whose deploy, of this generation, was returned from. */
  readonly restoredFrom: CommitSha | undefined
  /** Newest first. */
  readonly receipts: ReadonlyArray<KeptReceipt>
}

const receiptsKey = "receipts.json"

const RecordObject = Schema.Struct({
  metadata: Schema.Struct({
    annotations: Schema.Struct({
      [annotations.generation]: Schema.FiniteFromString.pipe(Schema.decodeTo(Generation)),
      [annotations.commit]: CommitSha,
      [annotations.fence]: Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.Int)),
      [annotations.public]: Schema.optionalKey(Schema.Literals(["true", "false"])),
      [annotations.restoredFrom]: Schema.optionalKey(CommitSha)
    })
  }),
  data: Schema.Struct({ [receiptsKey]: Schema.fromJsonString(Schema.Array(KeptReceipt)) })
})
const decodeRecord = Schema.decodeUnknownEffect(RecordObject)
const encodeReceipts = Schema.encodeEffect(Schema.fromJsonString(Schema.Array(KeptReceipt)))

export const recordRef = (target: ServiceTarget): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace: target.namespace,
  name: target.service
})

/** The ConfigMap as it is written. Fails only when a receipt cannot be encoded, which its type rules out. */
export const recordManifest = Effect.fnUntraced(function* (
  target: ServiceTarget,
  record: Omit<ServiceRecord, "uid" | "resourceVersion">
): Effect.fn.Return<Manifest, UnexpectedAnswer> {
  const text = yield* encodeReceipts(record.receipts).pipe(
    Effect.mapError(
      (error) => new UnexpectedAnswer({ object: nameOf(recordRef(target)), detail: error.message })
    )
  )
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: target.service,
      namespace: target.namespace,
      labels: serviceLabels(target),
      annotations: {
        [annotations.generation]: String(record.generation),
        [annotations.commit]: record.commit,
        [annotations.fence]: String(record.token),
        [annotations.public]: String(record.isPublic),
        ...(record.restoredFrom === undefined ? {} : { [annotations.restoredFrom]: record.restoredFrom })
      }
    },
    data: { [receiptsKey]: text }
  }
})

const decode = Effect.fnUntraced(function* (
  target: ServiceTarget,
  live: LiveObject
): Effect.fn.Return<ServiceRecord, ObjectNotOwned | UnexpectedAnswer> {
  const object = nameOf(recordRef(target))
  if (!isManaged(live) || labelOf(live, labels.service) !== target.service)
    return yield* new ObjectNotOwned({ object })
  const { data, metadata } = yield* decodeRecord(live).pipe(
    Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
  )
  return {
    uid: live.metadata.uid,
    resourceVersion: live.metadata.resourceVersion,
    generation: metadata.annotations[annotations.generation],
    commit: metadata.annotations[annotations.commit],
    token: metadata.annotations[annotations.fence],
    isPublic: metadata.annotations[annotations.public] !== "false",
    restoredFrom: metadata.annotations[annotations.restoredFrom],
    receipts: data[receiptsKey]
  }
})

/** The record, where the service has one. */
export const read = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget
): Effect.fn.Return<ServiceRecord | undefined, Failure> {
  const live = yield* api.get(recordRef(target)).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
  return live === undefined ? undefined : yield* decode(target, live)
})

const referenceOf = (target: ServiceTarget, { uid }: ServiceRecord): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name: target.service,
  uid
})

const fenceOf = (target: ServiceTarget, record: ServiceRecord): Fence => ({
  generation: record.generation,
  token: record.token,
  record: referenceOf(target, record)
})

/** What of a record a claim writes; undefined when it is claimed already by the same deploy. */
const claimed = (
  record: ServiceRecord | undefined,
  { commit, generation, isPublic, restoring }: Claim
): Effect.Effect<
  Omit<ServiceRecord, "uid" | "resourceVersion"> | undefined,
  SupersededByNewer | GenerationTaken
> => {
  const next = (restoredFrom: CommitSha | undefined) =>
    Effect.succeed({
      generation,
      commit,
      token: (record?.token ?? 0) + 1,
      isPublic,
      restoredFrom,
      receipts: record?.receipts ?? []
    })
  if (record === undefined || record.generation < generation) return next(undefined)
  if (record.generation > generation)
    return Effect.fail(
      new SupersededByNewer({ generation, newer: record.generation, newerCommit: record.commit })
    )
  const isSame = record.commit === commit && restoring === (record.restoredFrom !== undefined)
  if (isSame) return Effect.undefined
  // A failed deploy is returned from under its own generation, and may then be tried again.
  if (restoring) return next(record.restoredFrom ?? record.commit)
  if (record.restoredFrom === commit) return next(undefined)
  return Effect.fail(new GenerationTaken({ generation, commit, other: record.restoredFrom ?? record.commit }))
}

/** Whether a claim would be accepted now; nothing is written. */
export const check = Effect.fnUntraced(function* (api: KubernetesApi, target: ServiceTarget, claim: Claim) {
  return yield* claimed(yield* read(api, target), claim)
})

/** Makes the caller the service's writer, or fails because a newer deploy is. Claiming again changes nothing. */
export const claim = Effect.fnUntraced(
  function* (api: KubernetesApi, target: ServiceTarget, claim: Claim): Effect.fn.Return<Fence, Failure> {
    const current = yield* read(api, target)
    const next = yield* claimed(current, claim)
    if (next === undefined && current !== undefined) return fenceOf(target, current)
    if (next === undefined) return yield* new Conflict({ object: nameOf(recordRef(target)) })
    const manifest = yield* recordManifest(target, next)
    const written = yield* current === undefined
      ? api.create(manifest, recordRef(target))
      : api.replace(precondition(manifest, current), recordRef(target))
    return fenceOf(target, yield* decode(target, written))
  },
  (effect, _api, target) => retryConflicts(effect, nameOf(recordRef(target)))
)

const precondition = (manifest: Manifest, { resourceVersion, uid }: ServiceRecord): Manifest => ({
  ...manifest,
  metadata: { ...manifest.metadata, uid, resourceVersion }
})

/** Fails when the fence is no longer the service's newest: with who is, or that the service was deleted. */
export const confirm = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  fence: Fence
): Effect.fn.Return<void, Failure> {
  const record = yield* read(api, target)
  if (record === undefined) return yield* new ServiceNotFound({ target })
  if (record.uid !== fence.record.uid || record.token !== fence.token)
    return yield* new SupersededByNewer({
      generation: Generation.make(fence.generation),
      newer: record.generation,
      newerCommit: record.commit
    })
})

const isSameDeploy = (a: KeptReceipt, b: KeptReceipt): boolean =>
  a.generation === b.generation && a.commit === b.commit && a.rollback === b.rollback

/** Adds a receipt; the newest generation stands first, and the last ten are kept. The result is the record as it is then. */
export const addReceipt = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    target: ServiceTarget,
    receipt: Receipt
  ): Effect.fn.Return<ServiceRecord, Failure> {
    const current = yield* read(api, target)
    if (current === undefined) return yield* new ServiceNotFound({ target })
    if (current.receipts.some((kept) => isSameDeploy(kept, receipt))) return current
    const newest = [receipt, ...current.receipts]
      .toSorted((a, b) => b.generation - a.generation)
      .slice(0, keptReceipts)
    const owner = { reference: referenceOf(target, current), resourceVersion: current.resourceVersion }
    const receipts = yield* Effect.forEach(newest, (each) => ReceiptSpecs.keep(api, target, owner, each))
    const hasSpecs = [...current.receipts, ...receipts].some((each) => "spec" in each)
    const listed = hasSpecs ? yield* ReceiptSpecs.list(api, target) : []
    const manifest = yield* recordManifest(target, { ...current, receipts })
    const written = yield* decode(
      target,
      yield* api.replace(precondition(manifest, current), recordRef(target))
    )
    yield* ReceiptSpecs.prune(api, target, listed, written.receipts)
    return written
  },
  (effect, _api, target) => retryConflicts(effect, nameOf(recordRef(target)))
)

/** The receipts, newest first; none for a service that is not there. */
export const history = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget
): Effect.fn.Return<ReadonlyArray<Receipt>, Failure> {
  let seen: string | undefined
  for (;;) {
    const record = yield* read(api, target)
    if (record === undefined) return []
    const receipts = yield* ReceiptSpecs.complete(api, target, record.receipts).pipe(
      Effect.catchTag("NotFound", (missing) =>
        // A newer deploy may have recorded meanwhile, and taken away what it no longer keeps.
        record.resourceVersion === seen
          ? Effect.fail(
              new UnexpectedAnswer({
                object: missing.object,
                detail: "it is gone, and a receipt needs it: deploy anew"
              })
            )
          : Effect.undefined
      )
    )
    if (receipts !== undefined) return receipts
    seen = record.resourceVersion
  }
})
