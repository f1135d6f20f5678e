/**
 * Apply: makes objects be as manifests say, with as few writes as it takes.
 *
 * For each object: read; refuse what is not ours; compare (the hash of what was applied last, and whether every field is
 * still as we want it); write only a difference. Each write is conditional on what was read, so that of two writers one
 * reads again. Objects with a fence (Record.ts) refuse an older writer.
 *
 * Server-side apply changes exactly the object that was read when its `uid` and `resourceVersion` are given, but has no
 * precondition for "not there yet". Fenced objects are therefore made by a plain create, which records our fields as set
 * by "Update"; a conditional patch of `managedFields` hands them to "Apply" (as client-go's csaupgrade does), so that a
 * later apply also removes fields. A crash between the two is made good by the next apply.
 */
import { ObjectNotOwned } from "@mcpdeploy/core/ClusterApplier"
import { ownerLabels } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { Conflict, type Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { nameOf, type ObjectRef, refOf } from "../kubernetes/Kind.ts"
import { annotationOf, fenceOf, isOwnedBy, labelOf, type LiveObject } from "../kubernetes/LiveObject.ts"
import {
  annotations,
  type Fence,
  fieldManager,
  hashed,
  isArray,
  labels,
  type Manifest,
  stamped
} from "../manifests/Manifest.ts"
import { retryConflicts } from "./Retry.ts"

/** What became of one object. */
export interface Change {
  readonly ref: ObjectRef
  readonly manifest: Manifest
  readonly action: "create" | "update" | "unchanged"
  readonly before: LiveObject | undefined
  readonly after: LiveObject
}

/** As whom objects are written, and how carefully. */
export interface ApplyOptions {
  /** Who writes, for a service's objects. A project's shared ones have none. */
  readonly fence?: Fence
  /** Asked when an object seems newer than the fence: fails when the fence is no longer the newest. */
  readonly confirm?: Effect.Effect<void, Failure>
}

/** How many requests are under way at once: enough to keep the API server busy, few enough not to be throttled. */
const concurrency = 16

/** From how many objects of a kind on one list costs less than a read of each. */
const listFrom = 4

const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !isArray(value)

/** The API server leaves empty values out. */
const isEmpty = (value: Schema.Json): boolean =>
  value === "" ||
  (isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0)

/** Whether `live` has every field that `desired` has, with its value. */
export const contains = (live: Schema.Json | undefined, desired: Schema.Json): boolean => {
  if (live === undefined) return isEmpty(desired)
  if (isArray(desired))
    return (
      isArray(live) &&
      live.length === desired.length &&
      desired.every((item, index) => contains(live[index], item))
    )
  if (isObject(desired))
    return isObject(live) && Object.entries(desired).every(([key, value]) => contains(live[key], value))
  return live === desired
}

const labelsOf = (manifest: Manifest): Schema.JsonObject => {
  const value = manifest.metadata["labels"]
  return isObject(value) ? value : {}
}

/** Labels that say whose an object is. */
const ownershipLabels = [labels.managedBy, ownerLabels.user, ownerLabels.project, labels.service]

const isOurs = (live: LiveObject, manifest: Manifest): boolean =>
  ownershipLabels.every((name) => {
    const wanted = labelsOf(manifest)[name]
    return wanted === undefined || labelOf(live, name) === wanted
  })

/** Items of a list do not say their kind. */
const isUnchanged = (live: LiveObject, manifest: Manifest): boolean =>
  annotationOf(live, annotations.configHash) === annotationOfManifest(manifest, annotations.configHash) &&
  Object.entries(manifest).every(
    ([key, value]) => key === "apiVersion" || key === "kind" || contains(live[key], value)
  )

const annotationOfManifest = (manifest: Manifest, name: string): Schema.Json | undefined => {
  const value = manifest.metadata["annotations"]
  return isObject(value) ? value[name] : undefined
}

/** `manifest`, for exactly the object that was read. */
const conditional = (manifest: Manifest, { metadata }: LiveObject): Manifest => ({
  ...manifest,
  metadata: { ...manifest.metadata, uid: metadata.uid, resourceVersion: metadata.resourceVersion }
})

/** Where among the managed fields a create left ours. */
const createdFields = ({ metadata }: LiveObject): number =>
  (metadata.managedFields ?? []).findIndex(
    ({ manager, operation, subresource }) =>
      manager === fieldManager && operation === "Update" && subresource === undefined
  )

/** Hands the fields that a create has set to our server-side apply. */
const adoptFields = Effect.fnUntraced(function* (api: KubernetesApi, ref: ObjectRef, live: LiveObject) {
  const index = createdFields(live)
  if (index < 0) return live
  const entry = `/metadata/managedFields/${index}`
  const isApplied = (live.metadata.managedFields ?? []).some(
    ({ manager, operation }) => manager === fieldManager && operation === "Apply"
  )
  return yield* api.patch(ref, [
    { op: "test", path: "/metadata/uid", value: live.metadata.uid },
    { op: "test", path: "/metadata/resourceVersion", value: live.metadata.resourceVersion },
    isApplied ? { op: "remove", path: entry } : { op: "replace", path: `${entry}/operation`, value: "Apply" }
  ])
})

const find = (api: KubernetesApi, ref: ObjectRef) =>
  api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))

/** Refuses what is not ours, what is being deleted, and what a newer deploy has written. */
const guard = Effect.fnUntraced(function* (
  live: LiveObject,
  manifest: Manifest,
  ref: ObjectRef,
  { confirm = Effect.void, fence }: ApplyOptions
): Effect.fn.Return<void, Failure> {
  if (!isOurs(live, manifest)) return yield* new ObjectNotOwned({ object: nameOf(ref) })
  if (fence !== undefined && (fenceOf(live) > fence.token || !isOwnedBy(live, fence.record.uid)))
    yield* confirm
  // Tried again until it is gone.
  if (live.metadata.deletionTimestamp !== undefined) return yield* new Conflict({ object: nameOf(ref) })
})

/** Controllers write a new object's status at once, which moves our entry: then it is looked for again. */
const adoptCreated = (api: KubernetesApi, ref: ObjectRef, created: LiveObject) => {
  let live = created
  const attempt = Effect.suspend(() => adoptFields(api, ref, live)).pipe(
    Effect.tapErrorTag("Conflict", () => Effect.map(api.get(ref), (current) => void (live = current)))
  )
  return retryConflicts(attempt, nameOf(ref))
}

const createObject = Effect.fnUntraced(function* (
  api: KubernetesApi,
  ref: ObjectRef,
  manifest: Manifest,
  fence: Fence | undefined
): Effect.fn.Return<LiveObject, Failure> {
  if (fence === undefined) return yield* api.apply(manifest, ref, { force: false })
  return yield* adoptCreated(api, ref, yield* api.create(manifest, ref))
})

const applyOne = Effect.fnUntraced(function* (
  api: KubernetesApi,
  manifest: Manifest,
  ref: ObjectRef,
  live: LiveObject | undefined,
  options: ApplyOptions
): Effect.fn.Return<Change, Failure> {
  if (live === undefined) {
    const after = yield* createObject(api, ref, manifest, options.fence)
    return { ref, manifest, action: "create", before: undefined, after }
  }
  yield* guard(live, manifest, ref, options)
  // A create may have been cut off before its fields were handed over.
  const adopted = yield* adoptFields(api, ref, live)
  if (isUnchanged(live, manifest)) return { ref, manifest, action: "unchanged", before: live, after: live }
  // The patch takes any version, so a newer writer may have come between.
  if (options.fence !== undefined && adopted !== live) yield* guard(adopted, manifest, ref, options)
  const after = yield* api.apply(conditional(manifest, adopted), ref)
  const action = after.metadata.resourceVersion === live.metadata.resourceVersion ? "unchanged" : "update"
  return { ref, manifest, action, before: live, after }
})

const placeOf = ({ kind, namespace }: ObjectRef): string => `${kind.plural}/${namespace ?? ""}`

/** The objects as they are now, by what {@link nameOf} and {@link placeOf} call them. */
const readAll = Effect.fnUntraced(function* (api: KubernetesApi, refs: ReadonlyArray<ObjectRef>) {
  const places = Map.groupBy(refs, placeOf)
  const found = new Map<ObjectRef, LiveObject>()
  const reads = [...places.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined || group.length < listFrom)
      return group.map((ref) =>
        Effect.map(find(api, ref), (live) => {
          if (live !== undefined) found.set(ref, live)
        })
      )
    const label = `${labels.managedBy}=${fieldManager}`
    return [
      Effect.map(api.list({ ...first, name: "" }, { label }), ({ items }) => {
        const byName = new Map(items.map((live) => [live.metadata.name, live]))
        for (const ref of group) {
          const live = byName.get(ref.name)
          if (live !== undefined) found.set(ref, live)
        }
      })
    ]
  })
  yield* Effect.forEach(reads, (read) => read, { concurrency, discard: true })
  return found
})

const prepare = (manifest: Manifest, { fence }: ApplyOptions): Manifest =>
  fence === undefined ? hashed(manifest) : stamped(manifest, fence)

/** Makes the objects be as the manifests say, independent of each other. The changes come in the manifests' order. */
export const applyObjects = Effect.fn("Apply.applyObjects")(function* (
  api: KubernetesApi,
  manifests: ReadonlyArray<Manifest>,
  options: ApplyOptions = {}
): Effect.fn.Return<ReadonlyArray<Change>, Failure> {
  const objects = manifests.map((manifest) => ({
    manifest: prepare(manifest, options),
    ref: refOf(manifest)
  }))
  const found = yield* readAll(
    api,
    objects.map(({ ref }) => ref)
  )
  return yield* Effect.forEach(
    objects,
    ({ manifest, ref }) => {
      let live = found.get(ref)
      let isFirst = true
      const attempt = Effect.gen(function* () {
        if (!isFirst) live = yield* find(api, ref)
        isFirst = false
        return yield* applyOne(api, manifest, ref, live, options)
      })
      return retryConflicts(attempt, nameOf(ref))
    },
    { concurrency }
  )
})

/** What {@link applyObjects} would do: the API server does all but store it. `namespaceExists`: else nothing can be asked. */
export const planObjects = Effect.fn("Apply.planObjects")(function* (
  api: KubernetesApi,
  manifests: ReadonlyArray<Manifest>,
  namespaceExists: boolean
): Effect.fn.Return<
  ReadonlyArray<Omit<Change, "after"> & { readonly after: LiveObject | Manifest }>,
  Failure
> {
  return yield* Effect.forEach(
    manifests,
    Effect.fnUntraced(function* (manifest) {
      const ref = refOf(manifest)
      const live = namespaceExists || !ref.kind.namespaced ? yield* find(api, ref) : undefined
      if (live === undefined) {
        if (namespaceExists) yield* api.validate(manifest, ref)
        return { ref, manifest, action: "create" as const, before: undefined, after: manifest }
      }
      if (!isOurs(live, manifest)) return yield* new ObjectNotOwned({ object: nameOf(ref) })
      const after = yield* api.apply(manifest, ref, { dryRun: true })
      return { ref, manifest, action: "update" as const, before: live, after }
    }),
    { concurrency }
  )
})
