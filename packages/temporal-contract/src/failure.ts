/**
 * Typed errors between the planes. An activity that fails with a typed error throws Temporal's ApplicationFailure with
 * `type` = the error's tag and `details` = [the encoded error]; here is how that is made and read back, as plain data.
 */

/** A typed error as it is stored: its tag and fields. Core's errors encode to this shape. */
export interface EncodedError {
  readonly _tag: string
  /** Errors of a service carry their cause here. */
  readonly reason?: { readonly _tag: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** How something failed: the typed error, and what it says. */
export interface Failure {
  readonly error: EncodedError
  /** What happened and what to do, for a person. */
  readonly message: string
  /** Doing the same again can help. */
  readonly retryable: boolean
}

/** Tags of failures that are not core's: of the way between the planes itself. */
export const transportTags = {
  /** The step's worker was lost, or it took too long, again and again. Fields: `step`, `detail`. */
  stepLost: "StepLost",
  /** The step broke in a way that has no type: a defect, with its `detail`. */
  unexpected: "Unexpected",
  /** The input is not of this contract. Fields: `detail`. */
  invalidInput: "InvalidInput",
  /** Someone cancelled it. */
  cancelled: "Cancelled"
} as const

/** The arguments of `ApplicationFailure.create`, without the dependency. */
export interface ApplicationFailureShape {
  readonly message: string
  readonly type: string
  readonly nonRetryable: boolean
  readonly details: [Failure]
}

/** What to throw from an activity or a workflow. */
export const toApplicationFailure = (failure: Failure): ApplicationFailureShape => ({
  message: failure.message,
  type: failure.error._tag,
  nonRetryable: !failure.retryable,
  details: [failure]
})

const isRecord = (value: unknown): value is { readonly [field: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Whether a value is a typed error of the platform, as JSON. */
export const isEncodedError = (value: unknown): value is EncodedError =>
  isRecord(value) &&
  typeof value["_tag"] === "string" &&
  (value["reason"] === undefined ||
    (isRecord(value["reason"]) && typeof value["reason"]["_tag"] === "string"))

/** Whether a value is a failure with its typed error, as it travels through Temporal. */
export const isFailure = (value: unknown): value is Failure =>
  isRecord(value) &&
  isEncodedError(value["error"]) &&
  typeof value["message"] === "string" &&
  typeof value["retryable"] === "boolean"

/** A failure of the way between the planes. */
export const transportFailure = (
  tag: (typeof transportTags)[keyof typeof transportTags],
  message: string,
  fields: { readonly [field: string]: string } = {}
): Failure => ({ error: { _tag: tag, ...fields }, message, retryable: tag === "StepLost" })

/**
 * The failure in an error that Temporal's SDK threw (`WorkflowFailedError`, `ActivityFailure`, `ApplicationFailure`,
 * …): the typed one where some `cause` carries it, else one of {@link transportTags}.
 */
export const failureOf = (thrown: unknown): Failure => {
  let outermost: string | undefined
  let lost: string | undefined
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ("details" in error && Array.isArray(error.details) && isFailure(error.details[0])) {
      return error.details[0]
    }
    if (error.name === "CancelledFailure") return transportFailure("Cancelled", "it was cancelled")
    if (error.name === "TimeoutFailure") lost = error.message
    outermost = error.message
  }
  if (lost !== undefined) {
    return transportFailure("StepLost", `the worker was lost or took too long: ${lost}`, { detail: lost })
  }
  const detail = outermost ?? String(thrown)
  return transportFailure("Unexpected", `it broke unexpectedly: ${detail}`, { detail })
}
