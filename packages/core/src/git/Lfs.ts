/**
 * Git LFS, by its batch API (git-lfs/docs/api/batch.md): the objects of a checkout's pointers replace the pointers.
 *
 * git-lfs itself is not used: it follows whatever address a server answers with, and nothing confines it. Here objects
 * come from the repository's own origin, or from hosts that were configured; the repository's `.lfsconfig` is not read.
 */
import { createHash } from "node:crypto"
import { lookup } from "node:dns"
import { lstat, open, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Agent, type Dispatcher, request } from "undici"
import { emit, StepProgress } from "../domain/DeployEvent.ts"
import type { FetchTarget } from "./FetchCommit.ts"
import { authorization, git } from "./GitCommand.ts"
import { saysDiskFull } from "./GitFailure.ts"
import { DiskFull, type GitReason, HostUnreachable, LfsRefused, RepositoryTooLarge } from "./GitReason.ts"
import { checkHost, type HostPolicy, isPublicAddress, mayBePrivate } from "./HostPolicy.ts"

interface Pointer {
  readonly path: string
  readonly oid: string
  readonly size: number
}

/** A pointer is smaller (git-lfs/docs/spec.md). */
const maxPointerBytes = 1024
const objectsInOneBatch = 100
const mediaType = "application/vnd.git-lfs+json"

const BatchAnswer = Schema.fromJsonString(
  Schema.Struct({
    objects: Schema.Array(
      Schema.Struct({
        oid: Schema.String,
        error: Schema.optionalKey(Schema.Struct({ message: Schema.String })),
        actions: Schema.optionalKey(
          Schema.Struct({
            download: Schema.optionalKey(
              Schema.Struct({
                href: Schema.String,
                header: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
              })
            )
          })
        )
      })
    )
  })
)

const parsePointer = (path: string, text: string): Pointer | undefined => {
  const [, oid, size] =
    /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n/.exec(
      text
    ) ?? []
  return oid === undefined || size === undefined ? undefined : { path, oid, size: Number(size) }
}

/** The files that `.gitattributes` gives to LFS, and that are pointers. */
const readPointers = Effect.fnUntraced(function* (
  target: FetchTarget
): Effect.fn.Return<ReadonlyArray<Pointer>, GitReason> {
  const paths: Array<string> = []
  yield* git({
    settings: target.settings,
    gitDir: target.gitDir,
    workTree: target.files,
    args: ["ls-files", "-z", "--", ":(top,attr:filter=lfs)"],
    separator: "\u0000",
    onRecord: (path) => {
      paths.push(path)
      return undefined
    }
  })
  const pointers = yield* Effect.forEach(
    paths,
    (path) =>
      Effect.promise(async () => {
        const file = join(target.files, path)
        // Not found: its name is not UTF-8. Then no image can hold it, and it may stay a pointer.
        const info = await lstat(file).catch(() => undefined)
        if (info === undefined || !info.isFile() || info.size >= maxPointerBytes) return undefined
        return parsePointer(path, await readFile(file, "utf8"))
      }),
    { concurrency: 8 }
  )
  return pointers.filter((pointer) => pointer !== undefined)
})

/** Connects only to addresses that the policy allows, whatever a name resolves to at that moment. */
const confined = (policy: HostPolicy, url: URL): Agent =>
  new Agent({
    // On an HTTP/2 connection that is reset undici 8.12 may let a request hang until its timeout.
    allowH2: false,
    headersTimeout: 30_000,
    bodyTimeout: 30_000,
    connect: {
      timeout: 10_000,
      lookup: (hostname, options, callback) => {
        lookup(hostname, { ...options, all: true }, (error, addresses) => {
          if (error !== null) return callback(error, [])
          const allowed = addresses.filter(
            ({ address }) => mayBePrivate(policy, url) || isPublicAddress(address)
          )
          return allowed.length === 0
            ? callback(new Error(`${hostname} has no public address`), [])
            : callback(null, allowed)
        })
      }
    }
  })

const exchange = <A>(url: URL, run: () => Promise<A>, folder: string): Effect.Effect<A, GitReason> =>
  Effect.tryPromise({
    try: run,
    catch: (error) => {
      const detail = error instanceof Error ? error.message : String(error)
      return saysDiskFull(detail)
        ? new DiskFull({ folder })
        : new HostUnreachable({ detail: `${url.host}: ${detail}` })
    }
  })

/** Writes an object in place of its pointer, once its bytes are proven to be those of its name. */
const download = async (
  dispatcher: Dispatcher,
  href: URL,
  headers: Readonly<Record<string, string>>,
  pointer: Pointer,
  file: string
): Promise<GitReason | undefined> => {
  const response = await request(href, { dispatcher, headers })
  const refuse = async (detail: string) => {
    await response.body.dump()
    return new LfsRefused({ detail: `${pointer.path}: ${detail}` })
  }
  if (response.statusCode >= 500)
    return new HostUnreachable({ detail: `${href.host} answered ${response.statusCode}` })
  if (response.statusCode !== 200) return refuse(`${href.host} answered ${response.statusCode}`)
  const partial = `${file}.mcpdeploy-lfs`
  const hash = createHash("sha256")
  let size = 0
  const { mode } = await lstat(file)
  const handle = await open(partial, "wx")
  try {
    await handle.chmod(mode)
    for await (const chunk of response.body) {
      const piece = Buffer.from(chunk)
      size += piece.length
      if (size > pointer.size) break
      hash.update(piece)
      await handle.writeFile(piece)
    }
  } finally {
    await handle.close()
  }
  if (size === pointer.size && hash.digest("hex") === pointer.oid) {
    await rename(partial, file)
    return undefined
  }
  await rm(partial)
  return new LfsRefused({ detail: `${pointer.path}: what ${href.host} sent is not the object of its name` })
}

/** Fetches the LFS objects of a checkout. Returns by how many bytes it has grown. */
export const fetchLfsObjects = Effect.fnUntraced(function* (
  target: FetchTarget,
  size: number,
  policy: HostPolicy,
  /** Further hosts from which objects may come, by https. */
  hosts: ReadonlyArray<string>
): Effect.fn.Return<number, GitReason> {
  const pointers = yield* readPointers(target)
  if (pointers.length === 0) return 0
  const { url, credentials, home } = target.settings
  if (url.protocol === "file:")
    return yield* new LfsRefused({ detail: "objects are fetched by http(s) only" })
  const grown = pointers.reduce((sum, pointer) => sum + pointer.size, 0)
  if (size + grown > target.limits.maxBytes)
    return yield* new RepositoryTooLarge({ limitBytes: target.limits.maxBytes })

  const agentFor = (to: URL) =>
    Effect.acquireRelease(
      Effect.andThen(
        checkHost(to, policy),
        Effect.sync(() => confined(policy, to))
      ),
      (agent) => Effect.promise(() => agent.destroy())
    )

  const batch = new URL(
    `${url.href.replace(/\/*$/, "").replace(/(?:\.git)?$/, ".git")}/info/lfs/objects/batch`
  )
  const fetchBatch = Effect.fnUntraced(function* (part: ReadonlyArray<Pointer>) {
    const agent = yield* agentFor(batch)
    const answer = yield* exchange(
      batch,
      async () => {
        const response = await request(batch, {
          dispatcher: agent,
          method: "POST",
          headers: {
            accept: mediaType,
            "content-type": mediaType,
            ...(credentials === undefined ? {} : { authorization: authorization(credentials) })
          },
          body: JSON.stringify({
            operation: "download",
            transfers: ["basic"],
            hash_algo: "sha256",
            objects: part.map(({ oid, size }) => ({ oid, size }))
          })
        })
        return { status: response.statusCode, text: await response.body.text() }
      },
      home
    )
    if (answer.status !== 200)
      return yield* new LfsRefused({
        detail: `${batch.host} answered ${answer.status} when asked for the objects`
      })
    const { objects } = yield* Schema.decodeEffect(BatchAnswer)(answer.text).pipe(
      Effect.mapError(() => new LfsRefused({ detail: `${batch.host} does not answer as an LFS server` }))
    )
    yield* Effect.forEach(
      part,
      Effect.fnUntraced(function* (pointer) {
        const object = objects.find(({ oid }) => oid === pointer.oid)
        const action = object?.actions?.download
        if (action === undefined || !URL.canParse(action.href, batch.href))
          return yield* new LfsRefused({
            detail: `${pointer.path}: ${object?.error?.message ?? "the host does not have it"}`
          })
        const href = new URL(action.href, batch)
        const own = href.origin === url.origin
        if (!own && !(href.protocol === "https:" && hosts.includes(href.host)))
          return yield* new LfsRefused({
            detail: `${pointer.path} is at ${href.origin}, and only ${[url.origin, ...hosts].join(", ")} is allowed: add the host to lfsHosts`
          })
        const headers = {
          ...(own && credentials !== undefined ? { authorization: authorization(credentials) } : {}),
          ...action.header
        }
        const dispatcher = own ? agent : yield* agentFor(href)
        const failure = yield* exchange(
          href,
          () => download(dispatcher, href, headers, pointer, join(target.files, pointer.path)),
          home
        )
        if (failure !== undefined) return yield* failure
      }),
      { concurrency: 4, discard: true }
    )
  }, Effect.scoped)

  for (let start = 0; start < pointers.length; start += objectsInOneBatch) {
    yield* emit(
      StepProgress.make({ step: "clone", message: "fetching LFS objects", fraction: start / pointers.length })
    )
    yield* fetchBatch(pointers.slice(start, start + objectsInOneBatch))
  }
  return grown
})
