/** Which promises an implementation breaks, by the suite's own checks. */
import type { Check } from "@mcpdeploy/provider-conformance/Check"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

export const brokenOf = Effect.fnUntraced(function* <R>(
  checks: ReadonlyArray<Check<R>>,
  provide: <A, E>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E>
) {
  const broken: Array<string> = []
  for (const { promise, run } of checks)
    if (Exit.isFailure(yield* Effect.exit(provide(run)))) broken.push(promise)
  return broken
})
