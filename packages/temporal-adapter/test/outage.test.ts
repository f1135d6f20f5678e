/** Temporal is killed in the middle of deploys, and comes back with what it had stored. */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
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
import { describeOnRegion, kubectl, Project, unique } from "./support/Region.ts"

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const count = full ? 20 : 3
const downSeconds = full ? 60 : 6

const shared = Effect.acquireDisposable(Effect.promise(Shared.make))
const disposed = <A extends Disposable>(make: () => A) => Effect.acquireDisposable(Effect.sync(make))

describeOnRegion("an outage of Temporal", () => {
  layer(NodeServices.layer, { excludeTestServices: true })("with a dev server of its own", (it) => {
    it.effect(
      `down for ${downSeconds} s in the middle of ${count} deploys: nothing is lost, nothing is doubled`,
      () =>
        Effect.gen(function* () {
          const files = yield* shared
          const source = yield* disposed(() => new Repository())
          const project = yield* disposed(() => new Project("t"))
          const file = join(files.folder, "temporal.db")
          const before = yield* Scope.make()
          const server = yield* DevServer.start({ file }).pipe(Scope.provide(before))
          const { address, port } = server
          const taskQueue = `queue-${unique()}`
          const worker = yield* Effect.acquireRelease(
            Effect.sync(() => WorkerProcess.on(files, address, taskQueue)),
            (started) => Effect.promise(() => started.stop())
          )
          const client = yield* Effect.promise(() => connectClient(address))
          const deploys = new DeployClient(client, { taskQueue })
          const commit = source.commitApp("after all", 3)
          const pushes = Array.from({ length: count + 1 }, (_, index) => {
            const target = project.target(`s${index}`)
            const run = { port: 8080, cpu: "50m", memory: "48Mi" }
            return { target, push: pushOf(requestOf(target, source, Date.now(), { run }), commit) }
          })
          const [late, ...early] = pushes
          assert(late !== undefined)
          yield* Effect.promise(async () => {
            await Promise.all(early.map(({ push, target }) => deploys.submit(target, push)))
            await until(async () => {
              const all = await Promise.all(early.map(({ target }) => deploys.progress(target)))
              return all.some((progress) => progress?.step === "build") ? true : undefined
            })
            process.kill(server.pid, "SIGKILL")
          })
          yield* Scope.close(before, Exit.void)

          // A sender is told within its deadline, and comes again.
          const askedAt = Date.now()
          yield* Effect.flip(
            Effect.tryPromise(() => deploys.submit(late.target, late.push, { deadlineMs: 2000 }))
          )
          assert.isBelow(Date.now() - askedAt, 8000)
          yield* Effect.sleep(`${downSeconds} seconds`)
          yield* DevServer.start({ file, port })
          yield* Effect.promise(async () => {
            await until(() =>
              deploys.submit(late.target, late.push).then(
                () => true,
                () => undefined
              )
            )
            const records = await Promise.all(
              pushes.map(({ push, target }) => verdictOf(deploys, target, push.generation, full ? 900 : 150))
            )
            for (const { verdict } of records)
              assert.strictEqual(verdict._tag, "Deployed", JSON.stringify(verdict))
          })
          assert.isNull(worker.child.exitCode, worker.stderr)
          const get = (...args: ReadonlyArray<string>) => kubectl("-n", project.namespace, "get", ...args)
          for (const { target } of pushes) {
            const receipts = get("configmap", target.service, "-o", "jsonpath={.data}")
            assert.strictEqual(receipts.split("deployedAt").length - 1, 1, target.service)
          }
          assert.lengthOf(get("replicasets", "-o", "name").split("\n"), pushes.length)
          assert.lengthOf(get("pods", "-o", "name").split("\n"), pushes.length)
        }),
      full ? 1_200_000 : 240_000
    )
  })
})
