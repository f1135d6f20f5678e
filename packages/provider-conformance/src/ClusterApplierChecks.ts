/** What every ClusterApplier promises. */
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ServiceName, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Check, check, interruptedAfter } from "./Check.ts"
import {
  canary,
  type ClusterConformance,
  freshService,
  tagOf,
  targetOf,
  workloadOf
} from "./ClusterSample.ts"

/** What every cluster promises of claims, plans, writes, rollouts and ends. */
export const clusterApplierChecks = (
  of: ClusterConformance
): ReadonlyArray<Check<ClusterApplier | Receipts | Workloads>> => {
  const fresh = (make: (unique: string) => ServiceTarget) => freshService(of, make)
  const web = freshService(of)
  return [
    check("the same workload again succeeds, changes nothing, and shows no secret", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const workload = workloadOf(yield* web, 1)
        const first = yield* expect.succeeds(cluster.apply(workload), "apply")
        const again = yield* expect.succeeds(cluster.apply(workload), "apply again")
        yield* expect.equal(again.revision, first.revision, "the revision")
        yield* expect.that(
          again.changes.every(({ action }) => action === "unchanged"),
          `the second apply changed ${JSON.stringify(again.changes.filter(({ action }) => action !== "unchanged"))}`
        )
        const plan = yield* expect.succeeds(cluster.plan(workloadOf(workload.target, 2, "two")), "plan")
        const said = JSON.stringify([first, again, plan])
        yield* expect.that(
          !said.includes(canary) && !said.includes(Buffer.from(canary).toString("base64")),
          "a secret is in what it says"
        )
      })
    ),
    check("plan changes nothing, and another workload is another revision", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const target = yield* web
        const first = yield* expect.succeeds(cluster.apply(workloadOf(target, 1)), "apply")
        const plan = yield* expect.succeeds(cluster.plan(workloadOf(target, 2, "two")), "plan")
        yield* expect.that(
          plan.some(({ action }) => action === "update"),
          "the plan of another workload has no update"
        )
        const again = yield* expect.succeeds(cluster.apply(workloadOf(target, 1)), "apply after plan")
        yield* expect.equal(again.revision, first.revision, "the revision after a plan")
        const second = yield* expect.succeeds(cluster.apply(workloadOf(target, 2, "two")), "apply another")
        yield* expect.that(second.revision !== first.revision, "another workload has the same revision")
      })
    ),
    check("an older deploy never overwrites a newer one, and one generation is one commit", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const workloads = yield* Workloads
        const target = yield* web
        yield* expect.succeeds(cluster.apply(workloadOf(target, 5)), "apply")
        yield* expect.failsWith(
          cluster.apply(workloadOf(target, 4)),
          ["SupersededByNewer"],
          tagOf,
          "an older generation"
        )
        const other = workloadOf(target, 6)
        yield* expect.failsWith(
          cluster.apply({ ...other, generation: Generation.make(5) }),
          ["GenerationTaken"],
          tagOf,
          "the same generation with another commit"
        )
        yield* expect.equal(
          (yield* expect.succeeds(workloads.status(target), "status")).generation,
          Generation.make(5),
          "the generation that is there"
        )
      })
    ),
    check("many deploys at once: the newest is what is there in the end", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const workloads = yield* Workloads
        const target = yield* web
        const newest = workloadOf(target, 5, "5")
        const [exit] = yield* Effect.forEach(
          [newest, ...[3, 1, 2, 4].map((generation) => workloadOf(target, generation, `${generation}`))],
          (workload) => Effect.exit(cluster.apply(workload)),
          { concurrency: "unbounded" }
        )
        // One that says it succeeded stays; one that lost against the others may be repeated.
        if (exit !== undefined && Exit.isFailure(exit))
          yield* expect.succeeds(cluster.apply(newest), "the newest, again")
        yield* expect.equal(
          (yield* expect.succeeds(workloads.status(target), "status")).generation,
          Generation.make(5),
          "the generation"
        )
      })
    ),
    check("interrupted in the middle and applied again, it is as if it had not been", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const whole = yield* web
        const expected = yield* expect.succeeds(cluster.apply(workloadOf(whole, 1)), "apply")
        const kindsOf = ({ changes }: typeof expected) =>
          changes.map(({ object }) => object.split(" ")[0]).toSorted()
        for (const delay of [5, 20, 60, 150]) {
          const target = yield* web
          yield* interruptedAfter(cluster.apply(workloadOf(target, 1)), [delay])
          const again = yield* expect.succeeds(
            cluster.apply(workloadOf(target, 1)),
            `apply after ${delay} ms`
          )
          yield* expect.equal(kindsOf(again), kindsOf(expected), `the kinds of objects after ${delay} ms`)
        }
      })
    ),
    check(
      "two owners whose namespaces would have one name: the second is refused, and changes nothing",
      (expect) =>
        Effect.gen(function* () {
          const cluster = yield* ClusterApplier
          const workloads = yield* Workloads
          const first = yield* fresh((unique) => targetOf("a-b", unique, "web"))
          const second = targetOf("a", `b-${first.owner.project}`, "web")
          yield* expect.succeeds(cluster.apply(workloadOf(first, 1)), "apply")
          yield* expect.failsWith(
            cluster.apply(workloadOf(second, 9)),
            ["NamespaceOwnedByOther"],
            tagOf,
            "the other owner's apply"
          )
          yield* expect.failsWith(
            cluster.delete(second),
            ["NamespaceOwnedByOther"],
            tagOf,
            "the other owner's delete"
          )
          yield* expect.equal(
            (yield* expect.succeeds(workloads.status(first), "status")).generation,
            Generation.make(1),
            "the first owner's generation"
          )
        })
    ),
    check("the longest names work", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const workloads = yield* Workloads
        const target = yield* fresh((unique) =>
          targetOf("u".repeat(20), unique.padEnd(63 - "dp-".length - 20 - 1, "p"), "s".repeat(63))
        )
        yield* expect.succeeds(cluster.apply(workloadOf(target, 1)), "apply")
        yield* expect.equal(
          (yield* expect.succeeds(workloads.status(target), "status")).target.key,
          target.key,
          "whose status it is"
        )
      })
    ),
    check(
      "a service that is not there: no history, deleting it succeeds, its status is a typed error",
      (expect) =>
        Effect.gen(function* () {
          const cluster = yield* ClusterApplier
          const receipts = yield* Receipts
          const workloads = yield* Workloads
          const target = yield* web
          yield* expect.equal(yield* expect.succeeds(receipts.history(target), "history"), [], "its history")
          yield* expect.equal(
            yield* expect.succeeds(cluster.delete(target), "delete"),
            [],
            "what was deleted"
          )
          yield* expect.failsWith(workloads.status(target), ["ServiceNotFound"], tagOf, "status")
        })
    ),
    check(
      "delete leaves nothing of the service, also when it was interrupted first, and other services stay",
      (expect) =>
        Effect.gen(function* () {
          const cluster = yield* ClusterApplier
          const workloads = yield* Workloads
          const target = yield* web
          const neighbour = new ServiceTarget({ owner: target.owner, service: ServiceName.make("api") })
          for (const each of [target, neighbour])
            yield* expect.succeeds(cluster.apply(workloadOf(each, 1)), "apply")
          yield* expect.that((yield* of.leftOf(target)).length > 0, "leftOf does not see what is there")
          yield* interruptedAfter(cluster.delete(target), [5, 40])
          yield* expect.succeeds(cluster.delete(target), "delete")
          yield* expect.equal(yield* of.leftOf(target), [], "what is left of it")
          yield* expect.succeeds(workloads.status(neighbour), "status of its neighbour")
        })
    )
  ]
}
