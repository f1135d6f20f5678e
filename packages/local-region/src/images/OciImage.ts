/** An image of kept layers: its configuration and manifest (OCI image spec 1.1), the same bytes for the same layers. */
import { createHash } from "node:crypto"
import { architecture } from "./Recipes.ts"
import type { RunConfig, StandIn } from "./StandIns.ts"

/** A layer that is kept, compressed. Digests as `sha256:<hex>`. */
export interface Layer {
  /** Of the compressed bytes. */
  readonly digest: string
  /** Of the tar. */
  readonly diffId: string
  /** Bytes, compressed. */
  readonly size: number
  /** Of the compressed bytes. */
  readonly file: string
}

export interface Blob {
  readonly digest: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

export interface Image {
  readonly config: Blob
  readonly manifest: Blob
  readonly layers: ReadonlyArray<Layer>
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json"

export const sha256 = (bytes: Uint8Array): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const blob = (value: object): Blob => {
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  return { digest: sha256(bytes), bytes }
}

/** What an image is, besides its layers. */
export interface ImageSpec {
  readonly config: Partial<RunConfig>
  /** How each layer was made, lowest first. */
  readonly history: ReadonlyArray<string>
  readonly description: string
  readonly layerType: "application/vnd.oci.image.layer.v1.tar" | "application/vnd.oci.image.layer.v1.tar+zstd"
}

export const make = (spec: ImageSpec, layers: ReadonlyArray<Layer>): Image => {
  const config = blob({
    architecture,
    os: "linux",
    config: spec.config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: spec.history.map((created_by) => ({ created_by }))
  })
  const manifest = blob({
    schemaVersion: 2,
    mediaType: manifestType,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: config.digest,
      size: config.bytes.length
    },
    layers: layers.map(({ digest, size }) => ({ mediaType: spec.layerType, digest, size })),
    annotations: { "org.opencontainers.image.description": spec.description }
  })
  return { config, manifest, layers }
}

/** The image that stands in for one of Docker Hub's. */
export const ofStandIn = (standIn: StandIn, layers: ReadonlyArray<Layer>): Image =>
  make(
    {
      config: standIn.config,
      history: standIn.layers.map((name) => `mcpdeploy local region: layer ${name}`),
      description: `stands in for docker.io/library/${standIn.name} on a local region; made from ${standIn.madeFrom}`,
      layerType: "application/vnd.oci.image.layer.v1.tar+zstd"
    },
    layers
  )
