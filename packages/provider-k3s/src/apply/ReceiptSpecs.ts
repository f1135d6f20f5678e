/**
 * ReceiptSpecs: what a receipt says of source, build and run, where that is too much for the record. It stands in a ConfigMap
 * of its own, `{service}.spec.{hash}`, once for all receipts of the record that say the same, and goes with the last of them.
 *
 * No receipt may lose its spec to another deploy that records at the same time. Whoever stores one reads the record, touches
 * the spec, and writes the record on condition of what was read; whoever removes one lists the specs, writes the record on
 * condition of what was read, and deletes what it does not name, on condition of what was listed. So either the one sees the
 * other's record, or the touch makes the deletion fail.
 */
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { BuildSpec, RunSpec, SourceSpec } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Conflict, type Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import type { LiveObject } from "../kubernetes/LiveObject.ts"
import {
  annotations,
  fieldManager,
  labels,
  type Manifest,
  type OwnerReference,
  projectLabels,
  shortHash
} from "../manifests/Manifest.ts"

/** Ten receipts with smaller specs fit into the record: a ConfigMap holds 1 MiB (Kubernetes API reference). */
const maxInlineBytes = 64 * 1024

const specKey = "spec.json"

const Spec = Schema.Struct({ source: SourceSpec, build: BuildSpec, run: RunSpec })
const { build: _, run: __, source: ___, ...rest } = Receipt.fields

/** A receipt without its spec. */
const Head = Schema.Struct({ ...rest, /** The ConfigMap that has it. */ spec: Schema.NonEmptyString })
type Head = typeof Head.Type

/** A receipt as the record has it. */
export const KeptReceipt = Schema.Union([Receipt, Head])
export type KeptReceipt = typeof KeptReceipt.Type

/** The record that owns the specs, as it was read. */
export interface Owner {
  readonly reference: OwnerReference
  readonly resourceVersion: string
}

const refOf = ({ namespace }: ServiceTarget, name: string): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace,
  name
})

const encodeSpec = Schema.encodeEffect(Schema.fromJsonString(Spec))
const decodeSpec = Schema.decodeUnknownEffect(
  Schema.Struct({ data: Schema.Struct({ [specKey]: Schema.fromJsonString(Spec) }) })
)

/** The specs that the service has. */
export const list = (api: KubernetesApi, target: ServiceTarget) =>
  Effect.map(
    api.list(refOf(target, ""), {
      label: `${labels.managedBy}=${fieldManager},${labels.specOf}=${target.service}`
    }),
    ({ items }) => items
  )

/** Stores a spec that is not there, and touches one that is. */
const ensure = (api: KubernetesApi, ref: ObjectRef, manifest: Manifest, owner: Owner) =>
  api.create(manifest, ref).pipe(
    Effect.catchTag("AlreadyExists", () =>
      api.patch(ref, [
        { op: "add", path: "/metadata/annotations", value: { [annotations.usedBy]: owner.resourceVersion } }
      ])
    ),
    // It went in between: all is read again.
    Effect.catchTag("NotFound", () => Effect.fail(new Conflict({ object: nameOf(ref) })))
  )

/** The receipt as the record keeps it, once its spec is stored. */
export const keep = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  owner: Owner,
  receipt: KeptReceipt
): Effect.fn.Return<KeptReceipt, Failure> {
  if ("spec" in receipt) return receipt
  const { build, run, source, ...head } = receipt
  const text = yield* encodeSpec({ source, build, run }).pipe(
    Effect.mapError((error) => new UnexpectedAnswer({ object: "a receipt", detail: error.message }))
  )
  if (Buffer.byteLength(text) <= maxInlineBytes) return receipt
  // The record's uid: another record's specs may be on their way out.
  const name = `${target.service}.spec.${shortHash([owner.reference.uid, text], 32)}`
  const ref = refOf(target, name)
  const manifest: Manifest = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name,
      namespace: target.namespace,
      labels: { ...projectLabels(target.owner), [labels.specOf]: target.service },
      annotations: { [annotations.usedBy]: owner.resourceVersion },
      ownerReferences: [owner.reference]
    },
    immutable: true,
    data: { [specKey]: text }
  }
  yield* ensure(api, ref, manifest, owner)
  return { ...head, spec: name }
})

/** The receipts with their specs. `NotFound`: the record is no longer as it was read. */
export const complete = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  receipts: ReadonlyArray<KeptReceipt>
): Effect.fn.Return<ReadonlyArray<Receipt>, Failure> {
  const names = [...new Set(receipts.flatMap((receipt) => ("spec" in receipt ? [receipt.spec] : [])))]
  const specs = yield* Effect.forEach(
    names,
    Effect.fnUntraced(function* (name) {
      const ref = refOf(target, name)
      const { data } = yield* decodeSpec(yield* api.get(ref)).pipe(
        Effect.catchTag("SchemaError", (error) =>
          Effect.fail(new UnexpectedAnswer({ object: nameOf(ref), detail: error.message }))
        )
      )
      return [name, data[specKey]] as const
    }),
    { concurrency: "unbounded" }
  )
  const byName = new Map(specs)
  return receipts.flatMap((receipt) => {
    if (!("spec" in receipt)) return [receipt]
    const { spec, ...head } = receipt
    const found = byName.get(spec)
    return found === undefined ? [] : [new Receipt({ ...head, ...found })]
  })
})

/** Deletes those of the `listed` specs that no kept receipt has, unless they have changed since. */
export const prune = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  listed: ReadonlyArray<LiveObject>,
  kept: ReadonlyArray<KeptReceipt>
) {
  const used = new Set(kept.flatMap((receipt) => ("spec" in receipt ? [receipt.spec] : [])))
  yield* Effect.forEach(
    listed.filter(({ metadata }) => !used.has(metadata.name)),
    ({ metadata: { name, resourceVersion, uid } }) =>
      api
        .delete(refOf(target, name), {
          propagation: "Background",
          precondition: { uid, resourceVersion }
        })
        .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void)),
    { discard: true, concurrency: 4 }
  )
})
