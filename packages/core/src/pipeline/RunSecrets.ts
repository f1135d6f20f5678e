/** RunSecrets: the values of `run.secrets`, once it is seen that a process can have them as variables. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { maxValueBytes, type RunSpec } from "../domain/DeployRequest.ts"
import { SecretStore } from "../SecretStore.ts"
import { SecretUnsuitable } from "./DeployError.ts"

/** A Secret holds 1 MiB (Kubernetes API reference), and a process 2 MiB of arguments and variables. */
const maxTogether = 1_000_000

const problemOf = (text: string): string | undefined => {
  if (text.includes("\u0000")) return "its value has NUL characters, which no variable can have"
  const bytes = Buffer.byteLength(text)
  return bytes > maxValueBytes
    ? `its value has ${bytes} bytes, a variable may have ${maxValueBytes}: let the app fetch it, or split it`
    : undefined
}

/** The values by variable. Asked before anything is built. */
export const runSecrets = Effect.fn("runSecrets")(function* ({ secrets = {} }: RunSpec) {
  const store = yield* SecretStore
  const values = yield* store.resolveAll(secrets)
  let together = 0
  for (const [variable, value] of Object.entries(values)) {
    const detail = problemOf(Redacted.value(value))
    if (detail !== undefined) return yield* new SecretUnsuitable({ variable, detail })
    together += Buffer.byteLength(Redacted.value(value))
    if (together > maxTogether)
      return yield* new SecretUnsuitable({
        variable,
        detail: `with it the values of run.secrets have more than ${maxTogether} bytes together`
      })
  }
  return values
})
