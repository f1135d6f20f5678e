/** Puts images into the local registry: plain HTTP, no credentials (OCI distribution spec 1.1). Sends only what is absent. */
import { openAsBlob } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { PushFailed } from "./BaseImagesError.ts"
import { type Image, type Layer, manifestType } from "./OciImage.ts"

/** A blob takes a second; a registry on a busy disk some more. */
const requestTimeout = "2 minutes"

export const make = Effect.fn("RegistryPush.make")(function* (endpoint: string) {
  /** One image at a time, so that a layer of several is sent once. */
  const pushing = yield* Semaphore.make(1)
  /** Digest to a repository that has it: the registry then links it instead of getting it again. */
  const holders = new Map<string, string>()

  const request = (
    image: string,
    method: string,
    url: URL,
    accepted: ReadonlyArray<number>,
    init: { readonly body?: Blob; readonly headers?: Readonly<Record<string, string>> } = {}
  ) => {
    const failed = (detail: string) =>
      new PushFailed({ image, detail: `${method} ${url.pathname}: ${detail}` })
    return Effect.gen(function* () {
      const response = yield* Effect.tryPromise({
        try: (signal) => fetch(url, { method, signal, ...init }),
        catch: (cause) => failed(cause instanceof Error ? String(cause.cause ?? cause) : String(cause))
      })
      const text = yield* Effect.promise(() => response.text().catch(() => ""))
      if (!accepted.includes(response.status))
        return yield* failed(`${response.status} ${text.slice(0, 500)}`)
      return response
    }).pipe(
      Effect.timeoutOrElse({
        duration: requestTimeout,
        orElse: () => Effect.fail(failed(`no answer in ${requestTimeout}`))
      })
    )
  }

  const at = (path: string) => new URL(path, endpoint)

  const pushBlob = Effect.fn("RegistryPush.blob")(function* (
    repository: string,
    digest: string,
    content: () => Promise<Blob>
  ) {
    const holder = holders.get(digest)
    holders.set(digest, repository)
    const head = yield* request(repository, "HEAD", at(`/v2/${repository}/blobs/${digest}`), [200, 404])
    if (head.status === 200) return 0
    const uploads = at(`/v2/${repository}/blobs/uploads/`)
    if (holder !== undefined) {
      uploads.searchParams.set("mount", digest)
      uploads.searchParams.set("from", holder)
    }
    const upload = yield* request(repository, "POST", uploads, [201, 202])
    if (upload.status === 201) return 0
    // The registry may name itself as others know it: only the path and its query count.
    const location = new URL(upload.headers.get("location") ?? "", uploads)
    const target = at(`${location.pathname}${location.search}`)
    target.searchParams.set("digest", digest)
    const body = yield* Effect.tryPromise({
      try: content,
      catch: (cause) => new PushFailed({ image: repository, detail: String(cause) })
    })
    yield* request(repository, "PUT", target, [201], {
      body,
      headers: { "content-type": "application/octet-stream" }
    })
    return body.size
  })

  const layerBlob = ({ file }: Layer) => openAsBlob(file)
  const bytesBlob = (bytes: Uint8Array<ArrayBuffer>) => () => Promise.resolve(new Blob([bytes]))

  /** Whether the registry has the image under this tag. */
  const has = Effect.fn("RegistryPush.has")((repository: string, tag: string, image: Image) =>
    request(repository, "HEAD", at(`/v2/${repository}/manifests/${tag}`), [200, 404], {
      headers: { accept: manifestType }
    }).pipe(Effect.map(({ headers }) => headers.get("docker-content-digest") === image.manifest.digest))
  )

  /** Bytes that were sent. */
  const push = Effect.fn("RegistryPush.push")(
    function* (repository: string, tags: ReadonlyArray<string>, image: Image) {
      let sent = 0
      for (const layer of image.layers)
        sent += yield* pushBlob(repository, layer.digest, () => layerBlob(layer))
      sent += yield* pushBlob(repository, image.config.digest, bytesBlob(image.config.bytes))
      for (const tag of tags) {
        const answer = yield* request(repository, "PUT", at(`/v2/${repository}/manifests/${tag}`), [201], {
          body: new Blob([image.manifest.bytes]),
          headers: { "content-type": manifestType }
        })
        const digest = answer.headers.get("docker-content-digest")
        if (digest !== image.manifest.digest) {
          return yield* new PushFailed({
            image: `${repository}:${tag}`,
            detail: `it has the digest ${digest ?? "(none)"} there, and ${image.manifest.digest} here`
          })
        }
      }
      return sent
    },
    (effect) => Effect.retry(effect, Schedule.exponential("200 millis").pipe(Schedule.upTo({ times: 3 })))
  )

  return { has, push: (...args: Parameters<typeof push>) => pushing.withPermits(1)(push(...args)) }
})
