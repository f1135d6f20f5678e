/** Registry: tags and manifests of an OCI registry (OCI distribution spec 1.1). */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ImageDigest, RegistryName } from "./domain/Image.ts"
import type { ManifestSummary } from "./oci/Manifest.ts"
import { RegistryReason } from "./oci/RegistryReason.ts"

export type { ManifestSummary } from "./oci/Manifest.ts"
export * from "./oci/RegistryReason.ts"

/** Why a registry did not do what it was asked for. */
export class RegistryError extends Schema.TaggedError<RegistryError>()("RegistryError", {
  operation: Schema.Literals(["resolve", "publish", "list", "delete", "read"]),
  image: Schema.String,
  reason: RegistryReason
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `${this.operation} of ${this.image}: ${this.reason.message}`
  }
}

/** A repository in a registry. `ImageRef` is one. */
export interface ImageRepository {
  readonly registry: RegistryName
  /** Path, such as `dp-ann-shop/web`. */
  readonly repository: string
}

/** Tags and manifests of an OCI registry. */
export class Registry extends Context.Service<
  Registry,
  {
    /** The digest that a tag (or digest) has now. */
    readonly resolve: (
      repository: ImageRepository,
      reference: string
    ) => Effect.Effect<ImageDigest, RegistryError>
    /** Sets a tag for a manifest that is in the repository. Repeating it changes nothing. `changed` tells whether it wrote. */
    readonly publish: (
      repository: ImageRepository,
      tag: string,
      digest: ImageDigest
    ) => Effect.Effect<{ readonly changed: boolean }, RegistryError>
    /** All tags of a repository; none for one that does not exist. */
    readonly list: (repository: ImageRepository) => Effect.Effect<ReadonlyArray<string>, RegistryError>
    /** Deletes a tag or, by digest, a manifest with all its tags. Deleting what is not there succeeds. */
    readonly delete: (repository: ImageRepository, reference: string) => Effect.Effect<void, RegistryError>
    /** All repositories of a registry, by path, also such as hold nothing any more. */
    readonly repositories: (registry: RegistryName) => Effect.Effect<ReadonlyArray<string>, RegistryError>
    /** What a tag or digest consists of. */
    readonly read: (
      repository: ImageRepository,
      reference: string
    ) => Effect.Effect<ManifestSummary, RegistryError>
  }
>()("mcpdeploy/core/Registry") {}
