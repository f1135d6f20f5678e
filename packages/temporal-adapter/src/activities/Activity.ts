/**
 * One activity: an Effect run by a Temporal worker.
 *
 * Input and output are decoded and encoded with Schemas. A heartbeat each second says how far it is, and is how a
 * cancellation is heard of; that interrupts the fiber, and the activity ends only when the interruption is over (a build
 * is then seen dead). A typed error becomes an ApplicationFailure that can be decoded again. A retry needs nothing from
 * the heartbeat to go on: checkouts, builds and objects are found again by what they are made of.
 */
import { Context, type Info } from "@temporalio/activity"
import { ApplicationFailure, ApplicationFailureCategory, CancelledFailure } from "@temporalio/common"
import { type DeployEvent, DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { kindOf } from "@mcpdeploy/core/OtlpExporter"
import type { StepOutcome } from "@mcpdeploy/core/pipeline/StepTelemetry"
import { traceOf } from "@mcpdeploy/core/Telemetry"
import type { Heartbeat } from "@mcpdeploy/temporal-contract/contract"
import { toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { encodeFailure, InvalidInput, type PlaneError, Unexpected } from "@mcpdeploy/temporal-contract/schema"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { StepMetrics } from "./StepMetrics.ts"

/** The SDK sends no more of them than it must. */
const heartbeatIntervalMs = 1000
/** An event's message is cut to this many characters. */
const maxMessage = 200

/** What of an event is heartbeat. Lines that a build writes are not: they are the customer's, and may hold anything. */
const heartbeatOf = (event: DeployEvent): Heartbeat | undefined => {
  switch (event._tag) {
    case "StepStarted":
      return { step: event.step, message: "started" }
    case "StepProgress":
      return {
        step: event.step,
        message: event.message.slice(0, maxMessage),
        ...(event.fraction === undefined ? {} : { fraction: event.fraction })
      }
    case "StepLog":
    case "StepFinished":
    case "StepFailed":
      return undefined
  }
}

/** The error among the reasons of a failure; what has no type is {@link Unexpected}. */
const errorOf = (cause: Cause.Cause<PlaneError>): PlaneError =>
  Option.getOrElse(
    Cause.findErrorOption(cause),
    () => new Unexpected({ detail: String(Cause.squash(cause)).slice(0, 1000) })
  )

const isSuperseded = (error: PlaneError): boolean =>
  error._tag === "ClusterApplierError" && error.reason._tag === "SupersededByNewer"

/** All steps of a deploy are one trace, whichever worker runs them; elsewhere each run of a workflow is one. */
const traceIdOf = ({ workflowExecution }: Info): string => {
  const { runId, workflowId } = workflowExecution ?? { runId: "", workflowId: "" }
  return workflowId.startsWith("deploy/") ? workflowId : `${workflowId} ${runId}`
}

/** One line for each attempt. A failure's message is left out: it may quote a customer's build. */
const logEnd = (
  step: string,
  { attempt, workflowExecution }: Info,
  exit: Exit.Exit<unknown, PlaneError>
): Effect.Effect<void> => {
  const about = { step, workflow: workflowExecution?.workflowId, attempt }
  if (Exit.isSuccess(exit)) return Effect.logInfo("a step has succeeded", about)
  return Cause.hasInterruptsOnly(exit.cause)
    ? Effect.logInfo("a step was cancelled", about)
    : Effect.logWarning("a step has failed", { ...about, error: kindOf(errorOf(exit.cause)) })
}

/** Makes activities that run on one runtime. */
export const activityOn =
  <R>(runtime: ManagedRuntime.ManagedRuntime<R, never>, metrics: StepMetrics) =>
  <Input, EncodedInput, Output, EncodedOutput>(
    name: string,
    schemas: {
      readonly input: Schema.Codec<Input, EncodedInput>
      readonly output: Schema.Codec<Output, EncodedOutput>
    },
    run: (input: Input) => Effect.Effect<Output, PlaneError, R>
  ) => {
    const decode = Schema.decodeUnknownEffect(schemas.input, { errors: "all" })
    const encode = Schema.encodeEffect(schemas.output)
    return async (input: EncodedInput): Promise<EncodedOutput> => {
      const context = Context.current()
      let latest: Heartbeat = { step: name, message: "started" }
      const beat = () => context.heartbeat(latest)
      const note = (event: DeployEvent) =>
        Effect.sync(() => {
          latest = heartbeatOf(event) ?? latest
        })
      const effect = decode(input).pipe(
        Effect.mapError((error) => new InvalidInput({ detail: error.message })),
        Effect.flatMap(run),
        Effect.flatMap((output) => Effect.orDie(encode(output))),
        Effect.provideService(DeployEvents, note),
        Effect.onExit((exit) => logEnd(name, context.info, exit)),
        Effect.withSpan(`activity ${name}`, {
          parent: traceOf(traceIdOf(context.info)),
          kind: "consumer",
          attributes: {
            "mcpdeploy.step": name,
            "temporal.workflow.id": context.info.workflowExecution?.workflowId ?? "",
            "temporal.activity.attempt": context.info.attempt
          }
        })
      )

      beat()
      const timer = setInterval(beat, heartbeatIntervalMs)
      const startedAt = performance.now()
      const ended = (outcome: StepOutcome, isLast: boolean) =>
        metrics.ended(name, { outcome, isLast, seconds: (performance.now() - startedAt) / 1000 })
      try {
        const exit = await runtime.runPromiseExit(effect, { signal: context.cancellationSignal })
        if (Exit.isSuccess(exit)) {
          ended("succeeded", true)
          return exit.value
        }
        if (context.cancellationSignal.aborted) {
          const reason: unknown = context.cancellationSignal.reason
          ended("cancelled", true)
          throw reason instanceof CancelledFailure ? reason : new CancelledFailure("cancelled")
        }
        const error = errorOf(exit.cause)
        const failure = toApplicationFailure(await runtime.runPromise(encodeFailure(error)))
        const attempts = context.info.retryPolicy?.maximumAttempts
        const isLast = failure.nonRetryable || (attempts !== undefined && context.info.attempt >= attempts)
        ended(isSuperseded(error) ? "superseded" : "failed", isLast)
        // The details may quote the customer's build: they go to the history, encrypted, and not into the log.
        throw ApplicationFailure.create({
          ...failure,
          details: [...failure.details],
          category: ApplicationFailureCategory.BENIGN
        })
      } finally {
        clearInterval(timer)
      }
    }
  }
