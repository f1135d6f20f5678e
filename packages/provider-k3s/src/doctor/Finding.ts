/** Finding: what a check of a region saw. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** What was found where something was looked at. */
export const Finding = Schema.Struct({
  /** What was looked at. */
  check: Schema.String,
  /** `warning`: deploys work, but not for long, or not all of them. */
  state: Schema.Literals(["ok", "warning", "failed"]),
  /** What was seen. */
  detail: Schema.String,
  /** What to do about it. */
  advice: Schema.optionalKey(Schema.String)
})
export type Finding = typeof Finding.Type

/** Only its findings, never an error: what cannot be asked is a finding too. */
export type Check = Effect.Effect<ReadonlyArray<Finding>>

/** How long one check may take. */
const deadline = "10 seconds"

/** Nothing is wrong there. */
export const ok = (check: string, detail: string): Finding => ({ check, state: "ok", detail })
/** Something is wrong that does not stop deploys yet. */
export const warning = (check: string, detail: string, advice: string): Finding => ({
  check,
  state: "warning",
  detail,
  advice
})
/** Something is wrong that stops deploys. */
export const failed = (check: string, detail: string, advice: string): Finding => ({
  check,
  state: "failed",
  detail,
  advice
})

/** A check that fails, or takes too long, is a finding with this advice. */
export const checked =
  (check: string, advice: string) =>
  <E extends { readonly message: string }>(
    findings: Effect.Effect<Finding | ReadonlyArray<Finding>, E>
  ): Check =>
    findings.pipe(
      Effect.map((found) => ("check" in found ? [found] : found)),
      Effect.catch((error) => Effect.succeed([failed(check, error.message, advice)])),
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () => Effect.succeed([failed(check, `no answer within ${deadline}`, advice)])
      })
    )

/** At most this many names in one line. */
const shownNames = 5

/** Names for a line of text: the first few, and how many more. */
export const named = (names: ReadonlyArray<string>): string =>
  names.length <= shownNames
    ? names.join(", ")
    : `${names.slice(0, shownNames).join(", ")} and ${names.length - shownNames} more`
