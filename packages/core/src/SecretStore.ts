/** SecretStore: turns a secret's reference into its value, at the moment and place where it is used. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
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

/** A Secret of Kubernetes holds no more. */
const maxSecretBytes = 1024 * 1024

const problems: Readonly<Record<string, string>> = {
  NotFound: "there is no such file",
  PermissionDenied: "the file may not be read"
}

/** A secret's reference becomes its value, where it is used. */
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
  /**
   * `env:NAME` from `environment`; `file:/path` from the file's text, without its last line break, where the file is in
   * one of `folders` (every folder when absent). Who writes a service's specification can name everything that is given
   * here: give a server the narrowest.
   */
  static readonly layer = (
    environment: Readonly<Record<string, string | undefined>>,
    folders: ReadonlyArray<string> = ["/"]
  ): Layer.Layer<SecretStore, never, FileSystem.FileSystem> =>
    Layer.effect(
      SecretStore,
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const readFile = Effect.fnUntraced(function* (ref: SecretRef) {
          const unavailable = (detail: string) => new SecretUnavailable({ ref, detail })
          const failed = Effect.mapError((error: PlatformError) =>
            unavailable(problems[error.reason._tag] ?? error.reason._tag)
          )
          const path = yield* fs.realPath(ref.slice("file:".length)).pipe(failed)
          const isInside = folders.some((folder) => path.startsWith(`${folder.replace(/\/+$/, "")}/`))
          if (!isInside) return yield* unavailable("the file is in no folder that secrets may come from")
          const { size, type } = yield* fs.stat(path).pipe(failed)
          if (type !== "File") return yield* unavailable("it is not a file")
          if (size > maxSecretBytes)
            return yield* unavailable(`the file has more than ${maxSecretBytes} bytes`)
          const text = yield* fs.readFileString(path).pipe(failed)
          return Redacted.make(text.replace(/\r?\n$/, ""))
        })
        const resolve = Effect.fn("SecretStore.resolve")(function* (ref: SecretRef) {
          if (!ref.startsWith("env:")) return yield* readFile(ref)
          const value = environment[ref.slice("env:".length)]
          return value === undefined
            ? yield* new SecretUnavailable({ ref, detail: "the environment variable is not set" })
            : Redacted.make(value)
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
