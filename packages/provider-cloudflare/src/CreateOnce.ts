/** Creating something exactly once, although an answer may be lost after it was made. */
import * as Effect from "effect/Effect"
import type { CloudflareReason } from "./api/CloudflareReason.ts"

/** How long a write may stay unseen in Cloudflare's lists. */
export interface Settle {
  readonly tries: number
  /** Between two looks. */
  readonly seconds: number
}

const attempts = 4

const mayExist = (reason: CloudflareReason): boolean =>
  reason._tag === "CloudflareDuplicate" ||
  reason._tag === "CloudflareMalformed" ||
  (reason._tag === "CloudflareUnavailable" && reason.maybeDone)

/** Looks for a while, since what was made may be shown late. */
export const lookFor = Effect.fnUntraced(function* <A, R>(
  find: Effect.Effect<A | undefined, CloudflareReason, R>,
  settle: Settle
): Effect.fn.Return<A | undefined, CloudflareReason, R> {
  for (let tries = 0; tries <= settle.tries; tries++) {
    if (tries > 0) yield* Effect.sleep(`${settle.seconds} seconds`)
    const found = yield* find
    if (found !== undefined) return found
  }
  return undefined
})

/** Creates; where it is not known whether that was done, looks for a while, and creates again only what is not there. */
export const createOnce = <A, R>(
  create: Effect.Effect<A, CloudflareReason, R>,
  find: Effect.Effect<A | undefined, CloudflareReason, R>,
  settle: Settle,
  attempt = 1
): Effect.Effect<A, CloudflareReason, R> =>
  create.pipe(
    Effect.catch(
      Effect.fnUntraced(function* (reason) {
        if (!mayExist(reason)) return yield* reason
        const found = yield* lookFor(find, settle)
        if (found !== undefined) return found
        if (reason._tag === "CloudflareDuplicate" || attempt === attempts) return yield* reason
        return yield* createOnce(create, find, settle, attempt + 1)
      })
    )
  )
