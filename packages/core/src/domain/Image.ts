/** Names of container images in the platform's registry (OCI distribution spec 1.1). */
import * as Schema from "effect/Schema"
import { ServiceName, Namespace } from "./Identity.ts"
import { CommitSha } from "./Source.ts"

/** `sha256:` and 64 hexadecimal digits: the digest of an image's manifest. */
export const ImageDigest = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/, { expected: "sha256:<64 hexadecimal digits>" })),
  Schema.brand("ImageDigest")
)
export type ImageDigest = typeof ImageDigest.Type

/** A registry's name as images carry it: host, and port where it is not 443. Where it is reached is configuration. */
export const RegistryName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?$/, { expected: "host or host:port" })
  ),
  Schema.brand("RegistryName")
)
export type RegistryName = typeof RegistryName.Type

/** The seed name of every region's registry. */
export const internalRegistry = RegistryName.make("registry.internal:5000")

/** `{registry}/dp-{user_id}-{project}/{service}:{git_sha}`. */
export class ImageRef extends Schema.Class<ImageRef>("mcpdeploy/core/ImageRef")({
  registry: RegistryName,
  namespace: Namespace,
  service: ServiceName,
  commit: CommitSha
}) {
  /** Path of the repository in the registry: `dp-{user_id}-{project}/{service}`. */
  get repository(): string {
    return `${this.namespace}/${this.service}`
  }
  /** Name without tag: `{registry}/{repository}`. */
  get name(): string {
    return `${this.registry}/${this.repository}`
  }
  override toString(): string {
    return `${this.name}:${this.commit}`
  }
  /** The name that a pod uses: `{registry}/{repository}@sha256:…`. */
  withDigest(digest: ImageDigest): string {
    return `${this.name}@${digest}`
  }
}

/** A tag (OCI distribution spec 1.1, "Pulling manifests"). */
export const ImageTag = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, {
      expected: "at most 128 letters, digits, dots, hyphens and underscores"
    })
  ),
  Schema.brand("ImageTag")
)
export type ImageTag = typeof ImageTag.Type

/** An image of the platform's own, beside all customers': `{registry}/mcpdeploy/{component}:{tag}`. */
export class PlatformImage extends Schema.Class<PlatformImage>("mcpdeploy/core/PlatformImage")({
  registry: RegistryName,
  component: ServiceName,
  tag: ImageTag
}) {
  get namespace(): string {
    return "mcpdeploy"
  }
  get repository(): string {
    return `${this.namespace}/${this.component}`
  }
  /** Name without tag. */
  get name(): string {
    return `${this.registry}/${this.repository}`
  }
  override toString(): string {
    return `${this.name}:${this.tag}`
  }
}
