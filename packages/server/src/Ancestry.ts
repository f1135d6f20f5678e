/**
 * Ancestry: whether a push only added commits. Gitea's event does not say when a push was forced, and lists then only the new
 * commits, not what the thrown away ones had changed. A path filter may only hold where that is known.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Agent, request as requestOver } from "undici"

const Comparison = Schema.fromJsonString(Schema.Struct({ total_commits: Schema.Int }))
const decode = Schema.decodeUnknownEffect(Comparison)

/** The answer is worth waiting for no longer: without it the push deploys. */
const timeoutMs = 300

/** Whether a push went forward; the forge is asked where the push does not say. */
export class Ancestry extends Context.Service<
  Ancestry,
  {
    /** true: `before` is known to be an ancestor of `after`. false also where it is not known. */
    readonly isForward: (repository: string, before: string, after: string) => Effect.Effect<boolean>
  }
>()("mcpdeploy/server/Ancestry") {
  /** Nothing is known: on Gitea no path filter holds a push back. */
  static readonly unknown: Layer.Layer<Ancestry> = Layer.succeed(Ancestry, {
    isForward: () => Effect.succeed(false)
  })

  /** Asks Gitea for the commits of `before` that `after` lacks. `token` needs to read repositories only. */
  static readonly gitea = (url: string, token: Redacted.Redacted): Layer.Layer<Ancestry> =>
    Layer.effect(
      Ancestry,
      Effect.gen(function* () {
        const agent = yield* Effect.acquireRelease(
          Effect.sync(() => new Agent({ allowH2: false, connect: { timeout: timeoutMs } })),
          (opened) => Effect.promise(() => opened.destroy())
        )
        const base = `${url.replace(/\/+$/, "")}/api/v1/repos`
        return Ancestry.of({
          isForward: Effect.fn("Ancestry.isForward")(function* (repository, before, after) {
            return yield* Effect.tryPromise(async (signal) => {
              const answer = await requestOver(`${base}/${repository}/compare/${after}...${before}`, {
                dispatcher: agent,
                signal,
                headers: { accept: "application/json", authorization: `token ${Redacted.value(token)}` }
              })
              const body = await answer.body.text()
              return answer.statusCode === 200 ? body : ""
            }).pipe(
              Effect.timeout(timeoutMs),
              Effect.flatMap((body) => decode(body)),
              Effect.map(({ total_commits }) => total_commits === 0),
              Effect.catch((error) =>
                Effect.as(Effect.logDebug(`${repository} was not compared: ${error.message}`), false)
              )
            )
          })
        })
      })
    )
}
