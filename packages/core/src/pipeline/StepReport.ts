/** StepReport: what a step tells of itself as it happens, to whoever runs the deploy and to telemetry. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type DeployStep, emit } from "../domain/DeployEvent.ts"
import type { ImageDigest } from "../domain/Image.ts"
import type { BuildEvent, Built } from "../ImageBuilder.ts"
import { annotateStep, countVertex, type StepSubject } from "./StepTelemetry.ts"

export const short = (digest: ImageDigest): string => digest.slice(0, "sha256:".length + 12)

export const bytes = (size: number): string =>
  size < 1024
    ? `${size} B`
    : size < 1024 ** 2
      ? `${(size / 1024).toFixed(1)} KiB`
      : `${(size / 1024 ** 2).toFixed(1)} MiB`

const reportBuild = (event: BuildEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "BuildVertex": {
      const told =
        event.state === "completed"
          ? Effect.void
          : emit({
              _tag: "StepLog",
              step: "build",
              source: event.id,
              line: `${event.state === "started" ? "=>" : `=> ${event.state.toUpperCase()}`} ${event.name}`
            })
      return Effect.andThen(countVertex(event.state), told)
    }
    case "BuildLog":
      return emit({ _tag: "StepLog", step: "build", source: event.vertex, line: event.line })
    case "BuildProgress":
      return emit({
        _tag: "StepProgress",
        step: "build",
        message: event.message,
        ...(event.fraction === undefined ? {} : { fraction: event.fraction })
      })
    case "Built":
      return Effect.void
  }
}

/** Hands a build's events on, until the image is there. */
export const followBuild = <E>(events: Stream.Stream<BuildEvent, E>): Effect.Effect<Built, E> =>
  events.pipe(
    Stream.tap(reportBuild),
    Stream.filter((event) => event._tag === "Built"),
    Stream.runLast,
    Effect.map(Option.getOrThrow)
  )

/** Reports a step's begin and end, says on its span what it is about, and keeps only its output. */
export function reported(step: DeployStep) {
  return <Output extends object, E extends { readonly message: string }, R>(
    effect: Effect.Effect<{ readonly output: Output; readonly summary: string }, E, R>,
    input: StepSubject
  ): Effect.Effect<Output, E, R> =>
    Effect.gen(function* () {
      yield* annotateStep(input)
      yield* emit({ _tag: "StepStarted", step })
      const startedAt = yield* Clock.currentTimeMillis
      const { output, summary } = yield* Effect.tapError(effect, (error) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          emit({ _tag: "StepFailed", step, durationMs: now - startedAt, message: error.message })
        )
      )
      const durationMs = (yield* Clock.currentTimeMillis) - startedAt
      const subject: StepSubject = { ...input, ...output }
      yield* annotateStep(subject)
      yield* emit({ _tag: "StepFinished", step, durationMs, summary })
      return output
    })
}
