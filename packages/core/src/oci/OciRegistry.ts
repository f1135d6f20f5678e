/** Registry on the OCI distribution protocol (spec 1.1), over undici. */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Agent } from "undici"
import { ImageDigest, type RegistryName } from "../domain/Image.ts"
import { type ImageRepository, Registry, RegistryError } from "../Registry.ts"
import { type Action, makeTokens, type RegistryCredentials } from "./Authorization.ts"
import { decodeManifest, type ManifestSummary, summaryOf } from "./Manifest.ts"
import { type Answer, exchange } from "./Exchange.ts"
import { call, decodeBody, type RegistryClientOptions } from "./RegistryClient.ts"
import {
  InvalidReference,
  MalformedAnswer,
  ManifestMismatch,
  type RegistryReason,
  RegistryNotConfigured,
  RegistryUnsupported
} from "./RegistryReason.ts"

/** Where a registry is reached. */
export interface RegistryAccess {
  /** Such as `https://registry.example.com`, or `http://127.0.0.1:5000`: plain HTTP only where it is written here. */
  readonly url: string
  readonly credentials?: RegistryCredentials
  /** Authorities, as PEM, that are trusted instead of the system's. */
  readonly authorities?: string
}

/** Where registries are reached, and how patiently. */
export interface OciRegistryConfig {
  /** By the name that images carry, such as `registry.internal:5000`. */
  readonly registries: Readonly<Record<RegistryName, RegistryAccess>>
  /** For one request; 30 when absent. */
  readonly timeoutSeconds?: number
  /** Further attempts after a failure that a retry can help; 4 when absent. */
  readonly retries?: number
}

/** Manifests and indexes, of OCI and of Docker. */
const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json"
]
const accept = { accept: manifestTypes.join(", ") }

const RepositoryList = Schema.Struct({ repositories: Schema.NullOr(Schema.Array(Schema.String)) })
const TagList = Schema.Struct({ tags: Schema.NullOr(Schema.Array(Schema.String)) })
const itemsInOnePage = 1000
const maxPages = 1000

const isDigest = Schema.is(ImageDigest)
const digestOf = (body: Buffer): ImageDigest =>
  ImageDigest.make(`sha256:${createHash("sha256").update(body).digest("hex")}`)

/** Grammars of OCI distribution spec 1.1, "Pulling manifests". */
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Everything on the pages of a list: each is asked of the endpoint itself, whatever host the link to it names. */
const pages = Effect.fnUntraced(function* (
  endpoint: URL,
  what: string,
  get: (query: string) => Effect.Effect<Answer, RegistryReason>,
  { decode }: { readonly decode: (answer: Answer) => Effect.Effect<ReadonlyArray<string>, RegistryReason> }
): Effect.fn.Return<ReadonlyArray<string>, RegistryReason> {
  const items = new Set<string>()
  const asked = new Set<string>()
  let query: string | undefined = `?n=${itemsInOnePage}`
  while (query !== undefined) {
    if (asked.has(query) || asked.size >= maxPages)
      return yield* new MalformedAnswer({
        endpoint: endpoint.origin,
        detail: `its list of ${what} has no end`
      })
    asked.add(query)
    const answer: Answer = yield* get(query)
    for (const item of yield* decode(answer)) items.add(item)
    const next = /<([^>]*)>\s*;[^,]*\brel\s*=\s*"?next"?/i.exec(answer.headers["link"] ?? "")?.[1]
    query =
      next === undefined || !URL.canParse(next, endpoint.href) ? undefined : new URL(next, endpoint).search
  }
  return [...items]
})

/** All repositories of a registry. */
const catalog = (client: RegistryClientOptions) =>
  pages(
    client.endpoint,
    "repositories",
    (query) =>
      call(client, { method: "GET", path: `/v2/_catalog${query}`, repository: "catalog", actions: ["*"] }),
    {
      decode: (answer) =>
        Effect.map(
          decodeBody(client.endpoint, RepositoryList, answer),
          ({ repositories }) => repositories ?? []
        )
    }
  )

/** One registry's calls. */
const operations = (client: RegistryClientOptions, repository: string) => {
  const { endpoint } = client
  const send = (
    method: "GET" | "HEAD" | "PUT" | "DELETE",
    path: string,
    actions: ReadonlyArray<Action>,
    rest: { readonly headers?: Readonly<Record<string, string>>; readonly body?: Buffer } = {}
  ) => call(client, { method, path: `/v2/${repository}/${path}`, repository, actions, ...rest })

  /** A manifest's bytes, proven to be those of `digest` where one is asked for. */
  const getManifest = Effect.fnUntraced(function* (reference: string) {
    const answer = yield* send("GET", `manifests/${reference}`, ["pull"], { headers: accept })
    const actual = digestOf(answer.body)
    if (isDigest(reference) && actual !== reference)
      return yield* new ManifestMismatch({ expected: reference, actual })
    return { digest: actual, body: answer.body, type: answer.headers["content-type"]?.split(";")[0] }
  })

  const resolve = Effect.fnUntraced(function* (
    reference: string
  ): Effect.fn.Return<ImageDigest, RegistryReason> {
    const head = send("HEAD", `manifests/${reference}`, ["pull"], { headers: accept })
    const header = yield* head.pipe(
      Effect.map((answer) => answer.headers["docker-content-digest"]),
      Effect.catchTag("RegistryUnsupported", () => Effect.void)
    )
    if (!isDigest(header)) return (yield* getManifest(reference)).digest
    if (isDigest(reference) && header !== reference)
      return yield* new ManifestMismatch({ expected: reference, actual: header })
    return header
  })

  const publish = Effect.fnUntraced(function* (
    tag: string,
    digest: ImageDigest
  ): Effect.fn.Return<{ readonly changed: boolean }, RegistryReason> {
    const present = yield* resolve(tag).pipe(Effect.catchTag("ImageNotFound", () => Effect.void))
    if (present === digest) return { changed: false }
    const manifest = yield* getManifest(digest)
    if (manifest.type === undefined || !manifestTypes.includes(manifest.type)) {
      return yield* new MalformedAnswer({
        endpoint: endpoint.origin,
        detail: `a manifest of type ${manifest.type ?? "none"}`
      })
    }
    const answer = yield* send("PUT", `manifests/${tag}`, ["pull", "push"], {
      headers: { "content-type": manifest.type },
      body: manifest.body
    })
    const stored = answer.headers["docker-content-digest"]
    if (stored !== undefined && stored !== digest)
      return yield* new ManifestMismatch({ expected: digest, actual: stored })
    return { changed: true }
  })

  const list = pages(endpoint, "tags", (query) => send("GET", `tags/list${query}`, ["pull"]), {
    decode: (answer) => Effect.map(decodeBody(endpoint, TagList, answer), ({ tags }) => tags ?? [])
  }).pipe(Effect.catchTag("ImageNotFound", () => Effect.succeed<ReadonlyArray<string>>([])))

  const read = Effect.fnUntraced(function* (
    reference: string
  ): Effect.fn.Return<ManifestSummary, RegistryReason> {
    const { body, digest } = yield* getManifest(reference)
    const manifest = yield* decodeManifest(body.toString("utf8")).pipe(
      Effect.mapError((error) => new MalformedAnswer({ endpoint: endpoint.origin, detail: error.message }))
    )
    return summaryOf(digest, body.length, manifest)
  })

  const remove = (reference: string): Effect.Effect<void, RegistryReason> => {
    const unsupported = () =>
      new RegistryUnsupported({
        detail: isDigest(reference)
          ? "the registry does not delete manifests: switch deletion on (REGISTRY_STORAGE_DELETE_ENABLED=true in distribution's registry)"
          : "the registry does not delete single tags: delete the manifest by its digest, which deletes all its tags"
      })
    return send("DELETE", `manifests/${reference}`, ["pull", "delete"]).pipe(
      Effect.asVoid,
      Effect.catchTags({
        ImageNotFound: () => Effect.void,
        RegistryUnsupported: unsupported,
        // Registries from before the operation existed read the tag as a digest that is malformed.
        RegistryRefused: (reason) => (isDigest(reference) ? reason : unsupported())
      })
    )
  }

  return { resolve, publish, list, remove, read }
}

/** {@link Registry} by the OCI distribution protocol. It connects when it is first asked. */
export const layer = (config: OciRegistryConfig): Layer.Layer<Registry> =>
  Layer.effect(
    Registry,
    Effect.gen(function* () {
      const timeoutSeconds = config.timeoutSeconds ?? 30
      const clients = new Map<string, RegistryClientOptions>()
      for (const [name, { url, credentials, authorities }] of Object.entries<RegistryAccess>(
        config.registries
      )) {
        const dispatcher = yield* Effect.acquireRelease(
          Effect.sync(
            () =>
              new Agent({
                // On an HTTP/2 connection that is reset undici 8.12 may let a request hang until its timeout.
                allowH2: false,
                connect: {
                  timeout: Math.min(timeoutSeconds, 10) * 1000,
                  ...(authorities === undefined ? {} : { ca: authorities })
                }
              })
          ),
          (agent) => Effect.promise(() => agent.destroy())
        )
        const endpoint = new URL(url)
        const tokens = makeTokens({
          endpoint,
          credentials,
          get: (url, headers) => exchange({ dispatcher, timeoutSeconds }, url, { method: "GET", headers })
        })
        clients.set(name, {
          dispatcher,
          endpoint,
          credentials,
          tokens,
          timeoutSeconds,
          retries: config.retries ?? 4
        })
      }

      const at = Effect.fnUntraced(function* (
        { registry, repository }: ImageRepository,
        reference?: string
      ): Effect.fn.Return<ReturnType<typeof operations>, RegistryReason> {
        const client = clients.get(registry)
        if (client === undefined) return yield* new RegistryNotConfigured({ registry })
        if (!repositoryPattern.test(repository)) return yield* new InvalidReference({ reference: repository })
        if (reference !== undefined && !tagPattern.test(reference) && !isDigest(reference))
          return yield* new InvalidReference({ reference })
        return operations(client, repository)
      })

      const failed =
        (operation: RegistryError["operation"]) =>
        <A>(
          effect: Effect.Effect<A, RegistryReason>,
          { registry, repository }: ImageRepository,
          reference?: string
        ) =>
          Effect.mapError(effect, (reason) => {
            const name = `${registry}/${repository}`
            const image =
              reference === undefined ? name : `${name}${reference.includes(":") ? "@" : ":"}${reference}`
            return new RegistryError({ operation, image, reason })
          })

      return Registry.of({
        resolve: Effect.fn("Registry.resolve")(function* (repository, reference) {
          return yield* (yield* at(repository, reference)).resolve(reference)
        }, failed("resolve")),
        publish: Effect.fn("Registry.publish")(function* (repository, tag, digest) {
          return yield* (yield* at(repository, tag)).publish(tag, digest)
        }, failed("publish")),
        list: Effect.fn("Registry.list")(function* (repository) {
          return yield* (yield* at(repository)).list
        }, failed("list")),
        delete: Effect.fn("Registry.delete")(function* (repository, reference) {
          yield* (yield* at(repository, reference)).remove(reference)
        }, failed("delete")),
        read: Effect.fn("Registry.read")(function* (repository, reference) {
          return yield* (yield* at(repository, reference)).read(reference)
        }, failed("read")),
        repositories: Effect.fn("Registry.repositories")(
          function* (registry): Effect.fn.Return<ReadonlyArray<string>, RegistryReason> {
            const client = clients.get(registry)
            return client === undefined
              ? yield* new RegistryNotConfigured({ registry })
              : yield* catalog(client)
          },
          (effect, registry) =>
            Effect.mapError(
              effect,
              (reason) => new RegistryError({ operation: "list", image: registry, reason })
            )
        )
      })
    })
  )
