/** A registry's client for tests, images for real registries, and an HTTP server that plays a registry's part. */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { ImageDigest, RegistryName } from "@mcpdeploy/core/domain/Image"
import * as OciRegistry from "@mcpdeploy/core/oci/OciRegistry"
import { Registry } from "@mcpdeploy/core/Registry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export const registryName = RegistryName.make("registry.internal:5000")

export const makeRegistry = (
  access: OciRegistry.RegistryAccess,
  options: Omit<OciRegistry.OciRegistryConfig, "registries"> = {}
) =>
  Layer.build(OciRegistry.layer({ registries: { [registryName]: access }, ...options })).pipe(
    Effect.map(Context.get(Registry))
  )

export const digestOf = (body: string | Buffer): ImageDigest =>
  ImageDigest.make(`sha256:${createHash("sha256").update(body).digest("hex")}`)

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const emptyConfig = Buffer.from("{}")

/** An image without layers; another `note` makes another digest. */
export const manifestOf = (note: string): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf(emptyConfig),
      size: emptyConfig.length
    },
    layers: [],
    annotations: { note }
  })

/** Pushes an image by digest, as a builder does. */
export const pushImage = async (endpoint: string, repository: string, note: string): Promise<ImageDigest> => {
  const start = await fetch(`${endpoint}/v2/${repository}/blobs/uploads/`, { method: "POST" })
  const location = new URL(start.headers.get("location") ?? "", endpoint)
  location.searchParams.set("digest", digestOf(emptyConfig))
  await fetch(location, {
    method: "PUT",
    body: emptyConfig,
    headers: { "content-type": "application/octet-stream" }
  })
  const manifest = manifestOf(note)
  const answer = await fetch(`${endpoint}/v2/${repository}/manifests/${digestOf(manifest)}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": manifestType }
  })
  if (answer.status !== 201) throw new Error(`the registry answered ${answer.status}: ${await answer.text()}`)
  return digestOf(manifest)
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

export interface Double {
  readonly url: string
  /** `METHOD url` of each request. */
  readonly requests: Array<string>
}

/** An HTTP server for as long as the scope. */
export const double = (handler: Handler) =>
  Effect.acquireRelease(
    Effect.callback<Double & { readonly close: () => void }>((resume) => {
      const requests: Array<string> = []
      const server = createServer((request, response) => {
        requests.push(`${request.method} ${request.url}`)
        let body = ""
        request.setEncoding("utf8").on("data", (text: string) => (body += text))
        request.on("end", () => handler(request, response, body))
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address === null || typeof address === "string" ? 0 : address.port
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, requests, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )
