/** ServiceObjects: the objects of one service, from the claim of its record to the removal of what it no longer wants. */
import {
  type Applied,
  type ObjectChange,
  ObjectInvalid,
  ObjectNotOwned,
  type Workload
} from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import { applyObjects, type ApplyOptions, type Change, planObjects } from "./Apply.ts"
import { objectChange } from "./Diff.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, type Kind, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import {
  annotationOf,
  fenceOf,
  isManaged,
  isOwnedBy,
  labelOf,
  type LiveObject
} from "../kubernetes/LiveObject.ts"
import { revisionOf } from "../manifests/Deployment.ts"
import {
  annotations,
  type Fence,
  fieldManager,
  hashed,
  labels,
  type Manifest
} from "../manifests/Manifest.ts"
import { namespace as namespaceManifest, projectManifests } from "../manifests/Project.ts"
import { isPublic, secret as secretManifest, secretName, serviceManifests } from "../manifests/Service.ts"
import * as Project from "./Project.ts"
import * as Record from "./Record.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { retryConflicts } from "./Retry.ts"

/** Where the values of the service's secrets come from. */
export type Secrets =
  | { readonly _tag: "FromWorkload" }
  /** The Secret that an earlier deploy made; its values are not known here. */
  | { readonly _tag: "Kept"; readonly name: string | undefined }

const describe = (changes: ReadonlyArray<Change>) =>
  Effect.forEach(changes, ({ action, after, before, ref }) =>
    objectChange(ref, before, action === "unchanged" ? before : after)
  )

const ofService = (target: ServiceTarget): string =>
  `${labels.managedBy}=${fieldManager},${labels.service}=${target.service}`

/** Everything of `kind` that is the service's. */
export const listOf = (api: KubernetesApi, target: ServiceTarget, kind: Kind) =>
  Effect.map(
    api.list({ kind, namespace: target.namespace, name: "" }, { label: ofService(target) }),
    ({ items }) => items
  )

/** Deletes exactly the object that was read; what is gone or was changed meanwhile is left alone. */
const deleteRead = (api: KubernetesApi, ref: ObjectRef, { metadata }: LiveObject) =>
  api
    .delete(ref, {
      propagation: "Background",
      precondition: { uid: metadata.uid, resourceVersion: metadata.resourceVersion }
    })
    .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void))

/** A kept Secret is marked as used by this deploy, so that nobody prunes it. */
const touchSecret = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    target: ServiceTarget,
    name: string,
    { confirm = Effect.void, fence }: ApplyOptions & { readonly fence: Fence }
  ): Effect.fn.Return<void, Failure> {
    const ref: ObjectRef = { kind: kinds.Secret, namespace: target.namespace, name }
    const live = yield* api.get(ref).pipe(
      Effect.catchTag("NotFound", () =>
        Effect.fail(
          new ObjectInvalid({
            object: nameOf(ref),
            detail: "the secret values of that deploy are no longer there: deploy its commit again",
            causes: []
          })
        )
      )
    )
    if (!isManaged(live) || labelOf(live, labels.service) !== target.service)
      return yield* new ObjectNotOwned({ object: nameOf(ref) })
    if (fenceOf(live) > fence.token) yield* confirm
    const isStamped =
      annotationOf(live, annotations.fence) === String(fence.token) && isOwnedBy(live, fence.record.uid)
    if (isStamped) return
    yield* api.patch(ref, [
      { op: "test", path: "/metadata/uid", value: live.metadata.uid },
      { op: "test", path: "/metadata/resourceVersion", value: live.metadata.resourceVersion },
      {
        op: "add",
        path: "/metadata/annotations",
        value: {
          ...live.metadata.annotations,
          [annotations.fence]: String(fence.token),
          [annotations.generation]: String(fence.generation)
        }
      },
      { op: "add", path: "/metadata/ownerReferences", value: [fence.record] }
    ])
  },
  (effect, _api, _target, name) => retryConflicts(effect, `Secret ${name}`)
)

/** Kinds of which a deploy may want fewer objects than the one before it. */
const optionalKinds = [kinds.Ingress, kinds.CronJob]

/** The service's objects that are not among `wanted` (by kind and name). */
const unwantedOf = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  wanted: ReadonlyArray<Manifest>
): Effect.fn.Return<ReadonlyArray<{ readonly ref: ObjectRef; readonly live: LiveObject }>, Failure> {
  const names = new Set(wanted.map(({ kind, metadata }) => `${kind} ${metadata.name}`))
  const found = yield* Effect.forEach(
    optionalKinds,
    (kind) =>
      Effect.map(listOf(api, target, kind), (items) =>
        items.map((live) => ({
          ref: { kind, namespace: target.namespace, name: live.metadata.name },
          live
        }))
      ),
    { concurrency: "unbounded" }
  )
  return found.flat().filter(({ ref }) => !names.has(nameOf(ref)))
})

/** Deletes what is not wanted and was written with a token of at most `token`, until there is none. */
const removeUnwanted = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    target: ServiceTarget,
    wanted: ReadonlyArray<Manifest>,
    token: number
  ): Effect.fn.Return<ReadonlyArray<ObjectChange>, Failure> {
    const unwanted = yield* unwantedOf(api, target, wanted)
    return yield* Effect.forEach(
      unwanted.filter(({ live }) => fenceOf(live) <= token),
      Effect.fnUntraced(function* ({ live, ref }) {
        const { resourceVersion, uid } = live.metadata
        // A Conflict is tried again: a controller may just have written the status.
        yield* api
          .delete(ref, { propagation: "Background", precondition: { uid, resourceVersion } })
          .pipe(Effect.catchTag("NotFound", () => Effect.void))
        return yield* objectChange(ref, live, undefined)
      })
    )
  },
  (effect, _api, target) => retryConflicts(effect, `objects of ${target.service}`)
)

/**
 * An older deploy may make an object after a newer one that does not want it has looked. When it learns that it is no longer
 * the newest, it takes back what carries an older token. What the newer deploy does want, and has not written yet, it makes
 * again; only its Ingress, on which users depend, is left alone.
 */
const takeBack = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  manifests: ReadonlyArray<Manifest>
) {
  const record = yield* Record.read(api, target)
  if (record === undefined) return
  const kept = record.isPublic ? manifests.filter(({ kind }) => kind === kinds.Ingress.kind) : []
  yield* removeUnwanted(api, target, kept, record.token - 1)
})

/** Applies the project's and the service's objects. Pods come after the policies that confine them. */
export const applyService = Effect.fnUntraced(function* (
  api: KubernetesApi,
  region: RegionConfig,
  workload: Workload,
  secrets: Secrets,
  restoring: boolean
): Effect.fn.Return<Applied, Failure> {
  const { generation, image, target } = workload
  const { owner } = target
  yield* Project.claimNamespace(api, owner)
  const hasValues = secrets._tag === "FromWorkload" && Object.keys(workload.secrets).length > 0
  const [shared, fence, key] = yield* Effect.all(
    [
      applyObjects(api, projectManifests(owner, region)),
      Record.claim(api, target, {
        generation,
        commit: image.commit,
        isPublic: isPublic(workload),
        restoring
      }),
      hasValues ? Project.namingKey(api, owner) : Effect.undefined
    ],
    { concurrency: "unbounded" }
  )
  const options = { fence, confirm: Record.confirm(api, target, fence) }
  const name = secrets._tag === "Kept" ? secrets.name : key && secretName(workload, key)
  const values =
    hasValues && name !== undefined ? yield* applyObjects(api, [secretManifest(workload, name)], options) : []
  if (secrets._tag === "Kept" && name !== undefined) yield* touchSecret(api, target, name, options)
  const manifests = serviceManifests(workload, region, name)
  const objects = yield* applyObjects(api, manifests, options).pipe(
    Effect.tap(() => options.confirm),
    Effect.tapErrorTag("SupersededByNewer", () => takeBack(api, target, manifests))
  )
  const removed = yield* removeUnwanted(api, target, manifests, fence.token)
  return {
    revision: revisionOf(workload, region, name),
    changes: [...(yield* describe([...shared, ...values, ...objects])), ...removed],
    ...(name === undefined ? {} : { secretName: name })
  }
})

/** What {@link applyService} would change. */
export const planService = Effect.fnUntraced(function* (
  api: KubernetesApi,
  region: RegionConfig,
  workload: Workload
) {
  const { generation, image, target } = workload
  const exists = (yield* Project.find(api, target.owner)) !== undefined
  if (exists)
    yield* Record.check(api, target, {
      generation,
      commit: image.commit,
      isPublic: isPublic(workload),
      restoring: false
    })
  const key = exists ? yield* Project.findNamingKey(api, target.owner) : undefined
  const hasValues = Object.keys(workload.secrets).length > 0
  // Without the project's key the name cannot be known yet.
  const name = !hasValues
    ? undefined
    : key === undefined
      ? `${target.service}-env-new`
      : secretName(workload, key)
  const changes = yield* planObjects(
    api,
    [
      hashed(namespaceManifest(target.owner)),
      ...[
        ...projectManifests(target.owner, region),
        ...(name === undefined ? [] : [secretManifest(workload, name)]),
        ...serviceManifests(workload, region, name)
      ].map(hashed)
    ],
    exists
  )
  const shown = yield* Effect.forEach(changes, ({ after, before, ref }) => objectChange(ref, before, after))
  if (!exists) return shown
  const unwanted = yield* unwantedOf(api, target, serviceManifests(workload, region, name))
  const removed = yield* Effect.forEach(unwanted, ({ live, ref }) => objectChange(ref, live, undefined))
  return [...shown, ...removed]
})

/**
 * Deletes those of the service's `secrets` that neither a kept receipt nor the newest deploy uses, unless they have changed
 * since they were read. Pods of the last revision may still need theirs while a rollout goes on, so this comes after it.
 */
export const pruneSecrets = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  secrets: ReadonlyArray<LiveObject>,
  record: Record.ServiceRecord
) {
  const kept = new Set(record.receipts.map(({ secretName }) => secretName))
  yield* Effect.forEach(
    secrets.filter((live) => !kept.has(live.metadata.name) && fenceOf(live) < record.token),
    (live) =>
      deleteRead(api, { kind: kinds.Secret, namespace: target.namespace, name: live.metadata.name }, live),
    { discard: true }
  )
})
