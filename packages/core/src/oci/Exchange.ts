/** One HTTP exchange with a registry or its token server, over undici: a deadline, a bounded body, typed failures. */
import * as Effect from "effect/Effect"
import { type Dispatcher, request } from "undici"
import {
  MalformedAnswer,
  RegistryCertificateNotTrusted,
  type RegistryReason,
  RegistryUnreachable
} from "./RegistryReason.ts"

/** An answer of any status. Its body is read, and small. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

export interface Message {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE"
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

export interface ExchangeOptions {
  readonly dispatcher: Dispatcher
  /** For one request, its answer's body included. */
  readonly timeoutSeconds: number
}

/** The largest manifest that registries must accept (OCI distribution spec, "Pushing manifests"). */
const maxBodyBytes = 4 * 1024 * 1024

const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error ? String(error.code) : error.name
  return error.message === "" ? code : `${error.message} (${code})`
}

/** One HTTP exchange, within the deadline. Interruption ends the connection. */
export const exchange = (
  options: ExchangeOptions,
  url: URL,
  message: Message
): Effect.Effect<Answer, RegistryReason> => {
  const endpoint = url.origin
  return Effect.tryPromise({
    try: async (signal) => {
      const response = await request(url, {
        dispatcher: options.dispatcher,
        method: message.method,
        headers: { ...message.headers },
        body: message.body ?? null,
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
