/**
 * Images: what the cluster needs of the registry. Too much is harmless, too little breaks a customer's next restart: so
 * objects are searched as text, whatever field an image stands in, and a record that cannot be read is an error.
 */
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceImages } from "@mcpdeploy/core/Projects"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ImageDigest, internalRegistry } from "@mcpdeploy/core/domain/Image"
import type { Namespace } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds } from "../kubernetes/Kind.ts"
import { labelOf, type LiveObject } from "../kubernetes/LiveObject.ts"
import { fieldManager, labels } from "../manifests/Manifest.ts"

/** Kinds that run images, or will. */
const runningKinds = [kinds.Pod, kinds.Deployment, kinds.ReplicaSet, kinds.CronJob, kinds.Job]

const inText = new RegExp(
  `${internalRegistry.replaceAll(".", "[.]")}/([a-z0-9-]+/[a-z0-9-]+)(?::[0-9a-f]{40})?@(sha256:[0-9a-f]{64})`,
  "g"
)

const RecordData = Schema.Struct({
  data: Schema.Struct({
    "receipts.json": Schema.fromJsonString(
      Schema.Array(
        Schema.Struct({
          image: Schema.Struct({ namespace: Schema.String, service: Schema.String }),
          digest: ImageDigest,
          generation: Generation,
          deployedAt: Schema.String
        })
      )
    )
  })
})
/** The API server notes when each writer last wrote (Kubernetes API reference, ManagedFieldsEntry). */
const RequestData = Schema.Struct({
  metadata: Schema.Struct({
    managedFields: Schema.Array(Schema.Struct({ time: Schema.optionalKey(Schema.String) }))
  }),
  data: Schema.Struct({
    "request.json": Schema.fromJsonString(Schema.Struct({ generation: Generation }))
  })
})

const decodeAs =
  <A>(schema: Schema.Decoder<A>) =>
  (live: LiveObject) =>
    Schema.decodeUnknownEffect(schema)(live).pipe(
      Effect.mapError(
        (error) =>
          new UnexpectedAnswer({
            object: `ConfigMap ${live.metadata.name} in ${String(live.metadata["namespace"])}`,
            detail: error.message
          })
      )
    )

interface Needs {
  readonly digests: Set<ImageDigest>
  requested?: Generation
  requestedAt?: number
  deployed?: { readonly generation: Generation; readonly deployedAt: string }
}

/** Of the whole region, or of one namespace. */
export const images = Effect.fn("Images.images")(function* (
  api: KubernetesApi,
  namespace: Namespace | undefined
): Effect.fn.Return<ReadonlyArray<ServiceImages>, Failure> {
  const all = new Map<string, Needs>()
  const needsOf = (repository: string): Needs => {
    const found = all.get(repository) ?? { digests: new Set() }
    all.set(repository, found)
    return found
  }
  // Receipts come last: what becomes a receipt between the two was in a Deployment before.
  for (const kind of runningKinds) {
    const { items } = yield* api.list({ kind, namespace, name: "" })
    for (const item of items)
      for (const [, repository = "", digest = ""] of JSON.stringify(item).matchAll(inText))
        needsOf(repository).digests.add(ImageDigest.make(digest))
  }
  const { items } = yield* api.list(
    { kind: kinds.ConfigMap, namespace, name: "" },
    { label: `${labels.managedBy}=${fieldManager},${labels.service}` }
  )
  for (const item of items) {
    const service = labelOf(item, labels.service) ?? ""
    const needs = needsOf(`${String(item.metadata["namespace"])}/${service}`)
    if (item.metadata.name !== service) {
      const { data, metadata } = yield* decodeAs(RequestData)(item)
      needs.requested = data["request.json"].generation
      needs.requestedAt = Math.max(...metadata.managedFields.map(({ time = "" }) => Date.parse(time) || 0))
      continue
    }
    const receipts = (yield* decodeAs(RecordData)(item)).data["receipts.json"]
    for (const { digest, image } of receipts)
      needsOf(`${image.namespace}/${image.service}`).digests.add(digest)
    const [newest] = receipts
    if (newest !== undefined)
      needs.deployed = { generation: newest.generation, deployedAt: newest.deployedAt }
  }
  return [...all].map(([repository, { digests, ...rest }]) => ({
    ...rest,
    repository,
    digests: [...digests]
  }))
})
