/** What every Projects promises. */
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { Projects } from "@mcpdeploy/core/Projects"
import * as Effect from "effect/Effect"
import { type Check, check, interruptedAfter } from "./Check.ts"
import { type ClusterConformance, freshService, tagOf, targetOf, workloadOf } from "./ClusterSample.ts"

/** What every cluster promises of what it has of a project. */
export const projectsChecks = (of: ClusterConformance): ReadonlyArray<Check<ClusterApplier | Projects>> => [
  check("what there is of a project is told: its services, and the images that they need", (expect) =>
    Effect.gen(function* () {
      const cluster = yield* ClusterApplier
      const projects = yield* Projects
      const target = yield* freshService(of)
      const { namespace, owner } = target
      yield* expect.equal(
        [
          yield* expect.succeeds(projects.exists(owner), "exists"),
          yield* expect.succeeds(projects.services(owner), "services"),
          yield* expect.succeeds(projects.images(namespace), "images")
        ],
        [false, [], []],
        "what there is of nothing"
      )
      const workload = workloadOf(target, 1)
      yield* expect.succeeds(cluster.apply(workload), "apply")
      yield* expect.equal(
        [
          yield* expect.succeeds(projects.exists(owner), "exists"),
          (yield* expect.succeeds(projects.services(owner), "services")).map(({ key }) => key)
        ],
        [true, [target.key]],
        "what there is"
      )
      const images = yield* expect.succeeds(projects.images(namespace), "images")
      const inRegion = yield* expect.succeeds(projects.images(), "images of the region")
      for (const [where, all] of [
        ["the project", images],
        ["the region", inRegion]
      ] as const)
        yield* expect.that(
          all.some(
            ({ digests, repository }) =>
              repository === workload.image.repository && digests.includes(workload.digest)
          ),
          `the images of ${where} lack what is deployed`
        )
    })
  ),
  check("a project with a service is not deleted; without one it is, also after an interruption", (expect) =>
    Effect.gen(function* () {
      const cluster = yield* ClusterApplier
      const projects = yield* Projects
      const target = yield* freshService(of)
      yield* expect.succeeds(cluster.apply(workloadOf(target, 1)), "apply")
      yield* expect.failsWith(
        projects.delete(target.owner),
        ["ProjectNotEmpty"],
        tagOf,
        "deleting it with its service"
      )
      yield* expect.that((yield* of.leftOf(target)).length > 0, "a refused delete took the service")
      yield* expect.succeeds(cluster.delete(target), "delete of the service")
      yield* interruptedAfter(projects.delete(target.owner), [5])
      yield* expect.succeeds(projects.delete(target.owner), "delete")
      yield* expect.equal(yield* expect.succeeds(projects.exists(target.owner), "exists"), false, "exists")
      yield* expect.equal(
        yield* expect.succeeds(projects.delete(target.owner), "delete again"),
        false,
        "whether there was one"
      )
    })
  ),
  check("another owner's project is neither told nor deleted", (expect) =>
    Effect.gen(function* () {
      const cluster = yield* ClusterApplier
      const projects = yield* Projects
      const unique = yield* of.unique
      const holder = yield* freshService(of, () => targetOf(`a-${unique}`, "c", "web"))
      const other = targetOf("a", `${unique}-c`, "web").owner
      yield* expect.succeeds(cluster.claim(holder), "claim")
      yield* expect.failsWith(projects.exists(other), ["NamespaceOwnedByOther"], tagOf, "exists")
      yield* expect.failsWith(projects.services(other), ["NamespaceOwnedByOther"], tagOf, "services")
      yield* expect.failsWith(projects.delete(other), ["NamespaceOwnedByOther"], tagOf, "delete")
      yield* expect.equal(yield* expect.succeeds(projects.exists(holder.owner), "exists"), true, "exists")
    })
  )
]
