/** MirrorRecord: the list of mirrors, a ConfigMap for each in the platform's namespace: it outlives Gitea. */
import { createHash } from "node:crypto"
import { type MirrorName, MirrorRefused, MirrorSpec, MirrorUnavailable } from "@mcpdeploy/core/GitMirror"
import type { ApiFailure } from "@mcpdeploy/provider-k3s/kubernetes/ApiFailure"
import type { KubernetesApi } from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds, type ObjectRef } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import type { LiveObject } from "@mcpdeploy/provider-k3s/kubernetes/LiveObject"
import { fieldManager, labels } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const mirrorLabel = "mcpdeploy.dev/mirror"
const dataKey = "mirror.json"

const Record = Schema.Struct({
  data: Schema.Struct({ [dataKey]: Schema.fromJsonString(MirrorSpec) })
})
const decodeRecord = Schema.decodeUnknownEffect(Record)
const encodeSpec = Schema.encodeEffect(Schema.fromJsonString(MirrorSpec))

const failed = (failure: ApiFailure): MirrorUnavailable | MirrorRefused => {
  const detail = `the list of mirrors in the cluster: ${failure.message}`
  return failure._tag === "ClusterUnreachable"
    ? new MirrorUnavailable({ detail })
    : new MirrorRefused({ detail })
}

const refOf = (namespace: string, name: MirrorName): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace,
  name: `mirror-${createHash("sha256").update(name).digest("hex").slice(0, 20)}`
})

const specOf = (live: LiveObject) =>
  decodeRecord(live).pipe(
    Effect.map(({ data }) => data[dataKey]),
    Effect.mapError(
      (error) =>
        new MirrorRefused({
          detail: `ConfigMap ${live.metadata.name} is no record of a mirror: ${error.message}`
        })
    )
  )

export const find = Effect.fnUntraced(function* (api: KubernetesApi, namespace: string, name: MirrorName) {
  const live = yield* api.get(refOf(namespace, name)).pipe(
    Effect.catchTag("NotFound", () => Effect.undefined),
    Effect.mapError(failed)
  )
  return live === undefined ? undefined : yield* specOf(live)
})

export const list = Effect.fnUntraced(function* (api: KubernetesApi, namespace: string) {
  const { items } = yield* api
    .list({ kind: kinds.ConfigMap, namespace, name: "" }, { label: mirrorLabel })
    .pipe(Effect.mapError(failed))
  const specs = yield* Effect.forEach(items, specOf)
  return specs.toSorted((one, other) => (one.name < other.name ? -1 : 1))
})

/** Writes the record, and the namespace where it is absent. */
export const put = Effect.fnUntraced(function* (api: KubernetesApi, namespace: string, spec: MirrorSpec) {
  const ref = refOf(namespace, spec.name)
  const managed = { [labels.managedBy]: fieldManager }
  const text = yield* Effect.orDie(encodeSpec(spec))
  const write = api.apply(
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: ref.name, namespace, labels: { ...managed, [mirrorLabel]: "true" } },
      data: { [dataKey]: text }
    },
    ref
  )
  const makeNamespace = api
    .create(
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels: managed } },
      { kind: kinds.Namespace, namespace: undefined, name: namespace }
    )
    .pipe(Effect.catchTag("AlreadyExists", () => Effect.void))
  yield* write.pipe(
    Effect.catchTag("NotFound", () => Effect.andThen(makeNamespace, write)),
    Effect.mapError(failed)
  )
})

export const remove = (api: KubernetesApi, namespace: string, name: MirrorName) =>
  api.delete(refOf(namespace, name), { propagation: "Background" }).pipe(
    Effect.catchTag("NotFound", () => Effect.void),
    Effect.mapError(failed)
  )
