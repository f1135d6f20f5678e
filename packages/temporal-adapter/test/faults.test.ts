/**
 * kill -9 of the deployer-worker before, during and after every activity: the deploy ends right, with one rollout, and
 * nothing is left over. Each run has a service, a task queue and workers of its own; several go on at once.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import type { Client } from "@temporalio/client"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  ask,
  connectClient,
  pushOf,
  Repository,
  requestOf,
  Shared,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"
import { describeOnRegion, kubectl, Project, runningBuilds, tagsOf, unique } from "./support/Region.ts"

const steps = ["clone", "build", "push", "deploy", "verify"] as const
const moments = ["before", "during", "after"] as const
const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
/** Of each step and moment. */
const times = Number(process.env["MCPDEPLOY_TEST_KILLS"] ?? 20)
const atOnce = 5

/** How long a step takes on an idle machine, about: `during` is a random part of it. */
const duration = { clone: 150, build: 2500, push: 100, deploy: 3000, verify: 100 }

interface Kill {
  readonly step: (typeof steps)[number]
  readonly moment: (typeof moments)[number]
  readonly ms: number
}

/** `ms` of `during` are spread over the step's duration. */
const kill = (step: Kill["step"], moment: Kill["moment"], place = Math.random()): Kill => ({
  step,
  moment,
  ms: Math.round(place * duration[step])
})

const kills: ReadonlyArray<Kill> = full
  ? Array.from({ length: times }, (_, round) =>
      steps.flatMap((step) => moments.map((moment) => kill(step, moment, (round + Math.random()) / times)))
    ).flat()
  : [kill("clone", "before"), kill("build", "during"), kill("deploy", "after")]

/** The builder keeps a service's cache beside its images. */
const cacheTag = "buildcache"

const killedOnce = async (shared: Shared, address: string, client: Client, { moment, ms, step }: Kill) => {
  using source = new Repository()
  using project = new Project("k")
  const taskQueue = `queue-${unique()}`
  const target = project.target()
  const deploys = new DeployClient(client, { taskQueue })
  const text = `killed ${moment} ${step} ${unique()}`
  const commit = source.commitApp(text, step === "build" ? 2 : 0)
  const request = requestOf(target, source, Date.now())
  const doomed = WorkerProcess.killable(shared, address, taskQueue, `${step}:${moment}:${ms}`)
  let second: WorkerProcess | undefined
  try {
    await deploys.submit(target, pushOf(request, commit))
    const { signal } = await doomed.ended
    assert.strictEqual(signal, "SIGKILL", doomed.stderr)
    second = WorkerProcess.on(shared, address, taskQueue)
    const { verdict } = await verdictOf(deploys, target, request.generation)
    assert(verdict._tag === "Deployed", JSON.stringify(verdict))
    assert.strictEqual(verdict.receipt.commit, commit)
    assert.include((await ask(verdict.receipt.probe?.url ?? "")).body, text)
    // One rollout, one tag, one receipt, the pods of one revision.
    const list = (...args: ReadonlyArray<string>) => kubectl("-n", project.namespace, "get", ...args)
    assert.match(
      list("deployment", "web", "-o", "jsonpath={.metadata.annotations}"),
      /"deployment.kubernetes.io\/revision":"1"/
    )
    assert.strictEqual(list("replicasets", "-o", "name").split("\n").length, 1)
    assert.strictEqual(list("pods", "-o", "name").split("\n").length, 1)
    assert.deepStrictEqual((await tagsOf(project, "web")).toSorted(), [commit, cacheTag].toSorted())
    assert.strictEqual(list("configmap", "web", "-o", "jsonpath={.data}").split("deployedAt").length - 1, 1)
    assert.strictEqual(await runningBuilds(verdict.receipt), 0)
    await deploys.deleteService(target)
    assert.deepStrictEqual(await tagsOf(project, "web"), [])
    await deploys.deleteProject(target.owner)
    assert.isFalse(project.exists)
  } catch (error) {
    const output = `${doomed.stderr}\n${second?.stderr ?? ""}\n${second?.stdout.slice(-2000) ?? ""}`
    throw new Error(`killed ${moment} ${step} at ${ms} ms: ${String(error)}\n${output}`, { cause: error })
  } finally {
    await doomed.stop()
    await second?.stop()
  }
}

/** What killed checkouts leave behind, and the next worker to start sweeps. */
const scratchOf = (shared: Shared): ReadonlyArray<string> =>
  readdirSync(join(shared.cache, "git"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".tmp")
  )

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describeOnRegion("kill -9 of the worker", () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect(
      `${kills.length} kills at ${steps.join(", ")}: one rollout for each commit, and no orphan`,
      () =>
        Effect.gen(function* () {
          const { address } = yield* DevServer
          const client = yield* Effect.promise(() => connectClient(address))
          const shared = yield* Effect.acquireDisposable(Effect.promise(Shared.make))
          const results = yield* Effect.forEach(
            kills,
            (kill) =>
              Effect.tryPromise(() => killedOnce(shared, address, client, kill)).pipe(
                Effect.as("ok"),
                Effect.catch(({ cause }) => Effect.succeed(String(cause)))
              ),
            { concurrency: atOnce }
          )
          const wrong = results.filter((result) => result !== "ok")
          assert.deepStrictEqual(wrong, [], `${wrong.length} of ${kills.length}`)
          const last = WorkerProcess.on(shared, address, `queue-${unique()}`)
          yield* Effect.promise(() => last.port().finally(() => last.stop()))
          assert.deepStrictEqual(scratchOf(shared), [])
        }),
      full ? 6 * 3600 * 1000 : 300_000
    )
  })
})
