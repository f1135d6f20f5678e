/**
 * Keeps to Cloudflare's global limit: 1,200 requests in five minutes for one user, over all that the user does. Who exceeds it is
 * blocked for the next five minutes. (API reference, "Rate limits".)
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

export interface RateLimit {
  /** Waits until one more request may be sent. */
  readonly take: Effect.Effect<void>
  /** Learns from the answer's `Ratelimit` header what is left: others use the same user's quota. */
  readonly learn: (header: string | undefined) => Effect.Effect<void>
}

/** `"default";r=50;t=30`: 50 requests are left, and in 30 seconds it begins anew (draft-ietf-httpapi-ratelimit-headers). */
export const parseRateLimit = (
  header: string
): ReadonlyArray<{ readonly remaining: number; readonly resetSeconds: number }> =>
  header.split(",").flatMap((item) => {
    const parameters = new Map(
      item
        .split(";")
        .slice(1)
        .map((part) => {
          const [name = "", value = ""] = part.trim().split("=")
          return [name, /^\d+$/.test(value) ? Number(value) : undefined] as const
        })
    )
    const remaining = parameters.get("r")
    const resetSeconds = parameters.get("t")
    return remaining === undefined || resetSeconds === undefined ? [] : [{ remaining, resetSeconds }]
  })

export const make = Effect.fnUntraced(function* (options: {
  readonly requests: number
  readonly windowSeconds: number
}): Effect.fn.Return<RateLimit> {
  const one = yield* Semaphore.make(1)
  const windowMillis = options.windowSeconds * 1000
  const sent: Array<number> = []
  let notBefore = 0
  const wait = Effect.gen(function* () {
    for (;;) {
      const now = yield* Clock.currentTimeMillis
      while (sent[0] !== undefined && sent[0] + windowMillis <= now) sent.shift()
      const oldest = sent.length < options.requests ? undefined : sent[0]
      const until = Math.max(notBefore, oldest === undefined ? 0 : oldest + windowMillis)
      if (until <= now) return void sent.push(now)
      yield* Effect.logDebug("waiting for Cloudflare's rate limit", { milliseconds: until - now })
      yield* Effect.sleep(until - now)
    }
  })
  return {
    take: one.withPermit(wait),
    learn: (header) =>
      header === undefined
        ? Effect.void
        : Effect.map(Clock.currentTimeMillis, (now) => {
            for (const { remaining, resetSeconds } of parseRateLimit(header))
              if (remaining === 0) notBefore = Math.max(notBefore, now + resetSeconds * 1000)
          })
  }
})
