/** Project: the namespace of an owner's services, and what they share. */
import { randomBytes } from "node:crypto"
import { NamespaceTerminating, ProjectNotEmpty, UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { checkOwner, type Owner, ServiceName } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { applyObjects } from "./Apply.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { annotationOf, labelOf, type LiveObject } from "../kubernetes/LiveObject.ts"
import { annotations, fieldManager, hashed, labels, projectLabels } from "../manifests/Manifest.ts"
import { namespace as namespaceManifest, projectManifests } from "../manifests/Project.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { retryConflicts } from "./Retry.ts"

const namespaceRef = (owner: Owner): ObjectRef => ({
  kind: kinds.Namespace,
  namespace: undefined,
  name: owner.namespace
})

/** The owner's namespace when it is there; fails when it is someone else's or is being deleted. */
export const find = Effect.fnUntraced(function* (
  api: KubernetesApi,
  owner: Owner
): Effect.fn.Return<LiveObject | undefined, Failure> {
  const live = yield* api.get(namespaceRef(owner)).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
  if (live === undefined) return undefined
  yield* checkOwner(owner, live.metadata.labels ?? {})
  if (live.metadata.deletionTimestamp !== undefined)
    return yield* new NamespaceTerminating({ namespace: owner.namespace })
  return live
})

/** Makes the namespace the owner's. A plain create decides between two owners who come at the same time. */
export const claimNamespace = Effect.fnUntraced(
  function* (api: KubernetesApi, owner: Owner): Effect.fn.Return<void, Failure> {
    const manifest = namespaceManifest(owner)
    const live = yield* find(api, owner)
    if (live === undefined) {
      yield* api.create(hashed(manifest), namespaceRef(owner))
      return
    }
    const { [annotations.configHash]: hash } = annotationsOf(hashed(manifest))
    if (annotationOf(live, annotations.configHash) !== hash) yield* applyObjects(api, [manifest])
  },
  (effect, _api, owner) => retryConflicts(effect, nameOf(namespaceRef(owner)))
)

const annotationsOf = (manifest: { readonly metadata: Schema.JsonObject }): Schema.JsonObject => {
  const value = manifest.metadata["annotations"]
  return Schema.is(Schema.JsonObject)(value) ? value : {}
}

/** Makes the namespace and all that is shared in it be as it should. */
export const applyProject = Effect.fn("Project.apply")(function* (
  api: KubernetesApi,
  owner: Owner,
  region: RegionConfig
) {
  yield* claimNamespace(api, owner)
  return yield* applyObjects(api, projectManifests(owner, region))
})

/** Holds the key of the project's Secret names, see `secretName`. */
const namingKeyRef = (owner: Owner): ObjectRef => ({
  kind: kinds.Secret,
  namespace: owner.namespace,
  name: "mcpdeploy-naming-key"
})

const KeySecret = Schema.Struct({ data: Schema.Struct({ key: Schema.String }) })

const keyOf = (live: LiveObject, ref: ObjectRef) =>
  Schema.decodeUnknownEffect(KeySecret)(live).pipe(
    Effect.map(({ data }) => Redacted.make(data.key)),
    // The decoder's message would hold the value.
    Effect.mapError(() => new UnexpectedAnswer({ object: nameOf(ref), detail: "it has no key" }))
  )

export const findNamingKey = Effect.fnUntraced(function* (api: KubernetesApi, owner: Owner) {
  const ref = namingKeyRef(owner)
  const live = yield* api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
  return live === undefined ? undefined : yield* keyOf(live, ref)
})

/** The key with which the project's Secrets are named; made at the first use, and never changed. */
export const namingKey = Effect.fnUntraced(
  function* (api: KubernetesApi, owner: Owner): Effect.fn.Return<Redacted.Redacted, Failure> {
    const found = yield* findNamingKey(api, owner)
    if (found !== undefined) return found
    const ref = namingKeyRef(owner)
    const manifest = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: ref.name, namespace: owner.namespace, labels: projectLabels(owner) },
      immutable: true,
      type: "Opaque",
      data: { key: randomBytes(32).toString("base64") }
    }
    return yield* keyOf(yield* api.create(manifest, ref), ref)
  },
  (effect, _api, owner) => retryConflicts(effect, nameOf(namingKeyRef(owner)))
)

/** The names of the services that have anything in a project: a record or a request. */
export const services = Effect.fnUntraced(function* (
  api: KubernetesApi,
  owner: Owner
): Effect.fn.Return<ReadonlyArray<ServiceName>, Failure> {
  const { items } = yield* api.list(
    { kind: kinds.ConfigMap, namespace: owner.namespace, name: "" },
    { label: `${labels.managedBy}=${fieldManager},${labels.service}` }
  )
  const names = new Set(items.map((item) => labelOf(item, labels.service) ?? ""))
  return [...names].filter((name) => Schema.is(ServiceName)(name))
})

/** Begins to delete the namespace of a project without services. Returns whether there is one. */
export const deleteProject = Effect.fnUntraced(function* (
  api: KubernetesApi,
  owner: Owner
): Effect.fn.Return<boolean, Failure> {
  const live = yield* find(api, owner).pipe(
    // It is being deleted already: what is left is to wait.
    Effect.catchTag("NamespaceTerminating", () => api.get(namespaceRef(owner))),
    Effect.catchTag("NotFound", () => Effect.undefined)
  )
  if (live === undefined) return false
  if (live.metadata.deletionTimestamp === undefined) {
    const left = yield* services(api, owner)
    if (left.length > 0) return yield* new ProjectNotEmpty({ namespace: owner.namespace, services: left })
    yield* api
      .delete(namespaceRef(owner), { propagation: "Foreground", precondition: { uid: live.metadata.uid } })
      .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void))
  }
  return true
})
