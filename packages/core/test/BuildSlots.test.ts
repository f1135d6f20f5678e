import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { BuildSlots } from "@mcpdeploy/core/BuildSlots"

/** A build of `tenant` that waits, then runs until it is ended. */
const build = Effect.fnUntraced(function* (tenant: string, onStart: (tenant: string) => void) {
  const slots = yield* BuildSlots
  const scope = yield* Scope.make()
  const fiber = yield* slots
    .take(tenant)
    .pipe(
      Scope.provide(scope),
      Effect.andThen(Effect.sync(() => onStart(tenant))),
      Effect.forkChild({ startImmediately: true })
    )
  return {
    tenant,
    end: Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void)).pipe(
      Effect.andThen(Effect.yieldNow)
    )
  }
})

const Move = Schema.Union([
  Schema.Struct({ start: Schema.Literals(["ann", "bob", "cat"]) }),
  Schema.Struct({ end: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })) })
])

describe("BuildSlots", () => {
  it.effect("a hundred queued builds of one tenant do not hold up another's first", () =>
    Effect.gen(function* () {
      const started: Array<string> = []
      const many = yield* Effect.forEach(Array.from({ length: 100 }), () =>
        build("ann", (tenant) => started.push(tenant))
      )
      yield* build("bob", (tenant) => started.push(tenant))
      yield* Effect.yieldNow
      assert.deepStrictEqual(started, ["ann", "ann", "ann", "ann"])
      const [first] = many
      if (first !== undefined) yield* first.end
      assert.deepStrictEqual(started.at(-1), "bob")
    }).pipe(Effect.provide(BuildSlots.layer(4)))
  )

  it.effect("an interrupted wait leaves its place, and nothing is counted twice", () =>
    Effect.gen(function* () {
      const slots = yield* BuildSlots
      const started: Array<string> = []
      const start = (tenant: string) => build(tenant, (name) => started.push(name))
      const first = yield* start("ann")
      const second = yield* start("bob")
      const third = yield* start("cat")
      yield* second.end
      assert.deepStrictEqual(yield* slots.usage, { capacity: 1, used: 1, waiting: 1 })
      yield* first.end
      assert.deepStrictEqual(started, ["ann", "cat"])
      yield* third.end
      assert.deepStrictEqual(yield* slots.usage, { capacity: 1, used: 0, waiting: 0 })
      assert.isTrue(yield* Effect.scoped(slots.takeIfFree("ann")))
      assert.deepStrictEqual(yield* slots.usage, { capacity: 1, used: 0, waiting: 0 })
    }).pipe(Effect.provide(BuildSlots.layer(1)))
  )

  it.effect.prop(
    "whatever comes and goes: never more than the capacity, none idle while one waits, and no tenant gets a second more while another with less waits",
    [
      Schema.Array(Move).check(Schema.isMaxLength(60)),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
    ],
    ([moves, capacity]) =>
      Effect.gen(function* () {
        const slots = yield* BuildSlots
        const builds: Array<Effect.Success<ReturnType<typeof build>> & { running: boolean }> = []
        const held = (tenant: string) => builds.filter((b) => b.running && b.tenant === tenant).length
        const waits = (tenant: string) => builds.some((b) => !b.running && b.tenant === tenant)
        for (const move of moves) {
          if ("start" in move) {
            const entry = { running: false }
            const made = yield* build(move.start, (tenant) => {
              for (const other of ["ann", "bob", "cat"]) {
                if (other !== tenant && waits(other)) assert.isAtMost(held(tenant), held(other))
              }
              entry.running = true
            })
            builds.push(Object.assign(entry, made))
          } else if (builds.length > 0) {
            const [ended] = builds.splice(move.end % builds.length, 1)
            if (ended !== undefined) yield* ended.end
          }
          yield* Effect.yieldNow
          const running = builds.filter((b) => b.running).length
          assert.deepStrictEqual(yield* slots.usage, {
            capacity,
            used: running,
            waiting: builds.length - running
          })
          assert.strictEqual(running, Math.min(capacity, builds.length))
        }
      }).pipe(Effect.provide(BuildSlots.layer(capacity)))
  )
})
