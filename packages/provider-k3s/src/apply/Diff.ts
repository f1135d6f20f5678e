/** Diff: how an object changes, as a unified diff of its YAML that shows no secret value and none of the server's own fields. */
import type { ObjectChange } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import * as TextDiff from "effect/TextDiff"
import type * as Schema from "effect/Schema"
import { nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { annotations, isArray } from "../manifests/Manifest.ts"

const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !isArray(value)

const without = (object: Schema.JsonObject, keys: ReadonlyArray<string>): Schema.JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))

/** Metadata that the server, or we for ourselves, keep there. */
const serverMetadata = [
  "managedFields",
  "resourceVersion",
  "uid",
  "generation",
  "creationTimestamp",
  "ownerReferences"
]
const bookkeeping = [
  annotations.configHash,
  annotations.fence,
  annotations.generation,
  "deployment.kubernetes.io/revision"
]

const redact = (data: Schema.Json | undefined): Schema.JsonObject =>
  isObject(data) ? Object.fromEntries(Object.keys(data).map((key) => [key, "<redacted>"])) : {}

/** What of an object a person wants to see, in the order of the Kubernetes documentation. */
const readable = (object: Schema.JsonObject, ref: ObjectRef): Schema.JsonObject => {
  const metadata = isObject(object["metadata"]) ? without(object["metadata"], serverMetadata) : {}
  const shown = isObject(metadata["annotations"]) ? without(metadata["annotations"], bookkeeping) : {}
  return {
    apiVersion: ref.kind.apiVersion,
    kind: ref.kind.kind,
    metadata: {
      ...without(metadata, ["annotations"]),
      ...(Object.keys(shown).length === 0 ? {} : { annotations: shown })
    },
    ...without(object, ["apiVersion", "kind", "metadata", "status"]),
    ...(ref.kind.kind === "Secret" ? { data: redact(object["data"]) } : {})
  }
}

/** Work is bounded for objects that have little in common. */
const maxEdits = 2_000

/** Values under the same key of two versions of a Secret that differ are said to differ, and no more. */
const changedSecretKeys = (before: Schema.JsonObject | undefined, after: Schema.JsonObject | undefined) => {
  const [old, current] = [before?.["data"], after?.["data"]]
  if (!isObject(old) || !isObject(current)) return []
  return Object.keys(current).filter((key) => key in old && old[key] !== current[key])
}

/** `after` is absent for an object that is deleted, `before` for one that is created. */
export const objectChange = Effect.fnUntraced(function* (
  ref: ObjectRef,
  before: Schema.JsonObject | undefined,
  after: Schema.JsonObject | undefined
): Effect.fn.Return<ObjectChange> {
  const object = nameOf(ref)
  if (before === after) return { object, action: "unchanged", lines: [] }
  // Loaded when there is something to show: deploys that change nothing do not need it.
  const { stringify } = yield* Effect.promise(() => import("yaml"))
  const changed = ref.kind.kind === "Secret" ? changedSecretKeys(before, after) : []
  const textOf = (value: Schema.JsonObject | undefined, mark: string) => {
    if (value === undefined) return ""
    const shown = readable(value, ref)
    const data = shown["data"]
    const marked =
      isObject(data) && changed.length > 0
        ? {
            ...shown,
            data: { ...data, ...Object.fromEntries(changed.map((key) => [key, `<redacted ${mark}>`])) }
          }
        : shown
    return stringify(marked, { lineWidth: 0, aliasDuplicateObjects: false, sortMapEntries: false })
  }
  const diff = TextDiff.unified(
    TextDiff.lines(textOf(before, "before"), textOf(after, "after"), { maxEdits }),
    {
      fromFile: before === undefined ? "/dev/null" : object,
      toFile: after === undefined ? "/dev/null" : object
    }
  )
  if (diff === "") return { object, action: "unchanged", lines: [] }
  return {
    object,
    action: before === undefined ? "create" : after === undefined ? "delete" : "update",
    lines: diff.replace(/\n$/, "").split("\n")
  }
})
