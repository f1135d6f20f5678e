/** HTTP to one registry, over undici: authorization, deadlines, retries, typed failures. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { type Dispatcher, request } from "undici"
import { type Action, type BearerTokens, parseChallenges, type RegistryCredentials } from "./Authorization.ts"
import {
  MalformedAnswer,
  RegistryCertificateNotTrusted,
  type RegistryReason,
  RegistryUnauthorized,
  RegistryUnreachable
} from "./RegistryReason.ts"
import { reasonOf } from "./RegistryFailure.ts"

/** An answer whose status is as expected. Its body is read, and small. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

export interface Call {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE"
  /** Begins with `/v2/`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  /** What the call is about, for the token. */
  readonly repository: string
  readonly actions: ReadonlyArray<Action>
}

export interface RegistryClientOptions {
  readonly dispatcher: Dispatcher
  /** Origin of the registry. */
  readonly endpoint: URL
  readonly credentials: RegistryCredentials | undefined
  readonly tokens: BearerTokens
  /** For one request, its answer's body included. */
  readonly timeoutSeconds: number
  /** Further attempts after a failure that a retry can help. */
  readonly retries: number
}

/** The largest manifest that registries must accept (OCI distribution spec, "Pushing manifests"). */
const maxBodyBytes = 4 * 1024 * 1024
const longestWaitSeconds = 20

const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error ? String(error.code) : error.name
  return error.message === "" ? code : `${error.message} (${code})`
}

/** One HTTP exchange, within the deadline. Interruption ends the connection. */
export const exchange = (
  options: Pick<RegistryClientOptions, "dispatcher" | "timeoutSeconds">,
  url: URL,
  call: Pick<Call, "method" | "headers" | "body">
): Effect.Effect<Answer, RegistryReason> => {
  const endpoint = url.origin
  return Effect.tryPromise({
    try: async (signal) => {
      const response = await request(url, {
        dispatcher: options.dispatcher,
        method: call.method,
        headers: { ...call.headers },
        body: call.body ?? null,
        signal
      })
      const chunks: Array<Buffer> = []
      let size = 0
      for await (const chunk of response.body) {
        const piece = Buffer.from(chunk)
        size += piece.length
        if (size > maxBodyBytes) {
          response.body.destroy()
          throw new MalformedAnswer({ endpoint, detail: `its answer is longer than ${maxBodyBytes} bytes` })
        }
        chunks.push(piece)
      }
      const headers = Object.fromEntries(
        Object.entries(response.headers).map(([name, value]) => [
          name,
          Array.isArray(value) ? value.join(", ") : value
        ])
      )
      return { status: response.statusCode, headers, body: Buffer.concat(chunks) }
    },
    catch: (error): RegistryReason => {
      if (error instanceof MalformedAnswer) return error
      const detail = codeOf(error)
      if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/i.test(detail))
        return new RegistryCertificateNotTrusted({ endpoint, detail })
      return /HPE_/.test(detail)
        ? new MalformedAnswer({ endpoint, detail })
        : new RegistryUnreachable({ endpoint, detail })
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: `${options.timeoutSeconds} seconds`,
      orElse: () =>
        Effect.fail(
          new RegistryUnreachable({ endpoint, detail: `no answer within ${options.timeoutSeconds} seconds` })
        )
    })
  )
}

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
