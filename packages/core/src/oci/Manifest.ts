/** What a manifest says that it consists of (OCI image spec 1.1; Docker's schema 2 has the same fields). */
import * as Schema from "effect/Schema"
import { ImageDigest } from "../domain/Image.ts"

const Descriptor = Schema.Struct({ digest: ImageDigest, size: Schema.Int })
export type Descriptor = typeof Descriptor.Type

const Manifest = Schema.Struct({
  config: Schema.optionalKey(Descriptor),
  layers: Schema.optionalKey(Schema.Array(Descriptor)),
  /** Of an index: other manifests, in the same repository. */
  manifests: Schema.optionalKey(Schema.Array(Descriptor))
})

/** A manifest and what it names. */
export interface ManifestSummary {
  readonly digest: ImageDigest
  /** Of the manifest itself, bytes. */
  readonly size: number
  readonly blobs: ReadonlyArray<Descriptor>
  readonly manifests: ReadonlyArray<Descriptor>
}

const decode = Schema.decodeEffect(Schema.fromJsonString(Manifest))
export const decodeManifest = (text: string) => decode(text)

export const summaryOf = (
  digest: ImageDigest,
  size: number,
  { config, layers = [], manifests = [] }: typeof Manifest.Type
): ManifestSummary => ({
  ...{ digest, size, manifests },
  blobs: config === undefined ? layers : [config, ...layers]
})
