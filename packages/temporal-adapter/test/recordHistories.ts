/**
 * Records a history of each workflow and each way it goes into `test/histories/{workflow}-{way}.v{N}.json`:
 *
 *     node packages/temporal-adapter/test/recordHistories.ts
 *
 * Run it after a change of a workflow, with a new N in `version`; the older files stay, as long as such histories can run.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import {
  contractVersion,
  type Push,
  queues,
  workflowIds,
  workflows
} from "@mcpdeploy/temporal-contract/contract"
import type { ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import { toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { ApplicationFailure, Context } from "@temporalio/activity"
import { historyToJSON } from "@temporalio/common/lib/proto-utils.js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const version = 1

const targetOf = (service: string): ServiceTarget => ({ owner: { user: "u1", project: "shop" }, service })
const fail = (tag: string, retryable = false) => {
  throw ApplicationFailure.create(
    toApplicationFailure({ error: { _tag: tag }, message: `${tag} happened`, retryable })
  )
}
const untilCancelled = async (): Promise<never> => {
  const beat = setInterval(() => Context.current().heartbeat(), 100)
  return Context.current().cancelled.finally(() => clearInterval(beat))
}

const stub = stubActivities()
const activities = stubActivities({
  clone: (input) =>
    input.request.service === "retried" && Context.current().info.attempt === 1
      ? fail("GitSourceError", true)
      : stub.clone(input),
  build: (input) =>
    input.request.service === "unbuildable"
      ? fail("ImageBuilderError")
      : input.request.generation === 1
        ? untilCancelled()
        : stub.build(input),
  deploy: (input) => (input.request.service === "unready" ? fail("NothingRuns") : stub.deploy(input)),
  restore: async () => ({ restored: "0".repeat(40) }),
  addDomain: (input) => (input.host === "taken.example.com" ? fail("DomainTaken") : stub.addDomain(input))
})

const record = Effect.gen(function* () {
  const { client, deploys } = yield* testWorker({
    activities,
    worker: { maxHeartbeatThrottleInterval: "200 ms" }
  })
  const save = (name: string, workflowId: string) =>
    Effect.promise(async () => {
      const history = await client.workflow.getHandle(workflowId).fetchHistory()
      const file = join(import.meta.dirname, "histories", `${name}.v${version}.json`)
      // Names and paths of the machine that records have no place in them, and no part in a replay.
      const text = historyToJSON(history)
        .replaceAll(/"identity": "[^"]*"/g, '"identity": "recorder"')
        .replaceAll(/"stackTrace": "[^"]*"/g, '"stackTrace": ""')
      writeFileSync(file, `${text}\n`)
    })
  const push = (service: string, generation: number, action?: Push["action"]) =>
    Effect.promise(() =>
      deploys.submit(targetOf(service), {
        deliveryId: `d${generation}`,
        generation,
        origin: "github",
        receivedAt: "2026-01-01T00:00:00.000Z",
        action: action ?? { _tag: "Deploy", request: stubRequest(targetOf(service), generation) }
      })
    )
  const settled = (service: string, generation: number) =>
    Effect.promise(async () => {
      for await (const _ of deploys.follow(targetOf(service), { generation }, { everyMs: 50 })) {
        // Until its verdict.
      }
    })
  const ignored = (run: () => Promise<unknown>) => Effect.promise(() => run().catch(() => undefined))

  for (const service of ["deployed", "retried", "unbuildable", "unready", "cancelled"]) {
    const generation = service === "cancelled" ? 1 : 2
    const deploy = yield* Effect.promise(() =>
      deploys.startDeploy(stubRequest(targetOf(service), generation))
    )
    if (service === "cancelled")
      yield* Effect.andThen(Effect.sleep("500 millis"), Effect.promise(deploy.cancel))
    yield* ignored(deploy.outcome)
    yield* save(`deploy-${service}`, deploy.workflowId)
  }

  yield* push("web", 2)
  yield* settled("web", 2)
  yield* push("web", 2)
  yield* push("web", 3, { _tag: "Filtered", rule: "paths", detail: "only docs changed" })
  yield* settled("web", 3)
  yield* save("service-deployed", workflowIds.service(targetOf("web")))

  yield* push("busy", 1)
  yield* Effect.sleep("500 millis")
  yield* push("busy", 3)
  yield* settled("busy", 3)
  yield* save("service-superseded", workflowIds.service(targetOf("busy")))

  yield* push("gone", 1)
  yield* Effect.sleep("500 millis")
  yield* Effect.promise(() => deploys.deleteService(targetOf("gone")))
  yield* save("service-retired", workflowIds.service(targetOf("gone")))
  yield* save("deleteService-retiring", workflowIds.deleteService(targetOf("gone")))

  yield* Effect.promise(() => deploys.deleteService(targetOf("idle")))
  yield* save("deleteService-idle", workflowIds.deleteService(targetOf("idle")))
  yield* Effect.promise(() => deploys.deleteProject(targetOf("x").owner))
  yield* save("deleteProject-deleted", workflowIds.deleteProject(targetOf("x").owner))
  yield* Effect.promise(() => deploys.addDomain(targetOf("web"), "www.example.com"))
  yield* save("addDomain-served", workflowIds.domain(targetOf("web"), "www.example.com"))
  yield* ignored(() => deploys.addDomain(targetOf("web"), "taken.example.com"))
  yield* save("addDomain-failed", workflowIds.domain(targetOf("web"), "taken.example.com"))
  yield* Effect.promise(() => deploys.removeDomain(targetOf("web"), "old.example.com"))
  yield* save("removeDomain-removed", workflowIds.domain(targetOf("web"), "old.example.com"))

  const rollback = (workflowId: string, input: object) =>
    ignored(() =>
      client.workflow.execute(workflows.rollback, { workflowId, taskQueue: queues.k8sNative, args: [input] })
    )
  yield* rollback("rollback/1", { version: contractVersion, target: targetOf("web") })
  yield* save("rollback-returned", "rollback/1")
  yield* rollback("rollback/2", { version: contractVersion + 1, target: targetOf("web") })
  yield* save("rollback-newer-contract", "rollback/2")
})

await record.pipe(
  Effect.scoped,
  Effect.provide(DevServer.layer().pipe(Layer.provide(NodeServices.layer))),
  Effect.runPromise
)
