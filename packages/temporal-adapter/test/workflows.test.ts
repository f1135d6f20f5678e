import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { OperationFailed } from "@mcpdeploy/temporal-contract/client"
import {
  contractVersion,
  type Push,
  queues,
  workflowIds,
  workflows
} from "@mcpdeploy/temporal-contract/contract"
import type { ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import { type Failure, toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { ApplicationFailure, CancelledFailure, Context } from "@temporalio/activity"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const simultaneous = full ? 1000 : 100

const targetOf = (service: string): ServiceTarget => ({ owner: { user: "u1", project: "shop" }, service })

const pushOf = (target: ServiceTarget, generation: number, more: Partial<Push> = {}): Push => ({
  version: contractVersion,
  deliveryId: `d${generation}`,
  generation,
  origin: "github",
  receivedAt: new Date(0).toISOString(),
  action: { _tag: "Deploy", request: stubRequest(target, generation) },
  ...more
})

const failureOf = (tag: string, fields: object = {}): Failure => ({
  error: { _tag: tag, ...fields },
  message: `${tag} happened`,
  retryable: false
})
const fail = (failure: Failure) => {
  throw ApplicationFailure.create(toApplicationFailure(failure))
}

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describe.skipIf(temporalProgram() === undefined)(`workflows (${temporalProgram() ?? missingProgram})`, () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    /** Ends when the push has its verdict. */
    const verdictOf = (
      { deploys }: Effect.Success<ReturnType<typeof testWorker>>,
      target: ServiceTarget,
      generation: number
    ) =>
      Effect.promise(async () => {
        for await (const { record } of deploys.follow(target, { generation }, { everyMs: 50 })) {
          if (record.verdict._tag !== "Waiting" && record.verdict._tag !== "Running") return record
        }
        return assert.fail("it ended without a verdict")
      })

    it.effect("a push is deployed, and its verdict holds the receipt", () =>
      Effect.gen(function* () {
        const worker = yield* testWorker({ activities: stubActivities() })
        const target = targetOf("web")
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 7)))
        const { verdict } = yield* verdictOf(worker, target, 7)
        assert.strictEqual(verdict._tag, "Deployed")
        const byDelivery = yield* Effect.promise(() => worker.deploys.verdict(target, { deliveryId: "d7" }))
        assert.deepStrictEqual(byDelivery?.verdict, verdict)
        assert.isUndefined(yield* Effect.promise(() => worker.deploys.verdict(target, { deliveryId: "no" })))
        assert.isUndefined(
          yield* Effect.promise(() => worker.deploys.verdict(targetOf("none"), { generation: 1 }))
        )
      })
    )

    it.effect("requests of the greatest size are deployed one after another, and the newest are told", () =>
      Effect.gen(function* () {
        const worker = yield* testWorker({ activities: stubActivities() })
        const target = targetOf("large")
        const env = Object.fromEntries(["A", "B", "C", "D", "E"].map((name) => [name, name.repeat(100_000)]))
        for (let generation = 1; generation <= 6; generation++) {
          const request = stubRequest(target, generation)
          const large = { ...request, run: { ...request.run, env } }
          const push = pushOf(target, generation, { action: { _tag: "Deploy", request: large } })
          yield* Effect.promise(() => worker.deploys.submit(target, push))
          const { verdict } = yield* verdictOf(worker, target, generation)
          assert.strictEqual(verdict._tag === "Deployed" && verdict.receipt.run.env?.["E"], env["E"])
        }
        const history = yield* Effect.promise(() => worker.deploys.history(target))
        assert.deepStrictEqual(
          history.map(({ generation }) => generation),
          [5, 6]
        )
      })
    )

    it.effect(
      "the newest push wins: the older build is cancelled and seen ended before the next begins",
      () =>
        Effect.gen(function* () {
          const happened: Array<string> = []
          const building = Promise.withResolvers<void>()
          const stub = stubActivities()
          const worker = yield* testWorker({
            activities: stubActivities({
              build: async (input) => {
                const generation = input.request.generation
                happened.push(`begin ${generation}`)
                if (generation === 1) {
                  building.resolve()
                  const context = Context.current()
                  const beat = setInterval(() => context.heartbeat(), 100)
                  await context.cancelled.catch((error: unknown) => {
                    clearInterval(beat)
                    happened.push("dead 1")
                    throw error instanceof CancelledFailure ? error : new Error("not cancelled")
                  })
                }
                return stub.build(input)
              }
            }),
            worker: { maxHeartbeatThrottleInterval: "200 ms" }
          })
          const target = targetOf("newest")
          yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 1)))
          yield* Effect.promise(() => building.promise)
          yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 3)))
          yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 2)))
          assert.strictEqual((yield* verdictOf(worker, target, 3)).verdict._tag, "Deployed")
          assert.deepStrictEqual((yield* verdictOf(worker, target, 1)).verdict, { _tag: "Superseded", by: 3 })
          assert.deepStrictEqual((yield* verdictOf(worker, target, 2)).verdict, { _tag: "Superseded", by: 3 })
          assert.deepStrictEqual(happened, ["begin 1", "dead 1", "begin 3"])
        })
    )

    it.effect(`one delivery ${simultaneous} times at once deploys once`, () =>
      Effect.gen(function* () {
        let clones = 0
        const stub = stubActivities()
        const worker = yield* testWorker({
          activities: stubActivities({
            clone: (input) => {
              clones++
              return stub.clone(input)
            }
          })
        })
        const target = targetOf("twice")
        yield* Effect.forEach(
          Array.from({ length: simultaneous }),
          () =>
            Effect.promise(() => worker.deploys.submit(target, pushOf(target, 5), { deadlineMs: 60_000 })),
          { concurrency: 50 }
        )
        assert.strictEqual((yield* verdictOf(worker, target, 5)).verdict._tag, "Deployed")
        assert.strictEqual(clones, 1)
        assert.strictEqual((yield* Effect.promise(() => worker.deploys.history(target))).length, 1)
      })
    )

    it.effect("a typed failure is the verdict, and a deliberate redelivery tries again", () =>
      Effect.gen(function* () {
        const failure = failureOf("ImageBuilderError", { reason: { _tag: "StepFailed", exitCode: 1 } })
        let broken = true
        const stub = stubActivities()
        const worker = yield* testWorker({
          activities: stubActivities({ build: (input) => (broken ? fail(failure) : stub.build(input)) })
        })
        const target = targetOf("broken")
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 1)))
        const { verdict } = yield* verdictOf(worker, target, 1)
        assert.deepStrictEqual(verdict, { _tag: "Failed", step: "build", failure })
        broken = false
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 1)))
        yield* Effect.sleep("200 millis")
        assert.strictEqual((yield* verdictOf(worker, target, 1)).verdict._tag, "Deployed")
      })
    )

    it.effect("a failed rollout restores, and the cluster's fence is a verdict of its own", () =>
      Effect.gen(function* () {
        const failure = failureOf("NothingRuns")
        const fenced = failureOf("ClusterApplierError", { reason: { _tag: "SupersededByNewer", newer: 9 } })
        const worker = yield* testWorker({
          activities: stubActivities({
            deploy: ({ request }) => fail(request.generation === 1 ? failure : fenced),
            restore: async () => ({ restored: "0".repeat(40) })
          })
        })
        const one = yield* Effect.promise(() =>
          worker.deploys.startDeploy(stubRequest(targetOf("direct"), 1))
        )
        assert.deepStrictEqual(yield* Effect.promise(one.outcome), {
          _tag: "Failed",
          step: "deploy",
          failure,
          restored: "0".repeat(40)
        })
        const two = yield* Effect.promise(() =>
          worker.deploys.startDeploy(stubRequest(targetOf("direct"), 2))
        )
        assert.deepStrictEqual(yield* Effect.promise(two.outcome), { _tag: "Superseded", by: 9 })
      })
    )

    it.effect("filtered pushes and late ones have their verdicts too", () =>
      Effect.gen(function* () {
        const worker = yield* testWorker({ activities: stubActivities() })
        const target = targetOf("filtered")
        const filtered = { _tag: "Filtered", rule: "paths", detail: "only docs changed" } as const
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 9, { action: filtered })))
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 8)))
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 4)))
        assert.deepStrictEqual((yield* verdictOf(worker, target, 9)).verdict, filtered)
        assert.strictEqual((yield* verdictOf(worker, target, 8)).verdict._tag, "Deployed")
        assert.deepStrictEqual((yield* verdictOf(worker, target, 4)).verdict, { _tag: "Superseded", by: 8 })
      })
    )

    it.effect("the other operations return their results and their typed failures", () =>
      Effect.gen(function* () {
        const taken = failureOf("DomainTaken", { host: "www.example.com" })
        const worker = yield* testWorker({
          activities: stubActivities({ addDomain: async () => fail(taken) })
        })
        const target = targetOf("ops")
        const { deploys } = worker
        yield* Effect.promise(() => deploys.submit(target, pushOf(target, 1)))
        yield* verdictOf(worker, target, 1)
        assert.isTrue((yield* Effect.promise(() => deploys.rollback(target))).commit.length === 40)
        yield* Effect.promise(() => deploys.removeDomain(target, "www.example.com"))
        const error: unknown = yield* Effect.promise(() =>
          deploys.addDomain(target, "www.example.com").catch((cause: unknown) => cause)
        )
        assert.deepStrictEqual(error instanceof OperationFailed ? error.failure : error, taken)
        yield* Effect.promise(() => deploys.deleteService(target))
        yield* Effect.promise(() => deploys.deleteProject(target.owner))
      })
    )

    it.effect("deleting a service ends its running deploy first", () =>
      Effect.gen(function* () {
        const happened: Array<string> = []
        const building = Promise.withResolvers<void>()
        const worker = yield* testWorker({
          activities: stubActivities({
            build: async () => {
              building.resolve()
              const context = Context.current()
              const beat = setInterval(() => context.heartbeat(), 100)
              return context.cancelled.catch((error: unknown) => {
                clearInterval(beat)
                happened.push("dead")
                throw error
              })
            },
            deleteService: async () => {
              happened.push("deleted")
            }
          }),
          worker: { maxHeartbeatThrottleInterval: "200 ms" }
        })
        const target = targetOf("deleted")
        yield* Effect.promise(() => worker.deploys.submit(target, pushOf(target, 1)))
        yield* Effect.promise(() => building.promise)
        yield* Effect.promise(() => worker.deploys.deleteService(target))
        assert.deepStrictEqual(happened, ["dead", "deleted"])
        const { verdict } = yield* verdictOf(worker, target, 1)
        assert.strictEqual(verdict._tag === "Failed" ? verdict.failure.error._tag : verdict._tag, "Cancelled")
      })
    )

    it.effect("an input of a newer contract, or none, ends typed instead of hanging", () =>
      Effect.gen(function* () {
        const { client } = yield* testWorker({ activities: stubActivities() })
        for (const [index, input] of [
          { version: contractVersion + 1 },
          undefined,
          { version: 1 }
        ].entries()) {
          const error: unknown = yield* Effect.promise(() =>
            client.workflow
              .execute(workflows.deploy, {
                workflowId: workflowIds.deploy(targetOf("bad"), index),
                taskQueue: queues.k8sNative,
                args: [input]
              })
              .catch((cause: unknown) => cause)
          )
          const cause = error instanceof Error ? error.cause : undefined
          assert.strictEqual(cause instanceof ApplicationFailure ? cause.type : error, "InvalidInput")
        }
      })
    )
  })
})
