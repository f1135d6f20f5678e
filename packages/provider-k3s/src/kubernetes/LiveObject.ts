/** LiveObject: an object as the API server has it. */
import * as Schema from "effect/Schema"
import { annotations, labels } from "../manifests/Manifest.ts"

const Strings = Schema.Record(Schema.String, Schema.String)

const Metadata = Schema.StructWithRest(
  Schema.Struct({
    name: Schema.String,
    uid: Schema.String,
    resourceVersion: Schema.String,
    generation: Schema.optionalKey(Schema.Int),
    deletionTimestamp: Schema.optionalKey(Schema.String),
    labels: Schema.optionalKey(Strings),
    annotations: Schema.optionalKey(Strings),
    ownerReferences: Schema.optionalKey(
      Schema.Array(Schema.StructWithRest(Schema.Struct({ uid: Schema.String }), [Schema.JsonObject]))
    ),
    managedFields: Schema.optionalKey(
      Schema.Array(
        Schema.StructWithRest(
          Schema.Struct({
            manager: Schema.optionalKey(Schema.String),
            operation: Schema.optionalKey(Schema.String),
            subresource: Schema.optionalKey(Schema.String)
          }),
          [Schema.JsonObject]
        )
      )
    )
  }),
  [Schema.JsonObject]
)

/** An object as the API server has it. */
export const LiveObject = Schema.StructWithRest(Schema.Struct({ metadata: Metadata }), [Schema.JsonObject])
export type LiveObject = typeof LiveObject.Type

/** Items carry no kind of their own. */
export const LiveList = Schema.Struct({
  metadata: Schema.Struct({ resourceVersion: Schema.String, continue: Schema.optionalKey(Schema.String) }),
  items: Schema.Array(LiveObject)
})

/** A label's value. */
export const labelOf = (live: LiveObject, name: string): string | undefined => live.metadata.labels?.[name]

/** An annotation's value. */
export const annotationOf = (live: LiveObject, name: string): string | undefined =>
  live.metadata.annotations?.[name]

/** The fencing token with which the object was written; 0 before the first. */
export const fenceOf = (live: LiveObject): number => Number(annotationOf(live, annotations.fence) ?? 0)

/** Whether this project made the object. */
export const isManaged = (live: LiveObject): boolean => labelOf(live, labels.managedBy) === "mcpdeploy"

/** Whether deleting the object `uid` deletes this one. */
export const isOwnedBy = (live: LiveObject, uid: string): boolean =>
  live.metadata.ownerReferences?.some((owner) => owner.uid === uid) ?? false
