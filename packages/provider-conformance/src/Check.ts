/** Check: one promise of a contract, and how it is put to the test. Checks are values, so that the suite can be tested itself. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** An implementation does not keep a promise. */
export class PromiseBroken extends Schema.TaggedError<PromiseBroken>()("PromiseBroken", {
  promise: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.promise}: ${this.detail}`
  }
}

/** A promise of a contract, and how to see whether it is kept. */
export interface Check<R> {
  /** What every implementation promises, as the contract says it. */
  readonly promise: string
  /** Fails with {@link PromiseBroken}, or with whatever the implementation fails with. */
  readonly run: Effect.Effect<void, PromiseBroken, R>
}

/** What a check's steps say. */
export class Expect {
  readonly promise: string

  constructor(promise: string) {
    this.promise = promise
  }

  readonly fail = (detail: string): Effect.Effect<never, PromiseBroken> =>
    Effect.fail(new PromiseBroken({ promise: this.promise, detail }))

  readonly that = (isSo: boolean, detail: string): Effect.Effect<void, PromiseBroken> =>
    isSo ? Effect.void : this.fail(detail)

  readonly equal = <A>(actual: A, expected: A, what: string): Effect.Effect<void, PromiseBroken> => {
    const [is, wanted] = [JSON.stringify(actual), JSON.stringify(expected)]
    return this.that(is === wanted, `${what} is ${is}, expected ${wanted}`)
  }

  /** The implementation's own failure breaks the promise too, and is told with its message. */
  readonly succeeds = <A, E extends { readonly message: string }, R>(
    effect: Effect.Effect<A, E, R>,
    what: string
  ): Effect.Effect<A, PromiseBroken, R> =>
    Effect.mapError(
      effect,
      (error) => new PromiseBroken({ promise: this.promise, detail: `${what}: ${error.message}` })
    )

  /** It must fail, and its error must say what a person can do: a tag, a message, whether a retry can help. */
  readonly failsWith = <A, E extends { readonly message: string; readonly retryable: boolean }, R>(
    effect: Effect.Effect<A, E, R>,
    tags: ReadonlyArray<string>,
    tagOf: (error: E) => string,
    what: string
  ): Effect.Effect<E, PromiseBroken, R> =>
    Effect.flatMap(Effect.exit(effect), (exit): Effect.Effect<E, PromiseBroken> => {
      if (Exit.isSuccess(exit)) return this.fail(`${what} succeeds, and must fail with ${tags.join(" or ")}`)
      const failure = exit.cause.reasons.find(Cause.isFailReason)
      if (failure === undefined) return this.fail(`${what} dies: ${Cause.pretty(exit.cause)}`)
      const { error } = failure
      if (!tags.includes(tagOf(error)))
        return this.fail(
          `${what} fails with ${tagOf(error)} (${error.message}), not with ${tags.join(" or ")}`
        )
      return error.message === "" ? this.fail(`${what}: its error has no message`) : Effect.succeed(error)
    })
}

/** What the check acquires is released when it ends. */
export const check = <R>(
  promise: string,
  run: (expect: Expect) => Effect.Effect<void, PromiseBroken, R>
): Check<Exclude<R, Scope.Scope>> => ({
  promise,
  run: Effect.scoped(Effect.suspend(() => run(new Expect(promise))))
})

/**
 * Begins `effect`, interrupts it after each of these delays (milliseconds) and waits until that is done: what is left then, the next call
 * has to cope with.
 */
export const interruptedAfter = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  delays: ReadonlyArray<number>
): Effect.Effect<void, never, R> =>
  Effect.forEach(delays, (delay) => Effect.ignore(Effect.timeoutOption(effect, `${delay} millis`)), {
    discard: true
  })
