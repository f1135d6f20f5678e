/** SecretStore: turns a secret's reference into its value, at the moment and place where it is used. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SecretRef } from "./domain/Source.ts"

/** The secret is not there. Says the reference, never a value. */
export class SecretUnavailable extends Schema.TaggedError<SecretUnavailable>()("SecretUnavailable", {
  ref: SecretRef,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the secret ${this.ref} cannot be read: ${this.detail}`
  }
}

export class SecretStore extends Context.Service<
  SecretStore,
  {
    readonly resolve: (ref: SecretRef) => Effect.Effect<Redacted.Redacted, SecretUnavailable>
    /** The values of several secrets, by the names under which they are used. */
    readonly resolveAll: (
      refs: Readonly<Record<string, SecretRef>>
    ) => Effect.Effect<Readonly<Record<string, Redacted.Redacted>>, SecretUnavailable>
  }
>()("mcpdeploy/core/SecretStore") {
  /** `env:NAME` from `environment`; `file:/path` from the file's text, without its last line break. */
  static readonly layer = (
    environment: Readonly<Record<string, string | undefined>>
  ): Layer.Layer<SecretStore, never, FileSystem.FileSystem> =>
    Layer.effect(
      SecretStore,
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const resolve = Effect.fn("SecretStore.resolve")(function* (ref: SecretRef) {
          if (ref.startsWith("env:")) {
            const value = environment[ref.slice("env:".length)]
            return value === undefined
              ? yield* new SecretUnavailable({ ref, detail: "the environment variable is not set" })
              : Redacted.make(value)
          }
          const text = yield* fs
            .readFileString(ref.slice("file:".length))
            .pipe(Effect.mapError((error) => new SecretUnavailable({ ref, detail: error.reason._tag })))
          return Redacted.make(text.replace(/\r?\n$/, ""))
        })
        return SecretStore.of({
          resolve,
          resolveAll: (refs) =>
            Effect.map(
              Effect.forEach(Object.entries(refs), ([name, ref]) =>
                Effect.map(resolve(ref), (value): readonly [string, Redacted.Redacted] => [name, value])
              ),
              Object.fromEntries<Redacted.Redacted>
            )
        })
      })
    )
}
