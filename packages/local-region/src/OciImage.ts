/** An image of one layer, made from a folder and pushed: for the few images that the region itself needs. */
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { run } from "./Command.ts"
import { CommandFailed } from "./LocalRegionError.ts"

const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip"
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const request = (url: string, init: RequestInit, accepted: ReadonlyArray<number>) =>
  Effect.tryPromise({
    try: (signal) => fetch(url, { ...init, signal }),
    catch: (cause) =>
      new CommandFailed({ command: `${init.method ?? "GET"} ${url}`, exitCode: -1, output: String(cause) })
  }).pipe(
    Effect.filterOrFail(
      (response) => accepted.includes(response.status),
      (response) =>
        new CommandFailed({
          command: `${init.method ?? "GET"} ${url}`,
          exitCode: response.status,
          output: ""
        })
    )
  )

/** Whether the registry has this tag. */
export const exists = (endpoint: string, repository: string, tag: string) =>
  Effect.map(
    request(
      `${endpoint}/v2/${repository}/manifests/${tag}`,
      { method: "HEAD", headers: { accept: mediaTypes.manifest } },
      [200, 404]
    ),
    (response) => response.status === 200
  )

export const pushBlob = Effect.fn("OciImage.pushBlob")(function* (
  endpoint: string,
  repository: string,
  digest: string,
  bytes: Uint8Array<ArrayBuffer>
) {
  const head = yield* request(`${endpoint}/v2/${repository}/blobs/${digest}`, { method: "HEAD" }, [200, 404])
  if (head.status === 200) return
  const upload = yield* request(`${endpoint}/v2/${repository}/blobs/uploads/`, { method: "POST" }, [202])
  const location = new URL(upload.headers.get("location") ?? "", endpoint)
  location.searchParams.set("digest", digest)
  // The registry names itself as its clients inside the bundle know it.
  const target = new URL(`${location.pathname}${location.search}`, endpoint)
  yield* request(
    target.href,
    { method: "PUT", body: bytes, headers: { "content-type": "application/octet-stream" } },
    [201]
  )
})

export const pushManifest = (
  endpoint: string,
  repository: string,
  reference: string,
  mediaType: string,
  bytes: Uint8Array<ArrayBuffer>
) =>
  request(
    `${endpoint}/v2/${repository}/manifests/${reference}`,
    { method: "PUT", body: bytes, headers: { "content-type": mediaType } },
    [201]
  )

export interface OneLayerImage {
  readonly repository: string
  readonly tag: string
  /** The folder that becomes the image's root. */
  readonly root: string
  readonly entrypoint: ReadonlyArray<string>
}

/** Pushes the image; the same folder gives the same digest. */
export const push = Effect.fn("OciImage.push")(function* (endpoint: string, image: OneLayerImage) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "mcpdeploy-image-" })
  const archive = join(folder, "layer.tar.gz")
  yield* run("tar", [
    ...["--create", "--gzip", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"],
    ...["--file", archive, "--directory", image.root, "."]
  ])
  const layer = new Uint8Array(yield* fs.readFile(archive))
  const json = (value: unknown) => new Uint8Array(Buffer.from(JSON.stringify(value)))
  const config = json({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Entrypoint: image.entrypoint },
    rootfs: { type: "layers", diff_ids: [digestOf(gunzipSync(layer))] }
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: mediaTypes.layer, digest: digestOf(layer), size: layer.length }]
  })
  yield* pushBlob(endpoint, image.repository, digestOf(layer), layer)
  yield* pushBlob(endpoint, image.repository, digestOf(config), config)
  yield* pushManifest(endpoint, image.repository, image.tag, mediaTypes.manifest, manifest)
}, Effect.scoped)
