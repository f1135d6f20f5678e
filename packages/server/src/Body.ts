/** Body: the raw bytes of a request, as many as are allowed. */
import type { IncomingMessage } from "node:http"
import { refused, type Reply, unavailable } from "./Answer.ts"

/** Bytes that all bodies together may hold. */
export class ByteBudget {
  readonly #limit: number
  #held = 0

  constructor(limit: number) {
    this.#limit = limit
  }
  get held(): number {
    return this.#held
  }
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#limit) return false
    this.#held += bytes
    return true
  }
  giveBack(bytes: number): void {
    this.#held -= bytes
  }
}

const retryAfterSeconds = 5

const tooLarge = (limit: number): Reply => refused(413, `the body has more than ${limit} bytes`)

/** Why a body is not read at all, by what its headers say. */
export const refusalOfHeaders = (request: IncomingMessage, limit: number): Reply | undefined => {
  const { headers } = request
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding !== "identity") {
    return refused(415, "the body is compressed: the signature is made of the bytes as they are sent")
  }
  if (!/^application\/json\s*(?:;|$)/i.test(headers["content-type"] ?? "")) {
    return refused(415, "the content type is not application/json: set it in the webhook")
  }
  return Number(headers["content-length"] ?? 0) > limit ? tooLarge(limit) : undefined
}

/**
 * Hands the whole body to `done`, or why it is not taken; nothing when the sender goes away. What is read is held of
 * `budget` until the response is closed. What comes after a refusal is read and thrown away, so that the sender gets to
 * read the answer; the server's own deadline ends that.
 */
export const readBody = (
  request: IncomingMessage,
  limit: number,
  budget: ByteBudget,
  done: (result: Buffer | Reply) => void
): { readonly release: () => void } => {
  const chunks: Array<Buffer> = []
  let size = 0
  const release = () => {
    budget.giveBack(size)
    size = 0
    chunks.length = 0
  }
  const end = (result: Buffer | Reply) => {
    request.off("data", onData)
    request.off("end", onEnd)
    if (!Buffer.isBuffer(result)) {
      release()
      request.resume()
    }
    done(result)
  }
  const onData = (chunk: Buffer) => {
    if (size + chunk.length > limit) return end(tooLarge(limit))
    if (!budget.take(chunk.length))
      return end(unavailable("too many bodies are being read", retryAfterSeconds))
    chunks.push(chunk)
    size += chunk.length
  }
  const onEnd = () => {
    const [first] = chunks
    end(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks))
  }
  request.on("data", onData)
  request.on("end", onEnd)
  // The sender went away: the response's close says so too.
  request.on("error", release)
  return { release }
}
