/** Killed, or failed, at every call: run again it converges, and nothing is there twice. */
import { everyFault, type Fault } from "@mcpdeploy/core/testing/ApiDouble"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { assertConverged, contents, desiredOf, facts, makeWorld, steered, token } from "./fixtures.ts"

/** The lag of every list, in lists. */
const lags = process.env["MCPDEPLOY_TEST_FULL"] === "1" ? [0, 1, 2, 3] : [0, 2]

const callsOf = (lag: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld({ lag })
      yield* apply(desiredOf())
      assertConverged(double, "without a fault")
      return double.calls.length
    })
  )

/** Short only where it has to run out: on a busy machine a short one runs out by itself. */
const deadline = (fault: Fault) => (fault.kind === "silence" ? 0.4 : 10)

const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)

describe("apply that is killed", () => {
  for (const lag of lags) {
    it.live(`at any call, before or after it was done, and run again converges (lists late by ${lag})`, () =>
      Effect.gen(function* () {
        const count = yield* callsOf(lag)
        const cases = indexes(count).flatMap((index) => [true, false].map((done) => ({ index, done })))
        yield* Effect.forEach(
          cases,
          Effect.fnUntraced(function* ({ done, index }) {
            const what = `killed at call ${index} of ${count}, ${done ? "" : "not "}done`
            const { apply, double } = yield* makeWorld({ lag }, { timeoutSeconds: 60 })
            const reached = yield* Deferred.make<void>()
            double.fault = (call) => (call.index === index ? { kind: "silence", done } : undefined)
            double.onSilence = () => void Deferred.doneUnsafe(reached, Effect.void)
            const fiber = yield* Effect.forkChild(apply(desiredOf()))
            yield* Deferred.await(reached)
            yield* Fiber.interrupt(fiber)
            double.fault = () => undefined
            yield* apply(desiredOf())
            assertConverged(double, what)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )
  }

  it.live("while it changes to steering, at any call, and run again converges", () =>
    Effect.gen(function* () {
      const options = { allow: new Set(["record A cname.ml.ink"]), settle: { tries: 4, seconds: 0.005 } }
      const before = yield* Effect.scoped(
        Effect.gen(function* () {
          const { apply, double } = yield* makeWorld()
          yield* apply(desiredOf())
          double.reset()
          yield* apply(desiredOf(facts, steered), options)
          return { count: double.calls.length, contents: contents(double) }
        })
      )
      yield* Effect.forEach(
        indexes(before.count),
        Effect.fnUntraced(function* (index) {
          const { apply, double } = yield* makeWorld()
          yield* apply(desiredOf())
          double.reset()
          const reached = yield* Deferred.make<void>()
          double.fault = (call) => (call.index === index ? { kind: "silence", done: true } : undefined)
          double.onSilence = () => void Deferred.doneUnsafe(reached, Effect.void)
          const fiber = yield* Effect.forkChild(apply(desiredOf(facts, steered), options))
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
          double.fault = () => undefined
          yield* apply(desiredOf(facts, steered), options)
          assert.deepStrictEqual(contents(double), before.contents, `killed at call ${index}`)
          assert.deepStrictEqual(double.violations, [])
        }, Effect.scoped),
        { concurrency: 8, discard: true }
      )
    })
  )
})

describe("a fault", () => {
  it.live("a POST whose answer is lost after it was done is looked for, not sent again", () =>
    Effect.gen(function* () {
      const { apply, double } = yield* makeWorld({ lag: 2 })
      double.fault = ({ method }) => (method === "POST" ? { kind: "reset", done: true } : undefined)
      yield* apply(desiredOf())
      assertConverged(double)
      assert.strictEqual(double.calls.filter(({ method }) => method === "POST").length, 8)
      assert.isFalse(double.calls.some(({ method }) => method === "DELETE"))
    })
  )

  for (const [name, fault] of everyFault) {
    it.live(`${name}: once at any call, it converges by itself`, () =>
      Effect.gen(function* () {
        const count = yield* callsOf(0)
        yield* Effect.forEach(
          indexes(count),
          Effect.fnUntraced(function* (index) {
            const { apply, double } = yield* makeWorld({}, { timeoutSeconds: deadline(fault) })
            double.fault = (call) => (call.index === index ? fault : undefined)
            yield* apply(desiredOf())
            assertConverged(double, `${name} at call ${index}`)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )

    it.live(`${name}: from any call on, it is a typed error without the token; mended, it converges`, () =>
      Effect.gen(function* () {
        const count = yield* callsOf(0)
        yield* Effect.forEach(
          indexes(count),
          Effect.fnUntraced(function* (index) {
            const { apply, double } = yield* makeWorld({}, { timeoutSeconds: deadline(fault), retries: 1 })
            double.fault = (call) => (call.index >= index ? fault : undefined)
            const exit = yield* Effect.exit(Effect.result(apply(desiredOf())))
            assert.isTrue(Exit.isSuccess(exit), `${name} from call ${index} on is a defect`)
            assert.notInclude(JSON.stringify(exit), token)
            double.fault = () => undefined
            yield* apply(desiredOf())
            assertConverged(double, `${name} from call ${index} on`)
          }, Effect.scoped),
          { concurrency: 8, discard: true }
        )
      })
    )
  }
})
