/** The daemon's record of builds: it outlives the connection, and the process, that asked for them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { CancelNotConfirmed } from "../BuildFailure.ts"
import { ImageDigest } from "../domain/Image.ts"
import type { Control } from "./Control.ts"
import type { BuildHistoryEvent, BuildHistoryRecord } from "./gen/buildkit_pb.ts"
import { type GrpcFailure, failureOf } from "./GrpcFailure.ts"

const decodeDigest = Schema.decodeUnknownOption(ImageDigest)

/** The digest of the image that the build's one exporter pushed. */
const digestOf = (record: BuildHistoryRecord | undefined): Option.Option<ImageDigest> =>
  decodeDigest(Object.values(record?.Result?.Results ?? {})[0]?.digest)

/** BuildHistoryEventType. */
const started = 0

/** The digest of the newest finished build whose ref begins with the prefix. */
export const findFinished = (
  control: Control,
  prefix: string
): Effect.Effect<Option.Option<ImageDigest>, GrpcFailure> =>
  control.history({ EarlyExit: true, Filter: [`ref~=/^${prefix}[.]/,status==completed`], Limit: 1 }).pipe(
    Stream.filter(({ type }) => type !== started),
    Stream.map(({ record }) => digestOf(record)),
    Stream.runFold(Option.none<ImageDigest>, (found, next) => Option.orElse(found, () => next))
  )

/** How a build ended, as far as the daemon remembers. */
export type Ending =
  | { readonly _tag: "Running" }
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Finished"; readonly digest: Option.Option<ImageDigest> }
  | { readonly _tag: "Failed"; readonly failure: GrpcFailure }

const endingOf = (events: ReadonlyArray<BuildHistoryEvent>): Ending => {
  const complete = events.findLast(({ type }) => type !== started)?.record
  if (complete !== undefined) {
    return complete.error === undefined
      ? { _tag: "Finished", digest: digestOf(complete) }
      : { _tag: "Failed", failure: failureOf(complete.error) }
  }
  return events.length > 0 ? { _tag: "Running" } : { _tag: "Unknown" }
}

/** How the build with this ref stands now. */
export const ending = (control: Control, ref: string): Effect.Effect<Ending, GrpcFailure> =>
  control.history({ Ref: ref, EarlyExit: true }).pipe(Stream.runCollect, Effect.map(endingOf))

const poll = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("250 millis")])

/** Waits until the daemon says that the build has ended; fails when it does not within the deadline. */
export const awaitEnd = (
  control: Control,
  ref: string,
  deadlineSeconds: number
): Effect.Effect<Ending, CancelNotConfirmed> => {
  const notConfirmed = (detail: string) =>
    Effect.fail(new CancelNotConfirmed({ ref, waitedSeconds: deadlineSeconds, detail }))
  return ending(control, ref).pipe(
    Effect.filterOrFail(
      ({ _tag }) => _tag !== "Running",
      () => "it still runs"
    ),
    Effect.mapError((reason) => (typeof reason === "string" ? reason : reason.message)),
    Effect.tapError((detail) => Effect.logDebug(`waiting for the end of build ${ref}: ${detail}`)),
    Effect.retry(poll),
    Effect.timeoutOrElse({
      duration: `${deadlineSeconds} seconds`,
      orElse: () => notConfirmed("it still runs, or the builder does not answer")
    }),
    Effect.catchIf((error) => typeof error === "string", notConfirmed)
  )
}
