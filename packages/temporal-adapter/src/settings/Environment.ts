/** Environment: reads a process's variables. Every mistake is named at once, in one line, and never a value. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"

/** The process cannot start as it is configured. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return this.problems.join("; ").replaceAll(/\s*\n\s*/g, ", ")
  }
}

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Reads variables, and keeps every problem for the end. `variables` says of each what to set it to. */
export class Reader<Variable extends string> {
  readonly problems: Array<string> = []
  readonly #environment: Environment
  readonly #variables: Readonly<Record<Variable, string>>

  constructor(environment: Environment, variables: Readonly<Record<Variable, string>>) {
    this.#environment = environment
    this.#variables = variables
  }
  wrong(name: Variable, problem: string): undefined {
    this.problems.push(`${name} ${problem}: set it to ${this.#variables[name]}`)
    return undefined
  }
  optional(name: Variable): string | undefined {
    const value = this.#environment[name]
    return value === "" ? undefined : value
  }
  text(name: Variable, fallback: string | undefined, pattern = /\S/): string {
    const value = this.optional(name) ?? fallback
    if (value === undefined) this.wrong(name, "is not set")
    else if (!pattern.test(value)) this.wrong(name, "is not right")
    return value ?? ""
  }
  integer(name: Variable, fallback: number, min: number, max: number): number {
    const value = Number(this.optional(name) ?? fallback)
    if (!Number.isInteger(value) || value < min || value > max) this.wrong(name, "is not right")
    return value
  }
  /** The text of the file that a variable names; undefined where there is none, or it cannot be read. */
  file(name: Variable): Effect.Effect<string | undefined, never, FileSystem.FileSystem> {
    const path = this.optional(name)
    if (path === undefined) return Effect.undefined
    return FileSystem.FileSystem.use((fs) => fs.readFileString(path)).pipe(
      Effect.catch((error) => Effect.sync(() => this.wrong(name, `cannot be read (${error.reason._tag})`)))
    )
  }
  /** Fails where there were problems. */
  readonly done: Effect.Effect<void, SettingsInvalid> = Effect.suspend(() => {
    const [first, ...others] = this.problems
    return first === undefined ? Effect.void : new SettingsInvalid({ problems: [first, ...others] })
  })
}
