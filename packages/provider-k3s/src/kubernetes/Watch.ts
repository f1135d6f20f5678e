/** Watch: a set of objects as it is, and again each time it changes. Nothing is polled. */
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ApiFailure, failureOf } from "./ApiFailure.ts"
import type { KubernetesApi } from "./KubernetesApi.ts"
import { nameOf, type ObjectRef } from "./Kind.ts"
import { LiveObject } from "./LiveObject.ts"

export interface Selector {
  readonly label?: string
  readonly field?: string
}

/** Seconds until the API server ends a watch; it is resumed where it ended. */
const watchSeconds = 60

/** An API server that is away for longer than this is given up. */
const reconnects = Schedule.spaced("500 millis").pipe(Schedule.upTo({ duration: "60 seconds" }))

const WatchLine = Schema.fromJsonString(
  Schema.Struct({
    type: Schema.Literals(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
    object: Schema.Json
  })
)

const ErrorObject = Schema.Struct({ code: Schema.Int })
const BookmarkObject = Schema.Struct({ metadata: Schema.Struct({ resourceVersion: Schema.String }) })

/**
 * The objects that `selector` selects, each decoded with `schema`: first as they are, then after each change. Ends only
 * when the API server cannot be reached for a minute, or answers something that is not understood.
 */
export const watch = <A>(
  api: KubernetesApi,
  ref: ObjectRef,
  schema: Schema.Decoder<A>,
  selector: Selector
): Stream.Stream<ReadonlyArray<A>, ApiFailure> =>
  Stream.suspend(() => {
    const items = new Map<string, A>()
    let version: string | undefined

    const decodeAs =
      <B>(schema: Schema.Decoder<B>) =>
      (value: unknown) =>
        Schema.decodeUnknownEffect(schema)(value).pipe(
          Effect.mapError((error) => new UnexpectedAnswer({ object: nameOf(ref), detail: error.message }))
        )

    const put = Effect.fnUntraced(function* (live: LiveObject) {
      items.set(live.metadata.uid, yield* decodeAs(schema)(live))
    })

    const list = Effect.gen(function* () {
      const found = yield* api.list({ ...ref, name: "" }, selector)
      items.clear()
      yield* Effect.forEach(found.items, put, { discard: true })
      version = found.metadata.resourceVersion
    })

    /** Whether the set has changed. */
    const accept = Effect.fnUntraced(function* (line: string): Effect.fn.Return<boolean, ApiFailure> {
      const { object, type } = yield* decodeAs(WatchLine)(line)
      if (type === "ERROR") {
        const { code } = yield* decodeAs(ErrorObject)(object)
        return yield* failureOf(nameOf(ref), ref.namespace, code, JSON.stringify(object))
      }
      if (type === "BOOKMARK") {
        version = (yield* decodeAs(BookmarkObject)(object)).metadata.resourceVersion
        return false
      }
      const live = yield* decodeAs(LiveObject)(object)
      version = live.metadata.resourceVersion
      if (type === "DELETED") items.delete(live.metadata.uid)
      else yield* put(live)
      return true
    })

    const changes = Stream.suspend(() =>
      api.stream({ ...ref, name: "" }, "", {
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(watchSeconds),
        ...(version === undefined ? {} : { resourceVersion: version }),
        ...(selector.label === undefined ? {} : { labelSelector: selector.label }),
        ...(selector.field === undefined ? {} : { fieldSelector: selector.field })
      })
    ).pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.filter((line) => line !== ""),
      Stream.mapEffect(accept),
      Stream.filter((changed) => changed)
    )

    const connect = Stream.unwrap(
      Effect.gen(function* () {
        if (version === undefined) yield* list
        return Stream.concat(Stream.succeed(true), changes)
      })
    )

    return connect.pipe(
      Stream.catchTag("Expired", () =>
        Stream.suspend(() => {
          version = undefined
          return Stream.empty
        })
      ),
      // A watch that ends at once must not become a busy loop.
      Stream.repeat(Schedule.spaced("100 millis")),
      Stream.retry(($) =>
        $(reconnects).pipe(Schedule.while(({ input }) => input._tag === "ClusterUnreachable"))
      ),
      Stream.map(() => [...items.values()])
    )
  })
