/**
 * Temporal is killed, deployer-server is killed while a delivery is under way and started again during the outage, then
 * Temporal comes back with what it had stored. What was taken is deployed; what was not, the sender is told to send again.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { Projects } from "@mcpdeploy/core/Projects"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as K3sCluster from "@mcpdeploy/provider-k3s/K3sCluster"
import * as K3sServiceCatalog from "@mcpdeploy/provider-k3s/catalog/K3sServiceCatalog"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubReceipt } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ServerProcess, until } from "./support/ServerProcess.ts"
import { headersFor, pushBody, secretOf } from "./support/TestServer.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const count = isFull ? 20 : 4
const downSeconds = isFull ? 60 : 4

const file = process.env["MCPDEPLOY_TEST_REGION"]
const Region = Schema.fromJsonString(Schema.Struct({ kubeconfig: Schema.String }))
const kubeconfig = file === undefined ? "" : Schema.decodeSync(Region)(readFileSync(file, "utf8")).kubeconfig
const missing =
  file === undefined
    ? "MCPDEPLOY_TEST_REGION names no region"
    : temporalProgram() === undefined
      ? missingProgram
      : undefined

const unique = randomBytes(4).toString("hex")
const master = `a-master-${unique}-0123456789`
const owner = { user: `out${unique}`, project: "web" }
const cluster = new RegionConfig({ kubeconfig, platformDomain: PlatformDomain.make("localhost") })
const services = Layer.mergeAll(K3sCluster.layer(cluster), K3sServiceCatalog.layer(cluster)).pipe(
  Layer.provideMerge(NodeServices.layer)
)

/** A push to the repository of one service, told of by GitHub: sent again it is the same delivery. */
const deliveryOf = (index: number) => {
  const repository = `acme-${unique}/s${index}`
  const commit = index.toString(16).padStart(40, "0").replace(/^0/, "f")
  const body = pushBody({ repository, after: commit })
  const headers = headersFor("github", body, secretOf("github", repository, master), {
    id: `00000000-0000-0000-0000-${index.toString(16).padStart(12, "0")}`
  })
  const send = async (url: string) => {
    const answer = await fetch(`${url}/webhooks/github`, { method: "POST", headers, body })
    await answer.text()
    return { status: answer.status, retryAfter: answer.headers.get("retry-after") }
  }
  return { repository, commit, send, target: { owner, service: `s${index}` } }
}

describe.skipIf(missing !== undefined)(
  `an outage of Temporal${missing === undefined ? "" : ` (SKIPPED: ${missing})`}`,
  () => {
    layer(services, { excludeTestServices: true })("with a dev server of its own", (it) => {
      it.effect(
        `down for ${downSeconds} s amid ${count} pushes, deployer-server killed meanwhile: none is lost, none doubled`,
        () =>
          Effect.gen(function* () {
            const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-outage-"))
            yield* Effect.addFinalizer(() =>
              Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
            )
            mkdirSync(join(folder, "secrets"))
            writeFileSync(join(folder, "secrets", "github"), `${master}\n`)
            const region = {
              cluster: { kubeconfig, platformDomain: "localhost" },
              buildkit: { address: "unix:///none" },
              registry: { endpoint: "http://127.0.0.1:1" }
            }
            writeFileSync(join(folder, "region.json"), JSON.stringify(region))

            const deliveries = Array.from({ length: count }, (_, index) => deliveryOf(index))
            const applier = yield* ClusterApplier
            const projects = yield* Projects
            const catalog = yield* ServiceCatalog
            const requests = yield* Effect.forEach(deliveries, ({ repository, target }) =>
              Schema.decodeEffect(DeployRequest)({
                ...target,
                source: { repository: { url: `https://github.com/${repository}` }, ref: "main" },
                build: {},
                run: { port: 8080 },
                generation: 1
              })
            )
            for (const request of requests) {
              yield* applier.claim(request.target)
              yield* catalog.register(request)
            }
            yield* Effect.addFinalizer(() =>
              Effect.forEach(requests.slice(0, 1), (request) => projects.delete(request.owner), {
                discard: true
              }).pipe(Effect.ignore)
            )

            const database = join(folder, "temporal.db")
            const before = yield* Scope.make()
            const temporal = yield* DevServer.start({ file: database }).pipe(Scope.provide(before))
            const taskQueue = `outage-${unique}`
            const clones = new Map<string, number>()
            const { client } = yield* testWorker({
              activities: stubActivities({
                clone: async ({ request }) => {
                  clones.set(request.service, (clones.get(request.service) ?? 0) + 1)
                  // Long enough that Temporal goes away in the middle of it.
                  await setTimeout(1000)
                  return { commit: "c".repeat(40) }
                },
                verify: async ({ commit, request }) => ({ receipt: stubReceipt(request, commit) })
              }),
              worker: { taskQueue }
            }).pipe(Effect.provideService(DevServer, temporal))
            const deploys = new DeployClient(client, { taskQueue })

            const start = (port = "0") =>
              new ServerProcess({
                TEMPORAL_ADDRESS: temporal.address,
                TEMPORAL_TASK_QUEUE: taskQueue,
                MCPDEPLOY_WEBHOOK_SECRETS: join(folder, "secrets"),
                MCPDEPLOY_REGION: join(folder, "region.json"),
                MCPDEPLOY_HTTP_PORT: port
              })
            let server = start()
            yield* Effect.addFinalizer(() => Effect.sync(() => server.child.kill("SIGKILL")))
            const url = yield* Effect.promise(() => server.ready())

            const half = Math.ceil(count / 2)
            const [taken, late] = [deliveries.slice(0, half), deliveries.slice(half)]
            yield* Effect.promise(async () => {
              for (const { send } of taken) assert.strictEqual((await send(url)).status, 202)
              process.kill(temporal.pid, "SIGKILL")
              // One is under way when the process dies: its sender gets no answer.
              const [first] = late
              const cut = first?.send(url).then(
                ({ status }) => status,
                () => "no answer"
              )
              await setTimeout(50)
              server.child.kill("SIGKILL")
              assert.notStrictEqual(await cut, 202)
              await server.ended
              server = start(new URL(url).port)
              await server.port()
              for (const { send } of late) {
                const begun = performance.now()
                const told = await until(async () => {
                  // Until the catalog is read it says so as well, and to come again.
                  const answer = await send(url)
                  assert.strictEqual(answer.status, 503)
                  return answer
                })
                assert.isBelow(performance.now() - begun, 1500)
                assert.isAbove(Number(told.retryAfter), 0)
              }
            })
            yield* Scope.close(before, Exit.void)
            yield* Effect.sleep(`${downSeconds} seconds`)
            yield* DevServer.start({ file: database, port: temporal.port })

            // As a sender does who was told to come again; those that were taken are sent again too.
            yield* Effect.promise(async () => {
              await until(async () => ((await fetch(`${url}/readyz`)).ok ? true : undefined))
              for (const { send } of deliveries) {
                await until(async () => ((await send(url)).status === 202 ? true : undefined))
              }
              for (const { commit, target } of deliveries) {
                const records = await until(async () => {
                  const found = await deploys.history(target).catch(() => [])
                  return found.some(({ verdict }) => verdict._tag === "Deployed") ? found : undefined
                }, 90)
                assert.deepStrictEqual(
                  records.map((record) => record.commit),
                  [commit],
                  target.service
                )
              }
              await server.stop()
            })
            // A clone that Temporal lost sight of is made again; a second push would be a second record.
            for (const { target } of late) assert.strictEqual(clones.get(target.service), 1, target.service)
          }),
        isFull ? 400_000 : 150_000
      )
    })
  }
)
