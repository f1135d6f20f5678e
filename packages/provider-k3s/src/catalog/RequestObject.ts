/**
 * RequestObject: the ConfigMap `{service}.request`, in which a service's newest request is kept (a service's name has no dot,
 * so no other object has that name).
 */
import { createHash } from "node:crypto"
import { ObjectNotOwned, UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { DeployRequest, type Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ownerLabels, type ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { annotationOf, isManaged, labelOf, type LiveObject } from "../kubernetes/LiveObject.ts"
import { labels, type Manifest, serviceLabels } from "../manifests/Manifest.ts"

/** {@link repositoryHash} of the request's source. */
export const repositoryLabel = "mcpdeploy.dev/repository"
/** What was noted of a deploy that brings nothing more by itself. */
export type Note = "failed" | "waits for others"

/** A generation, and the {@link Note} of its deploy. */
const noteAnnotation = "mcpdeploy.dev/note"

const noteText = (generation: Generation, note: Note): string => `${generation} ${note}`

const requestKey = "request.json"

/** Equal for URLs that differ in letter case, `.git` or a last slash alone. A label's value may have 63 characters. */
export const repositoryHash = (url: RepositoryUrl): string =>
  createHash("sha256")
    .update(
      url
        .toLowerCase()
        .replace(/\/+$/, "")
        .replace(/\.git$/, "")
    )
    .digest("hex")
    .slice(0, 40)

const RequestObject = Schema.Struct({
  data: Schema.Struct({ [requestKey]: Schema.fromJsonString(DeployRequest) })
})
const decodeObject = Schema.decodeUnknownEffect(RequestObject)
const encodeRequest = Schema.encodeEffect(Schema.fromJsonString(DeployRequest))

/** The request as it is kept. */
export const textOf = (request: DeployRequest): Effect.Effect<string, UnexpectedAnswer> =>
  encodeRequest(request).pipe(
    Effect.mapError(
      (error) => new UnexpectedAnswer({ object: nameOf(refOf(request.target)), detail: error.message })
    )
  )

export const refOf = (target: ServiceTarget): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace: target.namespace,
  name: `${target.service}.request`
})

export const decode = Effect.fnUntraced(function* (
  live: LiveObject
): Effect.fn.Return<DeployRequest, ObjectNotOwned | UnexpectedAnswer> {
  const object = `ConfigMap ${live.metadata.name}`
  const request = yield* decodeObject(live).pipe(
    Effect.map(({ data }) => data[requestKey]),
    Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
  )
  const isItsOwn =
    isManaged(live) &&
    live.metadata["namespace"] === request.owner.namespace &&
    live.metadata.name === refOf(request.target).name &&
    labelOf(live, ownerLabels.user) === request.owner.user &&
    labelOf(live, ownerLabels.project) === request.owner.project &&
    labelOf(live, labels.service) === request.service
  if (!isItsOwn) return yield* new ObjectNotOwned({ object })
  return request
})

/** An entry that cannot be read is left out with a warning: one customer's must not hold up the pushes of all. */
export const decodeOrWarn = (live: LiveObject): Effect.Effect<DeployRequest | undefined> =>
  decode(live).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logWarning(`left out of the catalog: ${error.message}`), undefined)
    )
  )

/** What is noted of the deploy of this generation. */
export const noteOf = (live: LiveObject, generation: Generation): Note | undefined => {
  const text = annotationOf(live, noteAnnotation)
  return (["failed", "waits for others"] as const).find((note) => text === noteText(generation, note))
}

/** The ConfigMap as it is written, over what was read. */
export const manifestOf = (
  request: DeployRequest,
  text: string,
  live: LiveObject | undefined,
  note?: Note
): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: refOf(request.target).name,
    namespace: request.target.namespace,
    labels: {
      ...serviceLabels(request.target),
      [repositoryLabel]: repositoryHash(request.source.repository.url)
    },
    ...(note === undefined ? {} : { annotations: { [noteAnnotation]: noteText(request.generation, note) } }),
    ...(live === undefined ? {} : { uid: live.metadata.uid, resourceVersion: live.metadata.resourceVersion })
  },
  data: { [requestKey]: text }
})
