/** VendorHttp: one request to a vendor's API over undici, and when it is sent again. Says no secret. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { type Dispatcher, request } from "undici"

/** Whether a secret may be sent there: over TLS, or to this machine itself, where tests have their doubles. */
export const mayCarrySecrets = (url: string): boolean => {
  const { hostname, protocol } = URL.parse(url) ?? {}
  return (
    protocol === "https:" ||
    (protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(hostname ?? ""))
  )
}

/** A request to a vendor's API. */
export interface VendorRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** A vendor's answer, whatever its status. */
export interface VendorAnswer {
  readonly status: number
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** There was no answer. */
export class VendorSilent extends Schema.TaggedError<VendorSilent>()("VendorSilent", {
  detail: Schema.String,
  /** The request may have been carried out. */
  maybeDone: Schema.Boolean
}) {
  readonly retryable = true
  override get message(): string {
    return this.detail
  }
}

/** How requests to a vendor are sent, and what must not be repeated of them. */
export interface VendorHttpOptions {
  readonly dispatcher: Dispatcher
  /** For one request, its answer's body included. */
  readonly timeoutSeconds: number
  /** What must not be in a message or an answer's body; each is replaced. */
  readonly secrets: ReadonlyArray<string>
}

const maxBodyBytes = 16 * 1024 * 1024

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : ""

/** Failures from before the request was sent. */
const notSent =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT|SELF_SIGNED|UND_ERR_INVALID_ARG/

/** Any answer is a success here, whatever its status. */
export const sendOnce = (
  { dispatcher, secrets, timeoutSeconds }: VendorHttpOptions,
  { body, headers, method, url }: VendorRequest
): Effect.Effect<VendorAnswer, VendorSilent> => {
  const withoutSecrets = (text: string) =>
    secrets.reduce((all, secret) => (secret === "" ? all : all.replaceAll(secret, "<secret>")), text)
  return Effect.tryPromise({
    try: async (signal) => {
      const response = await request(url, {
        dispatcher,
        method,
        signal,
        headers,
        ...(body === undefined ? {} : { body })
      })
      const chunks: Array<Buffer> = []
      let size = 0
      for await (const chunk of response.body) {
        const piece = Buffer.from(chunk)
        size += piece.length
        if (size > maxBodyBytes) {
          response.body.destroy()
          throw new Error(`its answer is longer than ${maxBodyBytes} bytes`)
        }
        chunks.push(piece)
      }
      return {
        status: response.statusCode,
        headers: Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(", ") : value
          ])
        ),
        // Some repeat parts of a request in their errors; a secret must not get out that way.
        body: withoutSecrets(Buffer.concat(chunks).toString("utf8"))
      }
    },
    catch: (error) => {
      const code = codeOf(error)
      const said = error instanceof Error ? error.message || error.name : "no reason given"
      return new VendorSilent({
        detail: withoutSecrets(code === "" ? said : `${said} (${code})`),
        maybeDone: !notSent.test(code)
      })
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: `${timeoutSeconds} seconds`,
      orElse: () =>
        Effect.fail(
          new VendorSilent({ detail: `no answer within ${timeoutSeconds} seconds`, maybeDone: true })
        )
    })
  )
}

/** How often and how patiently something is tried again. */
export interface Retries<E> {
  /** Further attempts. */
  readonly times: number
  /** The first wait between attempts; it doubles each time. */
  readonly backoffSeconds: number
  /** A longer wait than this, asked for by the vendor, is a failure. */
  readonly longestWaitSeconds: number
  readonly mayRepeat: (error: E) => boolean
  /** What the vendor asks to wait. */
  readonly askedSeconds: (error: E) => number
}

/** Tries again what fails in a way that may pass, waiting longer each time, and as long as the vendor asks. */
export const withRetries = <A, E, R>(
  attempt: Effect.Effect<A, E, R>,
  retries: Retries<E>,
  tried = 0
): Effect.Effect<A, E, R> =>
  attempt.pipe(
    Effect.catch(
      Effect.fnUntraced(function* (error) {
        const asked = retries.askedSeconds(error)
        if (!retries.mayRepeat(error) || tried >= retries.times || asked > retries.longestWaitSeconds)
          return yield* Effect.fail(error)
        const jitter = 0.5 + (yield* Random.next)
        yield* Effect.sleep(`${asked + retries.backoffSeconds * 2 ** tried * jitter} seconds`)
        return yield* withRetries(attempt, retries, tried + 1)
      })
    )
  )
