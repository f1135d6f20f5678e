/** Killed, or failed, at every call: run again it converges, and nothing is there twice. */
import { assert, describe, it } from "@effect/vitest"
import { everyFault, type Fault } from "@mcpdeploy/core/testing/ApiDouble"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { assertConverged, converged, desiredOf, makeWorld, token } from "./fixtures.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const lags = isFull ? [0, 1, 2] : [0]

const refused = (status: number, code: string): Fault => ({
  kind: "refused",
  answer: { status, body: { error: { code, message: "try again", details: null } } }
})
const faults: ReadonlyArray<readonly [string, Fault]> = [
  ...everyFault,
  ["423 locked", refused(423, "locked")],
  ["409 conflict", refused(409, "conflict")],
  ["503 resource_unavailable", refused(503, "resource_unavailable")]
]

/** Short only where it has to run out: on a busy machine a short one runs out by itself. */
const deadline = (fault: Fault) => (fault.kind === "silence" ? 0.4 : 10)
const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)

describe("apply that is killed", () => {
  for (const lag of lags) {
    it.live(`at any call, before or after it was done, and run again converges (lists late by ${lag})`, () =>
      Effect.gen(function* () {
        const expected = yield* converged
        const desired = yield* desiredOf()
        const cases = indexes(expected.calls).flatMap((index) =>
          [true, false].map((done) => ({ index, done }))
        )
        yield* Effect.forEach(
          cases,
          Effect.fnUntraced(function* ({ done, index }) {
            const { apply, double } = yield* makeWorld({ lag }, { timeoutSeconds: 60 })
            const reached = yield* Deferred.make<void>()
            double.fault = (call) => (call.index === index ? { kind: "silence", done } : undefined)
            double.onSilence = () => void Deferred.doneUnsafe(reached, Effect.void)
            const fiber = yield* Effect.forkChild(apply(desired))
            yield* Deferred.await(reached)
            yield* Fiber.interrupt(fiber)
            double.fault = () => undefined
            yield* apply(desired)
            assertConverged(double, expected, `killed at call ${index}, ${done ? "" : "not "}done`)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )
  }
})

describe("a fault", () => {
  for (const [name, fault] of faults) {
    it.live(`${name}: once at any call, it converges by itself`, () =>
      Effect.gen(function* () {
        const expected = yield* converged
        const desired = yield* desiredOf()
        yield* Effect.forEach(
          indexes(expected.calls),
          Effect.fnUntraced(function* (index) {
            const { apply, double } = yield* makeWorld({}, { timeoutSeconds: deadline(fault) })
            double.fault = (call) => (call.index === index ? fault : undefined)
            yield* apply(desired)
            assertConverged(double, expected, `${name} at call ${index}`)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )

    it.live(`${name}: from any call on, it is a typed error without the token; mended, it converges`, () =>
      Effect.gen(function* () {
        const expected = yield* converged
        const desired = yield* desiredOf()
        const every = isFull ? 1 : 5
        yield* Effect.forEach(
          indexes(expected.calls).filter((index) => index % every === 0),
          Effect.fnUntraced(function* (index) {
            const { apply, double } = yield* makeWorld({}, { timeoutSeconds: deadline(fault), retries: 1 })
            double.fault = (call) => (call.index >= index ? fault : undefined)
            const exit = yield* Effect.exit(Effect.result(apply(desired)))
            assert.isTrue(Exit.isSuccess(exit), `${name} from call ${index} on is a defect`)
            assert.notInclude(JSON.stringify(exit), token)
            double.fault = () => undefined
            yield* apply(desired)
            assertConverged(double, expected, `${name} from call ${index} on`)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )
  }
})
