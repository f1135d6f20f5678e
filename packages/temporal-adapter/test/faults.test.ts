/**
 * kill -9 of the deployer-worker before, during and after every activity: the deploy ends right, with one rollout, and
 * nothing is left over. Each run has a service, a task queue and workers of its own; several go on at once.
 */
import { execFileSync } from "node:child_process"
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
  describeOnRegion,
  pushOf,
  region,
  Repository,
  requestOf,
  Shared,
  targetOf,
  unique,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"

const steps = ["clone", "build", "push", "deploy", "verify"] as const
const moments = ["before", "during", "after"] as const
const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
/** Of each step and moment. By default each step is killed at one moment of the three. */
const times = Number(process.env["MCPDEPLOY_TEST_KILLS"] ?? (full ? 20 : 1))
const atOnce = 5

/** How long a step takes on an idle machine, about: `during` is a random part of it. */
const duration = { clone: 150, build: 2500, push: 100, deploy: 3000, verify: 100 }

const kubectl = (...args: ReadonlyArray<string>): string =>
  execFileSync("kubectl", ["--kubeconfig", region().kubeconfig, ...args], { encoding: "utf8" }).trim()

interface Kill {
  readonly step: (typeof steps)[number]
  readonly moment: (typeof moments)[number]
  readonly ms: number
}

const kills: ReadonlyArray<Kill> = Array.from({ length: times }, (_, round) =>
  steps.flatMap((step, index) =>
    moments
      .filter((_moment, place) => full || times > 1 || place === index % moments.length)
      .map((moment) => ({ step, moment, ms: Math.round(((round + Math.random()) / times) * duration[step]) }))
  )
).flat()

/** The builder keeps a service's cache beside its images. */
const cacheTag = "buildcache"

/** Tags of the service's repository in the registry. */
const tagsOf = async (namespace: string, service: string): Promise<ReadonlyArray<string>> => {
  const response = await fetch(`${region().registry.endpoint}/v2/${namespace}/${service}/tags/list`)
  const body: unknown = await response.json()
  return typeof body === "object" && body !== null && "tags" in body && Array.isArray(body.tags)
    ? body.tags.map(String)
    : []
}

const killedOnce = async (shared: Shared, address: string, client: Client, { moment, ms, step }: Kill) => {
  using source = new Repository()
  const taskQueue = `queue-${unique()}`
  const target = targetOf(`k-${unique()}`)
  const namespace = `dp-${target.owner.user}-${target.owner.project}`
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
    const list = (...args: ReadonlyArray<string>) => kubectl("-n", namespace, "get", ...args)
    assert.match(
      list("deployment", "web", "-o", "jsonpath={.metadata.annotations}"),
      /"deployment.kubernetes.io\/revision":"1"/
    )
    assert.strictEqual(list("replicasets", "-o", "name").split("\n").length, 1)
    assert.strictEqual(list("pods", "-o", "name").split("\n").length, 1)
    assert.deepStrictEqual((await tagsOf(namespace, "web")).toSorted(), [commit, cacheTag].toSorted())
    assert.strictEqual(list("configmap", "web", "-o", "jsonpath={.data}").split("deployedAt").length - 1, 1)
    await deploys.deleteService(target)
    await deploys.deleteProject(target.owner)
  } catch (error) {
    const output = `${doomed.stderr}\n${second?.stderr ?? ""}\n${second?.stdout.slice(-2000) ?? ""}`
    throw new Error(`killed ${moment} ${step} at ${ms} ms: ${String(error)}\n${output}`, { cause: error })
  } finally {
    await doomed.stop()
    await second?.stop()
  }
}

/** What killed checkouts leave behind is swept by the next worker. */
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
          const shared = yield* Effect.acquireRelease(Effect.promise(Shared.make), (made) =>
            Effect.sync(() => made[Symbol.dispose]())
          )
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
          assert.deepStrictEqual(scratchOf(shared), [])
        }),
      full || times > 1 ? 6 * 3600 * 1000 : 300_000
    )
  })
})
