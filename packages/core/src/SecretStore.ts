/** SecretStore: turns a secret's reference into its value, at the moment and place where it is used. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SecretRef } from "./domain/Source.ts"

/** The secret is not there, or not what it has to be. Says the reference, never a value. */
export class SecretUnavailable extends Schema.TaggedError<SecretUnavailable>()("SecretUnavailable", {
  ref: SecretRef,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the secret ${this.ref} cannot be read: ${this.detail}`
  }
}

/** A secret's value as it is, whatever it holds. */
export type SecretBytes = Redacted.Redacted<Uint8Array>

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
    /** A secret that is used as text: a variable, a password. Without the line break that ends a file's last line. */
    readonly resolve: (ref: SecretRef) => Effect.Effect<Redacted.Redacted, SecretUnavailable>
    /** The texts of several secrets, by the names under which they are used. */
    readonly resolveAll: (
      refs: Readonly<Record<string, SecretRef>>
    ) => Effect.Effect<Readonly<Record<string, Redacted.Redacted>>, SecretUnavailable>
    /** A secret that is used as a file: byte for byte. */
    readonly read: (ref: SecretRef) => Effect.Effect<SecretBytes, SecretUnavailable>
    /** The bytes of several secrets, by the names under which they are used. */
    readonly readAll: (
      refs: Readonly<Record<string, SecretRef>>
    ) => Effect.Effect<Readonly<Record<string, SecretBytes>>, SecretUnavailable>
  }
>()("mcpdeploy/core/SecretStore") {
  /**
   * `env:NAME` from `environment`; `file:/path` from a file in one of `folders` (every folder when absent). Who writes a
   * service's specification can name everything that is given here: give a server the narrowest.
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
          return yield* fs.readFile(path).pipe(failed)
        })
        const readVariable = (ref: SecretRef) => {
          const value = environment[ref.slice("env:".length)]
          return value === undefined
            ? Effect.fail(new SecretUnavailable({ ref, detail: "the environment variable is not set" }))
            : Effect.succeed(value)
        }
        const isVariable = (ref: SecretRef) => ref.startsWith("env:")
        const read = Effect.fn("SecretStore.read")(function* (ref: SecretRef) {
          return Redacted.make(
            isVariable(ref) ? new TextEncoder().encode(yield* readVariable(ref)) : yield* readFile(ref)
          )
        })
        const resolve = Effect.fn("SecretStore.resolve")(function* (ref: SecretRef) {
          if (isVariable(ref)) return Redacted.make(yield* readVariable(ref))
          const text = textOf(yield* readFile(ref))
          return text === undefined
            ? yield* new SecretUnavailable({
                ref,
                detail: "it is no text (UTF-8 without NUL), as a variable or a password must be"
              })
            : Redacted.make(text.replace(/\r?\n$/, ""))
        })
        return SecretStore.of({ read, readAll: each(read), resolve, resolveAll: each(resolve) })
      })
    )
}

/** The text, or undefined where the bytes are none that a variable could hold. */
const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return text.includes("\0") ? undefined : text
  } catch {
    // fatal: it throws at the first byte that is not UTF-8
    return undefined
  }
}

const each =
  <A>(get: (ref: SecretRef) => Effect.Effect<A, SecretUnavailable>) =>
  (
    refs: Readonly<Record<string, SecretRef>>
  ): Effect.Effect<Readonly<Record<string, A>>, SecretUnavailable> =>
    Effect.map(
      Effect.forEach(Object.entries(refs), ([name, ref]) =>
        Effect.map(get(ref), (value): readonly [string, A] => [name, value])
      ),
      Object.fromEntries<A>
    )
