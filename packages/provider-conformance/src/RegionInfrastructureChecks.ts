/** What every RegionInfrastructure promises. */
import type {
  RegionApplied,
  RegionInfrastructure,
  RegionPlan
} from "@mcpdeploy/core/region/RegionInfrastructure"
import { nameOf } from "@mcpdeploy/core/region/RegionInfrastructure"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Check, check, type Expect, interruptedAfter } from "./Check.ts"

type Infrastructure = RegionInfrastructure["Service"]

/** A vendor of one's own: a double, or a folder. Each world is empty at first. */
export interface RegionWorld {
  readonly region: Infrastructure
  /** The same region with one more run node, at the same vendor. */
  readonly larger: Infrastructure
  /** Names of destructive changes that the first apply needs, as `nameOf` makes them. */
  readonly allow: ReadonlySet<string>
  /** Calls that wrote, so far. */
  readonly writes: () => number
  /** All that is at the vendor, as text, without ids and times. */
  readonly contents: () => string
}

/** What the suite needs to know of a vendor's part. */
export interface RegionConformance {
  readonly world: Effect.Effect<RegionWorld, never, Scope.Scope>
  /** After how many milliseconds an apply is interrupted, so that it is hit in the middle. */
  readonly interruptions: ReadonlyArray<number>
}

const isEmpty = ({ changes, conflicts, waiting }: RegionPlan): boolean =>
  changes.length + conflicts.length + waiting.length === 0

const names = ({ made }: RegionApplied): ReadonlyArray<string> => made.map(nameOf)

const applied = (expect: Expect, { allow }: RegionWorld, region: Infrastructure) =>
  expect.succeeds(region.apply(allow), "apply")

/** What a world looks like when it was applied without any trouble. */
const undisturbed = (expect: Expect, { world }: RegionConformance) =>
  Effect.gen(function* () {
    const made = yield* world
    yield* applied(expect, made, made.region)
    return made.contents()
  }).pipe(Effect.scoped)

/** What every vendor's part promises of plan, apply and verify. */
export const regionInfrastructureChecks = (of: RegionConformance): ReadonlyArray<Check<never>> => [
  check("plan writes nothing", (expect) =>
    Effect.gen(function* () {
      const { contents, region, writes } = yield* of.world
      const before = contents()
      const plan = yield* expect.succeeds(region.plan, "plan of an empty region")
      yield* expect.that(plan.changes.length > 0, "the plan of an empty region has no change")
      yield* expect.equal(writes(), 0, "the number of writes")
      yield* expect.equal(contents(), before, "what is there")
    })
  ),
  check("after apply, plan is empty, verify succeeds, and applying again writes nothing", (expect) =>
    Effect.gen(function* () {
      const world = yield* of.world
      const first = yield* applied(expect, world, world.region)
      yield* expect.that(names(first).length > 0, "apply of an empty region made nothing")
      const plan = yield* expect.succeeds(world.region.plan, "plan")
      yield* expect.that(isEmpty(plan), `the plan still has ${JSON.stringify(plan)}`)
      yield* expect.succeeds(world.region.verify, "verify")
      const before = world.writes()
      const again = yield* applied(expect, world, world.region)
      yield* expect.equal(names(again), [], "what is made again")
      yield* expect.equal(world.writes() - before, 0, "the number of writes")
    })
  ),
  check("another input is a plan of exactly what differs, and verify fails until it is applied", (expect) =>
    Effect.gen(function* () {
      const world = yield* of.world
      yield* applied(expect, world, world.region)
      const before = world.contents()
      const plan = yield* expect.succeeds(world.larger.plan, "plan")
      yield* expect.that(plan.changes.length > 0, "a further run node changes nothing")
      yield* expect.that(
        plan.changes.every(({ diff }) => diff.length > 0),
        "a change does not say what differs"
      )
      yield* expect.failsWith(world.larger.verify, ["RegionDrift"], ({ _tag }) => _tag, "verify")
      const { made } = yield* expect.succeeds(
        world.larger.apply(new Set(plan.changes.map(nameOf))),
        "apply with a further node"
      )
      yield* expect.equal(made.map(nameOf).toSorted(), plan.changes.map(nameOf).toSorted(), "what was made")
      yield* expect.succeeds(world.larger.verify, "verify")
      yield* expect.that(world.contents() !== before, "nothing has changed at the vendor")
      const back = yield* expect.succeeds(world.region.plan, "plan back")
      yield* expect.succeeds(world.region.apply(new Set(back.changes.map(nameOf))), "apply back")
      yield* expect.equal(world.contents(), before, "what is there after the node has gone again")
    })
  ),
  check("a destructive change is made only when it is named", (expect) =>
    Effect.gen(function* () {
      const world = yield* of.world
      const { left, made } = yield* expect.succeeds(world.region.apply(new Set()), "apply")
      yield* expect.that(
        made.every(({ destructive }) => !destructive),
        "a destructive change was made that nobody had named"
      )
      yield* expect.that(
        left.every(({ destructive, resource }) => destructive || resource !== ""),
        "something is left that has no name"
      )
      for (const name of world.allow)
        yield* expect.that(
          left.some((change) => nameOf(change) === name),
          `${name} is not among what is left`
        )
    })
  ),
  check("interrupted at any moment and run again, it converges, and nothing is there twice", (expect) =>
    Effect.gen(function* () {
      const wanted = yield* undisturbed(expect, of)
      yield* Effect.forEach(
        of.interruptions,
        Effect.fnUntraced(function* (delay) {
          const world = yield* of.world
          yield* interruptedAfter(world.region.apply(world.allow), [delay])
          yield* applied(expect, world, world.region)
          yield* expect.equal(world.contents(), wanted, `what is there after an interruption at ${delay} ms`)
        }, Effect.scoped),
        { discard: true }
      )
    })
  ),
  check("two applies at once, and then one more, leave what one alone does", (expect) =>
    Effect.gen(function* () {
      const wanted = yield* undisturbed(expect, of)
      const world = yield* of.world
      const one = Effect.exit(world.region.apply(world.allow))
      yield* Effect.all([one, one], { concurrency: 2, discard: true })
      yield* applied(expect, world, world.region)
      yield* expect.equal(world.contents(), wanted, "what is there")
    })
  )
]
