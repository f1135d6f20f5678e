/** Manifest: a Kubernetes object as it is sent to the API server, and the names by which we know our own. */
import { createHash } from "node:crypto"
import { labelsOf, type Owner, type ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type * as Schema from "effect/Schema"

/** An object's metadata, as it is written. */
export interface ManifestMetadata {
  readonly [key: string]: Schema.Json
  readonly name: string
}

/** A typed object that is JSON as it is. Built from literals that `satisfies` the Kubernetes type. */
export interface Manifest {
  readonly [key: string]: Schema.Json
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ManifestMetadata
}

/** The field manager of everything that is written here. */
export const fieldManager = "mcpdeploy"

/** The labels of what is written. */
export const labels = {
  managedBy: "app.kubernetes.io/managed-by",
  name: "app.kubernetes.io/name",
  service: "mcpdeploy.dev/service",
  /** On jobs and their pods: the service whose command runs there. Not `service`, which would lead users to them. */
  jobOf: "mcpdeploy.dev/job-of",
  /** On what a receipt says that is too much for the record: the service. Not `service`, which marks records and requests. */
  specOf: "mcpdeploy.dev/spec-of",
  /** On pods: identifies the pod template. */
  revision: "mcpdeploy.dev/revision"
} as const

/** The annotations of what is written. */
export const annotations = {
  /** The deploy's generation, for people and for `status`. */
  generation: "mcpdeploy.dev/generation",
  commit: "mcpdeploy.dev/commit",
  /** Fencing token: grows with every claim of the service, see Record.ts. */
  fence: "mcpdeploy.dev/fence",
  /** Hash of the object as it was applied: an equal one needs no write. */
  configHash: "mcpdeploy.dev/config-hash",
  /** On pods: when they were last restarted on request. */
  restartedAt: "mcpdeploy.dev/restarted-at",
  /** On pods: how often kubelet was made to ask whether the app is ready. */
  asked: "mcpdeploy.dev/asked",
  /** On a receipt's spec: the version of the record that last wanted it, see ReceiptSpecs.ts. */
  usedBy: "mcpdeploy.dev/used-by",
  /** On a record: whether the newest deploy wants an Ingress. */
  public: "mcpdeploy.dev/public",
  /** On a record: the commit whose failed deploy was returned from. */
  restoredFrom: "mcpdeploy.dev/restored-from"
} as const

/** Labels of what belongs to a whole project. */
export const projectLabels = (owner: Owner) => ({
  [labels.managedBy]: fieldManager,
  ...labelsOf(owner)
})

/** Labels of what belongs to one service. */
export const serviceLabels = (target: ServiceTarget) => ({
  ...projectLabels(target.owner),
  [labels.name]: target.service,
  [labels.service]: target.service
})

/** Says whose a service's object is; deleting the owner deletes it. */
export interface OwnerReference {
  readonly [key: string]: Schema.Json
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
}

/** Who writes: see Record.ts for how a fence is got. */
export interface Fence {
  readonly generation: number
  readonly token: number
  readonly record: OwnerReference
}

/** The beginning of the content's SHA-256, in hexadecimal digits. */
export const shortHash = (content: Schema.Json, length: number): string =>
  createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, length)

const annotationsOf = (manifest: Manifest): Schema.JsonObject => {
  const existing = manifest.metadata["annotations"]
  return typeof existing === "object" && existing !== null && !isArray(existing) ? existing : {}
}

/** `Array.isArray` does not narrow a readonly array. */
export const isArray = (value: Schema.Json): value is Schema.JsonArray => Array.isArray(value)

/** The object with the hash of its content, so that applying it again can be seen to change nothing. */
export const hashed = (manifest: Manifest): Manifest => ({
  ...manifest,
  metadata: {
    ...manifest.metadata,
    annotations: { ...annotationsOf(manifest), [annotations.configHash]: shortHash(manifest, 16) }
  }
})

/** The object as `fence` writes it: hashed, stamped with the fence, owned by the service's record. */
export const stamped = (manifest: Manifest, fence: Fence): Manifest => {
  const content = hashed(manifest)
  return {
    ...content,
    metadata: {
      ...content.metadata,
      annotations: {
        ...annotationsOf(content),
        [annotations.generation]: String(fence.generation),
        [annotations.fence]: String(fence.token)
      },
      ownerReferences: [fence.record]
    }
  }
}
