/** Conditional writes that lost a race are read and tried again, a bounded number of times. */
import { WriteConflict } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { AlreadyExists, Conflict, Failure } from "../kubernetes/ApiFailure.ts"

const schedule = Schedule.min([Schedule.exponential("10 millis"), Schedule.spaced("500 millis")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 20 })
)

const isRace = (failure: Failure): failure is Conflict | AlreadyExists =>
  failure._tag === "Conflict" || failure._tag === "AlreadyExists"

/** `effect` reads, decides and writes. `object` is named when others win every time. */
export const retryConflicts = <A>(
  effect: Effect.Effect<A, Failure>,
  object: string
): Effect.Effect<A, Failure> =>
  effect.pipe(
    Effect.retry({ schedule, while: isRace }),
    Effect.mapError((failure) => (isRace(failure) ? new WriteConflict({ object }) : failure))
  )
