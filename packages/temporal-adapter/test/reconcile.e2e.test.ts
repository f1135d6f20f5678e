import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { scheduleId } from "@mcpdeploy/temporal-adapter/reconcile/Schedule"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  connectClient,
  pushOf,
  Repository,
  requestOf,
  Shared,
  until,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"
import { describeOnRegion, Project, unique } from "./support/Region.ts"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describeOnRegion("a lost webhook", () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect(
      "a push that no webhook brought is found by the schedule and deployed, once",
      () =>
        DevServer.use(({ address }) =>
          Effect.promise(async () => {
            using files = await Shared.make()
            using source = new Repository()
            using project = new Project("r")
            const taskQueue = `queue-${unique()}`
            const worker = WorkerProcess.on(files, address, taskQueue, { MCPDEPLOY_RECONCILE_SECONDS: "10" })
            try {
              const client = await connectClient(address)
              const deploys = new DeployClient(client, { taskQueue })
              const target = project.target()
              const request = requestOf(target, source, Date.now())
              await deploys.submit(target, pushOf(request, source.commitApp("pushed")))
              assert.strictEqual(
                (await verdictOf(deploys, target, request.generation)).verdict._tag,
                "Deployed"
              )
              const lost = source.commitApp("no webhook")
              const found = await until(async () =>
                (await deploys.history(target)).find(
                  ({ commit, verdict }) => commit === lost && verdict._tag === "Deployed"
                )
              )
              assert.strictEqual(found.origin, "reconcile")
              // Another round changes nothing.
              const schedule = client.schedule.getHandle(scheduleId(taskQueue))
              const { info } = await schedule.describe()
              await schedule.trigger()
              await until(async () => {
                const { info: now } = await schedule.describe()
                const isOver = now.numActionsTaken > info.numActionsTaken && now.runningActions.length === 0
                return isOver ? true : undefined
              })
              const records = await deploys.history(target)
              assert.strictEqual(records.length, 2, JSON.stringify(records))
            } finally {
              await worker.stop()
            }
          })
        ),
      240_000
    )
  })
})
