/**
 * RecentlyDone: calls that are under way or were just done, so that the same delivery many times at once is one call. Only
 * to save work: what is done twice changes nothing.
 */
import type * as Deferred from "effect/Deferred"

/** A delivery that somebody sends again on purpose comes later than this. */
const keptMs = 2000

export class RecentlyDone<A, E> {
  #newer = new Map<string, Deferred.Deferred<A, E>>()
  #older = new Map<string, Deferred.Deferred<A, E>>()
  #turnedAt = 0

  /** The call with this key, where there is one; else `deferred` stands for it from now on. */
  begin(key: string, deferred: Deferred.Deferred<A, E>): Deferred.Deferred<A, E> | undefined {
    this.#turn(performance.now())
    const known = this.#newer.get(key) ?? this.#older.get(key)
    if (known === undefined) this.#newer.set(key, deferred)
    return known
  }

  /** A call that failed is forgotten: the next one is made. */
  end(key: string, succeeded: boolean): void {
    if (succeeded) return
    this.#newer.delete(key)
    this.#older.delete(key)
  }

  /** Two maps that take turns need no timer for each call. */
  #turn(now: number): void {
    if (now - this.#turnedAt < keptMs) return
    this.#older = now - this.#turnedAt < 2 * keptMs ? this.#newer : new Map()
    this.#newer = new Map()
    this.#turnedAt = now
  }
}
