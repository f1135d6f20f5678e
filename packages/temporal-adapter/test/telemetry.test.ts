/** What a real worker sends to a collector of a push that deploys, and of one whose build prints its secret and fails. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { traceOf } from "@mcpdeploy/core/Telemetry"
import { OtlpReceiver, textOf } from "@mcpdeploy/core/testing/OtlpReceiver"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { workflowIds } from "@mcpdeploy/temporal-contract/contract"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  connectClient,
  pushOf,
  Repository,
  requestOf,
  Shared,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"
import { describeOnRegion, Project, unique } from "./support/Region.ts"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))
const disposable = <A extends Disposable>(make: () => A | Promise<A>) =>
  Effect.acquireDisposable(Effect.promise(async () => make()))
const steps = ["clone", "build", "push", "deploy", "verify"]

describeOnRegion("telemetry of deployer-worker", () => {
  layer(devServer, { excludeTestServices: true })("with a dev server and a collector", (it) => {
    it.effect(
      "each step is a span of the deploy's trace with service, commit and digest; a secret is nowhere",
      () =>
        Effect.gen(function* () {
          const { address } = yield* DevServer
          const collector = yield* disposable(() => OtlpReceiver.start())
          const files = yield* disposable(() => Shared.make())
          const source = yield* disposable(() => new Repository())
          const project = yield* disposable(() => new Project("o"))
          const taskQueue = `queue-${unique()}`
          const canary = `canary-${unique()}-${unique()}`
          const worker = yield* Effect.acquireRelease(
            Effect.sync(() =>
              WorkerProcess.on(files, address, taskQueue, {
                DEPLOY_SECRET_TOKEN: canary,
                OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
                OTEL_EXPORTER_OTLP_PROTOCOL: "http/json"
              })
            ),
            (started) => Effect.promise(() => started.stop())
          )
          const port = yield* Effect.promise(() => worker.port())
          const client = yield* Effect.promise(() => connectClient(address))
          const deploys = new DeployClient(client, { taskQueue })
          const target = project.target()
          const secrets = { TOKEN: "env:DEPLOY_SECRET_TOKEN" }
          const more = {
            build: { secrets },
            run: { port: 8080, cpu: "50m", memory: "64Mi", secrets }
          }

          const commit = source.commitApp("observed")
          const good = requestOf(target, source, Date.now(), more)
          yield* Effect.promise(() => deploys.submit(target, pushOf(good, commit)))
          const deployed = yield* Effect.promise(() => verdictOf(deploys, target, good.generation))
          assert(deployed.verdict._tag === "Deployed", JSON.stringify(deployed.verdict))

          const command = "RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN && exit 3"
          writeFileSync(join(source.path, "Dockerfile"), `FROM busybox\n${command}\n`)
          source.git("commit", "-q", "-a", "-m", "tell")
          const bad = requestOf(target, source, Date.now(), more)
          yield* Effect.promise(() => deploys.submit(target, pushOf(bad, source.git("rev-parse", "HEAD"))))
          const failed = yield* Effect.promise(() => verdictOf(deploys, target, bad.generation))
          assert.strictEqual(failed.verdict._tag, "Failed")

          const metrics = yield* Effect.promise(async () =>
            (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
          )
          assert.match(metrics, /mcpdeploy_step_duration_seconds_count\{[^}]*step="verify"[^}]*\} 1/)
          assert.match(metrics, /mcpdeploy_builds\{[^}]*result="built"[^}]*\} 1/)
          assert.match(metrics, /mcpdeploy_build_vertices\{[^}]*result="executed"[^}]*\} \d/)
          assert.match(metrics, /mcpdeploy_task_queue_backlog\{[^}]*type="activity"[^}]*\} \d/)
          assert.match(metrics, /mcpdeploy_deploys\{[^}]*outcome="failed"[^}]*\} 1/)

          worker.child.kill("SIGTERM")
          const { code } = yield* Effect.promise(() => worker.ended)
          assert.strictEqual(code, 0, worker.stderr)
          assert.deepStrictEqual(collector.violations, [])
          assert.deepStrictEqual([...collector.services], ["deployer-worker"])
          const { traceId } = traceOf(workflowIds.deploy(target, good.generation))
          const trace = collector.spans.filter((span) => span.traceId === traceId)
          for (const step of steps) {
            const activity = trace.find(({ name }) => name === `activity ${step}`)
            const span = trace.find(({ name }) => name === `DeploySteps.${step}`)
            assert.strictEqual(activity?.status.code, 1, step)
            assert.isDefined(span, step)
            const said = span?.attributes ?? []
            assert.strictEqual(textOf(said, "mcpdeploy.commit"), commit, step)
            if (step !== "push") assert.include(textOf(said, "mcpdeploy.service"), target.service)
            if (step !== "clone")
              assert.strictEqual(
                textOf(said, "mcpdeploy.image.digest"),
                deployed.verdict.receipt.digest,
                step
              )
          }
          const failure = collector.spans.find(
            ({ name, status }) => name === "activity build" && status.code === 2
          )
          assert.match(failure?.status.message ?? "", /^[A-Za-z]+(?:\/[A-Za-z]+)?$/)
          assert.isTrue(collector.logs.some((log) => log.traceId === traceId))
          for (const name of [
            "mcpdeploy_step_duration_seconds",
            "mcpdeploy_deploys",
            "mcpdeploy_builds",
            "mcpdeploy_build_slots"
          ])
            assert.isTrue(collector.metrics.has(name), name)
          for (const text of [collector.raw, metrics, worker.stdout, worker.stderr])
            assert.notInclude(text, canary)
        })
    )
  })
})
