/**
 * WebhookSecrets: the secrets that a repository's webhooks are signed with. They are files of one folder (a mounted
 * Secret), read again every few seconds, so that a rotation needs no restart.
 *
 * `gitea`, `github`: masters, from which the secret of each repository is derived, so that one repository's secret gives
 * away no other's. `github.{owner}.{repository}`: that repository's own, instead of a derived one. A line holds one
 * secret; all lines are accepted: to rotate, put the new one in front, change the webhooks, take the old one away.
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Forge } from "./Forge.ts"

/** The folder holds no usable secrets. Names files, never what is in them. */
export class WebhookSecretsInvalid extends Schema.TaggedError<WebhookSecretsInvalid>()(
  "WebhookSecretsInvalid",
  { folder: Schema.String, problem: Schema.String }
) {
  readonly retryable = false
  override get message(): string {
    return `${this.folder} ${this.problem}: put a file "gitea" or "github" there with a random secret of at least ${minLength} characters (openssl rand -hex 32), see MCPDEPLOY_WEBHOOK_SECRETS`
  }
}

/** A shorter one can be guessed. */
const minLength = 16
const rereadEvery = "10 seconds"
/** Derived keys are kept for so many repositories; a stranger who makes names up only makes them be derived again. */
const maxDerived = 10_000

const fileName = /^(?:gitea|github|github\.[a-z0-9-]+\.[a-z0-9_.-]+)$/

const none: ReadonlyArray<KeyObject> = []

/** By file name. */
type Secrets = ReadonlyMap<string, ReadonlyArray<string>>

const read = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const problem = (problem: string) => new WebhookSecretsInvalid({ folder, problem })
  const unreadable = Effect.mapError(({ reason }: { readonly reason: { readonly _tag: string } }) =>
    problem(`cannot be read (${reason._tag})`)
  )
  const names = (yield* fs.readDirectory(folder).pipe(unreadable)).filter((name) =>
    fileName.test(name.toLowerCase())
  )
  const secrets = new Map<string, ReadonlyArray<string>>()
  for (const name of names) {
    const text = yield* fs.readFileString(`${folder}/${name}`).pipe(unreadable)
    const lines = text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
    if (lines.length === 0) return yield* problem(`holds an empty file ${name}`)
    if (lines.some((line) => line.length < minLength)) {
      return yield* problem(`holds a secret of less than ${minLength} characters in ${name}`)
    }
    secrets.set(name.toLowerCase(), lines)
  }
  if (secrets.size === 0) return yield* problem("holds no secrets")
  return secrets
})

const derive = (forge: Forge, repository: string, master: string): string =>
  createHmac("sha256", master).update(`mcpdeploy ${forge} webhook ${repository}`).digest("hex")

const keyOf = (secret: string): KeyObject => createSecretKey(Buffer.from(secret))

/** The keys of one set of secrets. */
class Keyring {
  readonly #secrets: Secrets
  readonly #keys = new Map<string, ReadonlyArray<KeyObject>>()

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }
  keysOf(forge: Forge, repository: string): ReadonlyArray<KeyObject> {
    const own = this.#secrets.get(`${forge}.${repository.replace("/", ".")}`)
    const masters = this.#secrets.get(forge)
    if (own === undefined && masters === undefined) return none
    const id = `${forge} ${repository}`
    const known = this.#keys.get(id)
    if (known !== undefined) return known
    if (this.#keys.size >= maxDerived) this.#keys.clear()
    const keys = (own ?? masters?.map((master) => derive(forge, repository, master)) ?? []).map(keyOf)
    this.#keys.set(id, keys)
    return keys
  }
}

/** By which secrets a repository's deliveries may be signed. */
export class WebhookSecrets extends Context.Service<
  WebhookSecrets,
  {
    /** `repository` is `owner/repository` in lower case. Empty where none is known: then nothing is accepted. */
    readonly keysOf: (forge: Forge, repository: string) => ReadonlyArray<KeyObject>
  }
>()("mcpdeploy/server/WebhookSecrets") {
  static readonly make = (secrets: Secrets): WebhookSecrets["Service"] => new Keyring(secrets)

  /** A folder that becomes unusable later is told of in the log, and the secrets that were read last go on. */
  static readonly layer = (
    folder: string
  ): Layer.Layer<WebhookSecrets, WebhookSecretsInvalid, FileSystem.FileSystem> =>
    Layer.effect(
      WebhookSecrets,
      Effect.gen(function* () {
        let secrets = yield* read(folder)
        let keyring = new Keyring(secrets)
        yield* read(folder).pipe(
          Effect.map((found) => {
            // Derived keys stay as long as nothing has changed.
            if (JSON.stringify([...found]) !== JSON.stringify([...secrets])) keyring = new Keyring(found)
            secrets = found
          }),
          Effect.catch((error) => Effect.logWarning(`webhook secrets: ${error.message}`)),
          Effect.schedule(Schedule.spaced(rereadEvery)),
          Effect.forkScoped
        )
        return WebhookSecrets.of({ keysOf: (forge, repository) => keyring.keysOf(forge, repository) })
      })
    )
}
