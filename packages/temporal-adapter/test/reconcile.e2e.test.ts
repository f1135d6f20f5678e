import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployRequest, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { GitRef } from "@mcpdeploy/core/domain/Source"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { previewRequest } from "@mcpdeploy/core/pipeline/Preview"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { regionOf } from "@mcpdeploy/provider-k3s/K3sRegion"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type * as Wire from "@mcpdeploy/temporal-contract/data"
import { scheduleId } from "../src/reconcile/Schedule.ts"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { connectClient, Repository, requestOf, Shared, until, WorkerProcess } from "./support/Harness.ts"
import { describeOnRegion, kubectl, Project, unique } from "./support/Region.ts"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

/** Deploys in this process, as the command line does: no workflow hears of it. */
const deployHere = (files: Shared, wire: Wire.DeployRequest) =>
  Effect.gen(function* () {
    const region = yield* regionOf(yield* decodeRegionFile(readFileSync(files.region, "utf8")), {
      gitCacheFolder: join(files.folder, "own"),
      buildSecretKey: Redacted.make("0123456789abcdef0123456789abcdef")
    })
    const request = yield* Schema.decodeEffect(DeployRequest)(wire)
    return yield* DeployRunner.use((runner) => runner.deploy(request)).pipe(Effect.provide(region))
  }).pipe(
    Effect.provide(SecretStore.layer({}).pipe(Layer.provideMerge(NodeServices.layer))),
    Effect.runPromise
  )

describeOnRegion("a lost webhook", () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect(
      "what no webhook brought to a service that the command line deployed is found, filtered or deployed, once",
      () =>
        DevServer.use(({ address }) =>
          Effect.promise(async () => {
            using files = await Shared.make()
            using source = new Repository()
            using project = new Project("r")
            const taskQueue = `queue-${unique()}`
            const target = project.target()
            source.commitApp("from the command line")
            const first = await deployHere(files, requestOf(target, source, Date.now()))
            assert.strictEqual(first._tag, "Deployed")
            const worker = WorkerProcess.on(files, address, taskQueue, { MCPDEPLOY_RECONCILE_SECONDS: "10" })
            try {
              const client = await connectClient(address)
              const deploys = new DeployClient(client, { taskQueue })
              const skipped = source.commitApp("not to be seen", 0, "draft [skip ci]")
              const verdictOf = (commit: string) =>
                until(async () => {
                  const record = (await deploys.history(target)).find((each) => each.commit === commit)
                  const isOver = record?.verdict._tag === "Deployed" || record?.verdict._tag === "Filtered"
                  return isOver ? record : undefined
                })
              await worker.port()
              const schedule = client.schedule.getHandle(scheduleId(taskQueue))
              await schedule.trigger()
              assert.strictEqual((await verdictOf(skipped)).verdict._tag, "Filtered")
              const lost = source.commitApp("no webhook")
              const found = await verdictOf(lost)
              assert.strictEqual(found.verdict._tag, "Deployed")
              assert.strictEqual(found.origin, "reconcile")
              // Another round changes nothing.
              const { info } = await schedule.describe()
              await schedule.trigger()
              await until(async () => {
                const { info: now } = await schedule.describe()
                const isOver = now.numActionsTaken > info.numActionsTaken && now.runningActions.length === 0
                return isOver ? true : undefined
              })
              const records = await deploys.history(target)
              assert.strictEqual(records.length, 2, JSON.stringify(records))

              // A preview goes with its branch; the service stays.
              source.git("branch", "feature")
              const request = await Schema.decodePromise(DeployRequest)(requestOf(target, source, Date.now()))
              const preview = previewRequest(request, GitRef.make("feature"), {
                generation: Generation.make(Date.now())
              })
              const deploying = deployHere(files, Schema.encodeSync(DeployRequest)(preview))
              // A round while the command line is at it finds a request without a receipt, and lets it end.
              await until(() => {
                const found = kubectl("-n", project.namespace, "get", "configmaps", "-o", "name")
                return found.includes(`/${preview.service}.request`) ? true : undefined
              })
              await schedule.trigger()
              const shown = await deploying
              assert.strictEqual(shown._tag, "Deployed")
              source.git("branch", "-D", "feature")
              await schedule.trigger()
              const services = await until(async () => {
                const names = kubectl(
                  "-n",
                  project.namespace,
                  "get",
                  "deployments",
                  "-o",
                  "jsonpath={.items[*].metadata.name}"
                ).split(" ")
                return names.includes(preview.service) ? undefined : names
              })
              assert.deepStrictEqual(services, [target.service])
            } finally {
              await worker.stop()
            }
          })
        ),
      240_000
    )
  })
})
