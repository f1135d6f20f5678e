/** What happens during a deploy, as it happens: the CLI draws it, `--json` prints it, activities heartbeat it, tests assert on it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The steps of a deploy, in order; `restore` runs only after a failed `deploy` or `verify`. */
export const DeployStep = Schema.Literals(["clone", "build", "push", "deploy", "verify", "restore"])
export type DeployStep = typeof DeployStep.Type

/** A step begins. */
export const StepStarted = Schema.TaggedStruct("StepStarted", { step: DeployStep })
/** `fraction` is between 0 and 1, absent where the end is not known. */
export const StepProgress = Schema.TaggedStruct("StepProgress", {
  step: DeployStep,
  message: Schema.String,
  fraction: Schema.optionalKey(Schema.Finite)
})
/** One line of output, whole. `source` names the part of the step, such as a Dockerfile's instruction. */
export const StepLog = Schema.TaggedStruct("StepLog", {
  step: DeployStep,
  source: Schema.String,
  line: Schema.String
})
/** A step has ended well. */
export const StepFinished = Schema.TaggedStruct("StepFinished", {
  step: DeployStep,
  durationMs: Schema.Finite,
  summary: Schema.String
})
/** A step has failed; the outcome has the typed error. */
export const StepFailed = Schema.TaggedStruct("StepFailed", {
  step: DeployStep,
  durationMs: Schema.Finite,
  message: Schema.String
})

/** What happens in a deploy, step by step. */
export const DeployEvent = Schema.Union([StepStarted, StepProgress, StepLog, StepFinished, StepFailed])
export type DeployEvent = typeof DeployEvent.Type

/** Where events go. Set by whoever runs a deploy; without it they are dropped. */
export const DeployEvents = Context.Reference<(event: DeployEvent) => Effect.Effect<void>>(
  "mcpdeploy/core/DeployEvents",
  { defaultValue: () => () => Effect.void }
)

/** Reports an event to whoever runs the deploy. */
export const emit = (event: DeployEvent): Effect.Effect<void> =>
  Effect.flatMap(DeployEvents, (send) => send(event))
