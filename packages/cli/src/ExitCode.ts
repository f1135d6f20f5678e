/** How the process ends: one code for each thing that a script would treat differently. */
import * as Schema from "effect/Schema"

export const exitCodes = {
  ok: 0,
  /** The deploy (or the operation) failed: the code, its build, or what runs is at fault. */
  failed: 1,
  /** The command line or the service file is wrong; nothing was started. */
  usage: 2,
  /** A newer push took this deploy's place. */
  superseded: 3,
  /** A part of the platform could not be reached; the same command may succeed later. */
  unavailable: 4,
  interrupted: 130
} as const

/** Ends the process with a code, after `message` was shown to the person. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  exitCode: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The failure of an operation: whether a retry can help decides the code. */
export const commandFailed = (error: {
  readonly message: string
  readonly retryable: boolean
}): CommandFailed =>
  new CommandFailed({
    exitCode: error.retryable ? exitCodes.unavailable : exitCodes.failed,
    detail: error.message
  })
