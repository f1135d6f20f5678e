/** Makes an image of the region's registry available under another name, without pulling it. */
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const accept = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json"
].join(",")

const Descriptor = Schema.Struct({ digest: ImageDigest })
const Manifest = Schema.Struct({
  manifests: Schema.optionalKey(Schema.Array(Descriptor)),
  config: Schema.optionalKey(Descriptor),
  layers: Schema.optionalKey(Schema.Array(Descriptor))
})

const ask = (url: string, init?: RequestInit) =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { ...init, signal })
    const text = await response.text()
    if (!response.ok) throw new Error(`${init?.method ?? "GET"} ${url}: ${response.status} ${text}`)
    return { text, headers: response.headers }
  })

/** Copies `from` (`repository:tag` or `repository@digest`) to the repository `to`, and returns its digest. */
export const copyImage: (
  registry: string,
  from: string,
  to: string,
  reference?: string
) => Effect.Effect<ImageDigest, Schema.SchemaError> = Effect.fn("copyImage")(function* (
  registry,
  from,
  to,
  reference = "latest"
) {
  const { headers, text } = yield* ask(`${registry}/v2/${from}/manifests/${reference}`, {
    headers: { accept }
  })
  const manifest = yield* Schema.decodeEffect(Schema.fromJsonString(Manifest))(text)
  for (const { digest } of manifest.manifests ?? []) yield* copyImage(registry, from, to, digest)
  for (const { digest } of [
    ...(manifest.config === undefined ? [] : [manifest.config]),
    ...(manifest.layers ?? [])
  ])
    yield* ask(`${registry}/v2/${to}/blobs/uploads/?mount=${digest}&from=${from}`, { method: "POST" })
  const digest = yield* Schema.decodeUnknownEffect(ImageDigest)(headers.get("docker-content-digest"))
  yield* ask(`${registry}/v2/${to}/manifests/${digest}`, {
    method: "PUT",
    headers: { "content-type": headers.get("content-type") ?? "" },
    body: text
  })
  return digest
})
