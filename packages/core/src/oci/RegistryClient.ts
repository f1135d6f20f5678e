/** Calls to one registry: authorization, retries, typed failures. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { type Action, type BearerTokens, parseChallenges, type RegistryCredentials } from "./Authorization.ts"
import { type Answer, exchange, type ExchangeOptions, type Message } from "./Exchange.ts"
import { MalformedAnswer, type RegistryReason, RegistryUnauthorized } from "./RegistryReason.ts"
import { reasonOf } from "./RegistryFailure.ts"

export interface Call extends Message {
  /** Begins with `/v2/`. */
  readonly path: string
  /** What the call is about, for the token. */
  readonly repository: string
  readonly actions: ReadonlyArray<Action>
}

export interface RegistryClientOptions extends ExchangeOptions {
  /** Origin of the registry. */
  readonly endpoint: URL
  readonly credentials: RegistryCredentials | undefined
  readonly tokens: BearerTokens
  /** Further attempts after a failure that a retry can help. */
  readonly retries: number
}

const longestWaitSeconds = 20

/** Repeats an attempt while a retry can help, waiting longer each time or as long as the registry asks. */
const withRetries = <A>(
  attempt: Effect.Effect<A, RegistryReason>,
  retries: number,
  tried = 0
): Effect.Effect<A, RegistryReason> =>
  attempt.pipe(
    Effect.catch(
      Effect.fnUntraced(function* (reason) {
        const asked = reason._tag === "RegistryRateLimited" ? (reason.retryAfterSeconds ?? 0) : 0
        if (!reason.retryable || tried >= retries || asked > longestWaitSeconds) return yield* reason
        const backoff = 0.1 * 2 ** tried
        const jitter = 0.5 + (yield* Random.next)
        yield* Effect.sleep(`${asked + backoff * jitter} seconds`)
        return yield* withRetries(attempt, retries, tried + 1)
      })
    )
  )

/** Calls the registry. Succeeds with an answer of 200 to 299; every other answer is a typed failure. */
export const call = Effect.fnUntraced(function* (
  options: RegistryClientOptions,
  call: Call
): Effect.fn.Return<Answer, RegistryReason> {
  const { endpoint, credentials, tokens } = options
  const scope = { repository: call.repository, actions: call.actions }
  const send = Effect.fnUntraced(function* (authorization: string | undefined) {
    return yield* exchange(options, new URL(call.path, endpoint), {
      ...call,
      headers: { ...call.headers, ...(authorization === undefined ? {} : { authorization }) }
    })
  })
  const attempt = Effect.gen(function* () {
    const known = yield* tokens.known(scope)
    const first = yield* send(known)
    if (first.status !== 401) return first
    const challenges = parseChallenges(first.headers["www-authenticate"] ?? "")
    const authorization = yield* tokens.obtain(scope, challenges)
    return authorization === undefined ? first : yield* send(authorization)
  })
  const checked = Effect.gen(function* () {
    const answer = yield* attempt
    if (answer.status >= 200 && answer.status < 300) return answer
    return yield* answer.status === 401
      ? new RegistryUnauthorized({ endpoint: endpoint.origin, withCredentials: credentials !== undefined })
      : reasonOf(endpoint.origin, answer)
  })
  return yield* withRetries(checked, options.retries)
})

/** Decodes an answer's JSON body. */
export const decodeBody = <A, I>(
  endpoint: URL,
  schema: Schema.Codec<A, I>,
  answer: Answer
): Effect.Effect<A, RegistryReason> =>
  Schema.decodeEffect(Schema.fromJsonString(schema))(answer.body.toString("utf8")).pipe(
    Effect.mapError((error) => new MalformedAnswer({ endpoint: endpoint.origin, detail: error.message }))
  )
