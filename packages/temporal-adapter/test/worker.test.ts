import * as http2 from "node:http2"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  answers,
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
import { authority, tlsProxy } from "./support/TlsProxy.ts"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))
const shared = Effect.acquireDisposable(Effect.promise(Shared.make))
const workerOn = (start: () => WorkerProcess) =>
  Effect.acquireRelease(Effect.sync(start), (worker) => Effect.promise(() => worker.stop()))
const freshProject = Effect.acquireDisposable(Effect.sync(() => new Project("w")))
const repository = Effect.acquireDisposable(Effect.sync(() => new Repository()))

describe("settings of deployer-worker", () => {
  it.live("an empty environment ends it with one line that names all that is missing", () =>
    Effect.gen(function* () {
      const worker = yield* workerOn(() => WorkerProcess.main({ PATH: process.env["PATH"] ?? "" }))
      const { code } = yield* Effect.promise(() => worker.ended)
      assert.strictEqual(code, 1)
      assert.strictEqual(worker.stderr.trim().split("\n").length, 1)
      for (const name of ["TEMPORAL_ADDRESS", "MCPDEPLOY_REGION", "MCPDEPLOY_BUILD_SECRET_KEY"])
        assert.include(worker.stderr, name)
    })
  )
})

describeOnRegion("deployer-worker", () => {
  layer(Layer.effectContext(Effect.context<never>()), { excludeTestServices: true })(
    "with a dev server",
    (it) => {
      it.effect("credentials that Temporal refuses end it with one line, without the key", () =>
        Effect.gen(function* () {
          const files = yield* shared
          const server = http2.createServer()
          server.on("stream", (stream) =>
            stream.respond(
              {
                ":status": 200,
                "content-type": "application/grpc",
                "grpc-status": "16",
                "grpc-message": "Request unauthorized."
              },
              { endStream: true }
            )
          )
          yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
          const port = yield* Effect.callback<number>((resume) => {
            server.listen(0, "127.0.0.1", () => {
              const address = server.address()
              resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
            })
          })
          const worker = yield* workerOn(() => WorkerProcess.on(files, `127.0.0.1:${port}`, unique()))
          const { code } = yield* Effect.promise(() => worker.ended)
          assert.strictEqual(code, 1)
          assert.strictEqual(worker.stderr.trim().split("\n").length, 1, worker.stderr)
          assert.include(worker.stderr, "refuses the credentials")
          assert.include(worker.stderr, "TEMPORAL_API_KEY")
        })
      )
    }
  )

  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect(
      "a push becomes a running service; secrets are in no log, metric or history; it stops in time; a rollback",
      () =>
        Effect.gen(function* () {
          const { address } = yield* DevServer
          const files = yield* shared
          const source = yield* repository
          const taskQueue = `queue-${unique()}`
          const canary = `canary-${unique()}-${unique()}`
          const worker = yield* workerOn(() =>
            WorkerProcess.on(files, address, taskQueue, { DEPLOY_SECRET_TOKEN: canary })
          )
          const port = yield* Effect.promise(() => worker.port())
          const client = yield* Effect.promise(() => connectClient(address))
          const deploys = new DeployClient(client, { taskQueue })
          const project = yield* freshProject
          const target = project.target()
          const commit = source.commitApp("by workflow")
          const secrets = { TOKEN: "env:DEPLOY_SECRET_TOKEN" }
          const request = requestOf(target, source, Date.now(), {
            build: { secrets },
            run: { port: 8080, cpu: "50m", memory: "64Mi", secrets }
          })
          yield* Effect.promise(() => deploys.submit(target, pushOf(request, commit)))
          const { verdict } = yield* Effect.promise(() => verdictOf(deploys, target, request.generation))
          assert(verdict._tag === "Deployed", JSON.stringify(verdict))
          assert.strictEqual(verdict.receipt.commit, commit)
          const url = verdict.receipt.probe?.url ?? ""
          yield* Effect.promise(() => answers(url, "by workflow"))

          const metrics = yield* Effect.promise(async () =>
            (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
          )
          for (const name of [
            "mcpdeploy_deploys",
            "mcpdeploy_step_duration_seconds",
            "mcpdeploy_build_slots",
            "temporal_"
          ])
            assert.include(metrics, name)
          assert.match(metrics, /mcpdeploy_deploys\{[^}]*outcome="deployed"[^}]*\} 1/)
          assert.strictEqual(
            (yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/readyz`))).status,
            200
          )
          const histories = yield* Effect.promise(async () => {
            const texts: Array<string> = []
            for await (const { runId, workflowId } of client.workflow.list()) {
              const history = await client.workflow.getHandle(workflowId, runId).fetchHistory()
              texts.push(JSON.stringify(history), Buffer.from(JSON.stringify(history)).toString("latin1"))
            }
            return texts.join("\n")
          })
          for (const [where, text] of Object.entries({
            metrics,
            histories,
            log: worker.stdout,
            errors: worker.stderr
          }))
            assert.notInclude(text, canary, where)

          // A build that runs is handed back when it is told to stop, and another worker ends it.
          const next = source.commitApp("handed over", 5)
          const second = requestOf(target, source, Date.now())
          yield* Effect.promise(() => deploys.submit(target, pushOf(second, next)))
          yield* Effect.promise(() =>
            until(async () => {
              const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
              return /mcpdeploy_build_slots_used\{?[^\n]* 1\n/.test(text) ? true : undefined
            })
          )
          const stoppedAt = Date.now()
          worker.child.kill("SIGTERM")
          const { code } = yield* Effect.promise(() => worker.ended)
          const stopped = Date.now() - stoppedAt
          assert.strictEqual(code, 0, worker.stderr)
          assert.isBelow(stopped, 10_000)
          // The other one comes through TLS, as to Temporal Cloud.
          const own = yield* authority
          const secure = yield* tlsProxy({ upstream: address, authority: own, require: "certificate" })
          const identity = own.sign("deployer-worker")
          yield* workerOn(() =>
            WorkerProcess.on(files, secure, taskQueue, {
              TEMPORAL_TLS_CA: own.certificate,
              TEMPORAL_TLS_CERT: identity.certificate,
              TEMPORAL_TLS_KEY: identity.key
            })
          )
          const record = yield* Effect.promise(() => verdictOf(deploys, target, second.generation))
          assert.strictEqual(record.verdict._tag, "Deployed")
          // Sooner than by the missing heartbeat: it was handed back.
          const handle = client.workflow.getHandle(
            `deploy/${target.owner.user}/${target.owner.project}/web/${second.generation}`
          )
          const { events } = yield* Effect.promise(() => handle.fetchHistory())
          const lastFailures = (events ?? []).flatMap(({ activityTaskStartedEventAttributes: started }) =>
            started?.lastFailure === undefined || started.lastFailure === null ? [] : [started.lastFailure]
          )
          assert.strictEqual(lastFailures.length, 1)
          assert.isNotOk(lastFailures[0]?.timeoutFailureInfo)

          yield* Effect.promise(() => answers(url, "handed over"))
          const receipt = yield* Effect.promise(() => deploys.rollback(target))
          assert.strictEqual(receipt.commit, commit)
          yield* Effect.promise(() => answers(url, "by workflow"))
        }),
      240_000
    )
  })
})
