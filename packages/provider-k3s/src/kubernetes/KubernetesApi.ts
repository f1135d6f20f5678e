/**
 * KubernetesApi: requests to the API server, over undici.
 *
 * Not client-node's generated API and Watch: Watch cannot be paused (a slow reader fills the memory), drops lines that it
 * cannot parse, and ends a quiet watch after 30 s with an error; the generated classes take no AbortSignal; and the
 * import alone is 88 MB (see KubeConfig.ts, which uses it where its knowledge is needed). Here bodies are pulled, each
 * answer is decoded with a Schema, and interrupting the fiber ends the request.
 */
import type * as Scope from "effect/Scope"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Agent, type Dispatcher, request as requestOver } from "undici"
import { ClusterUnreachable, UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { fieldManager, type Manifest } from "../manifests/Manifest.ts"
import { type ApiFailure, failureOf } from "./ApiFailure.ts"
import type { ClusterAccess } from "./KubeConfig.ts"
import { nameOf, type ObjectRef, pathOf } from "./Kind.ts"
import { LiveList, LiveObject } from "./LiveObject.ts"

interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly ref: ObjectRef
  /** The request goes to where the object is to be, not to the object. */
  readonly collection?: boolean
  /** After the object's path, such as `/log`. */
  readonly subresource?: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: string
  readonly contentType?: string
}

/** How a write is meant. */
export interface WriteOptions {
  /** Take fields over that another manager has set; otherwise that is a Conflict. true when absent. */
  readonly force?: boolean
  /** The server does everything but store the result. */
  readonly dryRun?: boolean
}

/** Only an object that is still the one that was read. */
export interface Precondition {
  readonly uid: string
  readonly resourceVersion?: string
}

/** Requests to one API server, as one account. */
export interface KubernetesApi {
  readonly get: (ref: ObjectRef) => Effect.Effect<LiveObject, ApiFailure>
  readonly list: (
    ref: ObjectRef,
    selector?: { readonly label?: string; readonly field?: string }
  ) => Effect.Effect<typeof LiveList.Type, ApiFailure>
  /** Fails with AlreadyExists when it is there. */
  readonly create: (manifest: Manifest, ref: ObjectRef) => Effect.Effect<LiveObject, ApiFailure>
  /** Whether a create would be accepted: the server does everything but store the object. */
  readonly validate: (manifest: Manifest, ref: ObjectRef) => Effect.Effect<void, ApiFailure>
  /**
   * Server-side apply: creates the object, or changes it. With `uid` and `resourceVersion` in its metadata it only changes
   * exactly the object that was read, else it fails with Conflict (`resourceVersion` alone would create an absent one).
   */
  readonly apply: (
    manifest: Manifest,
    ref: ObjectRef,
    options?: WriteOptions
  ) => Effect.Effect<LiveObject, ApiFailure>
  /** The manifest's `resourceVersion` is the precondition. */
  readonly replace: (manifest: Manifest, ref: ObjectRef) => Effect.Effect<LiveObject, ApiFailure>
  /** JSON patch (RFC 6902). */
  readonly patch: (ref: ObjectRef, operations: Schema.JsonArray) => Effect.Effect<LiveObject, ApiFailure>
  /** JSON merge patch (RFC 7386). */
  readonly merge: (ref: ObjectRef, patch: Schema.JsonObject) => Effect.Effect<LiveObject, ApiFailure>
  readonly delete: (
    ref: ObjectRef,
    options: { readonly propagation: "Background" | "Foreground"; readonly precondition?: Precondition }
  ) => Effect.Effect<void, ApiFailure>
  /** Bytes of a request that goes on: a watch, or a log that is followed. */
  readonly stream: (
    ref: ObjectRef,
    subresource: string,
    query: Readonly<Record<string, string>>
  ) => Stream.Stream<Uint8Array, ApiFailure>
}

/** How long the API server may take for an answer's head, and a body to go on. */
const answerTimeout = 20_000

/** A restart of the API server takes some seconds; what takes longer is left to the caller's own retry. */
const retries = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: "20 seconds" })
)

type Decode<A> = (body: string) => Effect.Effect<A, Schema.SchemaError>
// Made once: a decoder is compiled when it is first used.
const decodeObject = Schema.decodeEffect(Schema.fromJsonString(LiveObject))
const decodeList = Schema.decodeEffect(Schema.fromJsonString(LiveList))

const unreachable = (cause: unknown) =>
  new ClusterUnreachable({
    detail: cause instanceof Error ? cause.message || cause.name : String(cause)
  })

const isUnreachable = (failure: ApiFailure): failure is ClusterUnreachable =>
  failure._tag === "ClusterUnreachable"

/** Requests to an API server; its connections are closed with the scope. */
export const make = Effect.fnUntraced(function* (
  access: ClusterAccess
): Effect.fn.Return<KubernetesApi, never, Scope.Scope> {
  const agent = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Agent({
          // undici 8.12 would take HTTP/2, and there a request on a connection that is reset may hang until its timeout.
          allowH2: false,
          connect: { ...access.tls, timeout: 5_000 },
          headersTimeout: answerTimeout,
          bodyTimeout: answerTimeout,
          keepAliveTimeout: 30_000
        })
    ),
    (agent) => Effect.promise(() => agent.destroy())
  )

  const send = async (
    { body, collection = false, contentType, method, query, ref, subresource = "" }: Request,
    authorization: string | undefined,
    signal: AbortSignal,
    endless: boolean
  ): Promise<Dispatcher.ResponseData> => {
    const search = query === undefined ? "" : `?${new URLSearchParams(query).toString()}`
    return requestOver(
      `${access.server}${pathOf(collection ? { ...ref, name: "" } : ref)}${subresource}${search}`,
      {
        dispatcher: agent,
        method,
        headers: {
          accept: "application/json",
          "user-agent": fieldManager,
          ...(authorization === undefined ? {} : { authorization }),
          ...(body === undefined ? {} : { "content-type": contentType ?? "application/json" })
        },
        signal,
        ...(body === undefined ? {} : { body }),
        ...(endless ? { bodyTimeout: 0 } : {})
      }
    )
  }

  const failed = ({ ref }: Request, status: number, body: string) =>
    failureOf(nameOf(ref), ref.namespace, status, body)

  const text = (request: Request) =>
    Effect.gen(function* () {
      const authorization = yield* access.authorization
      // One step from the request to the end of its body: interrupted anywhere in it, the request ends.
      const answer = yield* Effect.tryPromise({
        try: async (signal) => {
          const { body, statusCode } = await send(request, authorization, signal, false)
          return { status: statusCode, body: await body.text() }
        },
        catch: unreachable
      })
      if (answer.status >= 300) return yield* failed(request, answer.status, answer.body)
      return answer.body
    }).pipe(Effect.retry({ schedule: retries, while: isUnreachable }))

  const json = <A>(decode: Decode<A>, request: Request) =>
    Effect.flatMap(text(request), (body) =>
      decode(body).pipe(
        Effect.mapError(
          (error) => new UnexpectedAnswer({ object: nameOf(request.ref), detail: error.message })
        )
      )
    )

  const created = (manifest: Manifest, ref: ObjectRef) =>
    ({
      method: "POST",
      ref,
      collection: true,
      query: { fieldManager },
      body: JSON.stringify(manifest)
    }) satisfies Request

  const dryRun = (options: WriteOptions | undefined) => (options?.dryRun === true ? { dryRun: "All" } : {})

  return {
    get: (ref) => json(decodeObject, { method: "GET", ref }),
    list: (ref, selector) =>
      json(decodeList, {
        method: "GET",
        ref,
        query: {
          ...(selector?.label === undefined ? {} : { labelSelector: selector.label }),
          ...(selector?.field === undefined ? {} : { fieldSelector: selector.field })
        }
      }),
    create: (manifest, ref) => json(decodeObject, created(manifest, ref)),
    validate: (manifest, ref) => {
      const request = created(manifest, ref)
      return Effect.asVoid(text({ ...request, query: { ...request.query, dryRun: "All" } }))
    },
    apply: (manifest, ref, options) =>
      json(decodeObject, {
        method: "PATCH",
        ref,
        query: { fieldManager, force: String(options?.force ?? true), ...dryRun(options) },
        body: JSON.stringify(manifest),
        contentType: "application/apply-patch+yaml"
      }),
    replace: (manifest, ref) =>
      json(decodeObject, { method: "PUT", ref, query: { fieldManager }, body: JSON.stringify(manifest) }),
    patch: (ref, operations) =>
      json(decodeObject, {
        method: "PATCH",
        ref,
        query: { fieldManager },
        body: JSON.stringify(operations),
        contentType: "application/json-patch+json"
      }),
    merge: (ref, patch) =>
      json(decodeObject, {
        method: "PATCH",
        ref,
        query: { fieldManager },
        body: JSON.stringify(patch),
        contentType: "application/merge-patch+json"
      }),
    delete: (ref, { precondition, propagation }) =>
      Effect.asVoid(
        text({
          method: "DELETE",
          ref,
          body: JSON.stringify({
            propagationPolicy: propagation,
            ...(precondition === undefined ? {} : { preconditions: precondition })
          })
        })
      ),
    stream: (ref, subresource, query) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const abort = yield* Effect.acquireRelease(
            Effect.sync(() => new AbortController()),
            (controller) => Effect.sync(() => controller.abort())
          )
          const watched: Request = { method: "GET", ref, subresource, query }
          const authorization = yield* access.authorization
          const answer = yield* Effect.tryPromise({
            try: () => send(watched, authorization, abort.signal, true),
            catch: unreachable
          })
          if (answer.statusCode >= 300) {
            const body = yield* Effect.tryPromise({ try: () => answer.body.text(), catch: unreachable })
            return yield* failed(watched, answer.statusCode, body)
          }
          return Stream.fromAsyncIterable<Uint8Array, ApiFailure>(answer.body, unreachable)
        })
      )
  }
})
