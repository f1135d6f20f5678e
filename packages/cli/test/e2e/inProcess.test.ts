/** Many deploys through one process, and deploys of two processes against each other, on the library itself. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { Workloads } from "@mcpdeploy/core/Workloads"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, it } from "vitest"
import { describeOnRegion, Repository, smallApp } from "./harness.ts"
import { makeRuntime, requestOf, targetOf } from "./runtime.ts"

describeOnRegion("the pipeline in one process", () => {
  const cache = mkdtempSync(join(tmpdir(), "mcpdeploy-cache-"))
  const slots = 3
  const one = makeRuntime(cache, slots)
  const other = makeRuntime(cache, slots)
  let repository: Repository

  beforeAll(() => {
    repository = new Repository()
  })
  afterAll(async () => {
    await Promise.all([one.dispose(), other.dispose()])
    repository[Symbol.dispose]()
    rmSync(cache, { recursive: true, force: true })
  })

  const deleteService = (project: string, service: string) =>
    one.runPromise(ClusterApplier.use((cluster) => cluster.delete(targetOf(project, service))))

  it("deploys 20 services at once, no more builds at a time than configured, in little memory", async () => {
    const ref = repository.write(smallApp({ text: "one of many" })).commit()
    const names = Array.from({ length: 20 }, (_, index) => `service-${index}`)
    await one.runPromise(DeployRunner.use(() => Effect.void))
    global.gc?.()
    const idle = process.memoryUsage().rss
    let most = idle
    const sampling = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50)
    const building = new Set<string>()
    let mostBuilding = 0
    const outcomes = await one.runPromise(
      DeployRunner.use((runner) =>
        Effect.forEach(
          names,
          (name) =>
            runner
              .deploy(requestOf(repository, "many", name, { ref, generation: Date.now(), replicas: 1 }))
              .pipe(
                Effect.provideService(DeployEvents, (event) =>
                  Effect.sync(() => {
                    if (event._tag === "StepLog" && event.step === "build") building.add(name)
                    if (event._tag === "StepFinished" && event.step === "build") building.delete(name)
                    mostBuilding = Math.max(mostBuilding, building.size)
                  })
                )
              ),
          { concurrency: "unbounded" }
        )
      )
    )
    clearInterval(sampling)
    assert.deepStrictEqual(
      outcomes.map((outcome) => (outcome._tag === "Failed" ? outcome.error.message : outcome._tag)),
      names.map(() => "Deployed")
    )
    assert.isAtMost(mostBuilding, slots)
    assert.isAtMost((most - idle) / 20 / 1024 ** 2, 8)
    await Promise.all(names.map((name) => deleteService("many", name)))
  }, 300_000)

  it("two processes end with the newest commit over 50 random orders", async () => {
    const first = repository.write(smallApp({ text: "first" })).commit()
    const second = repository.write(smallApp({ text: "second" })).commit()
    const deploy = (runtime: typeof one, ref: string, generation: number) =>
      runtime.runPromise(
        DeployRunner.use((runner) =>
          runner.deploy(requestOf(repository, "orders", "web", { ref, generation, replicas: 0 }))
        )
      )
    const start = Date.now()
    for (let round = 0; round < 50; round++) {
      const generation = start + round * 2
      const later = async <A>(run: () => Promise<A>): Promise<A> => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 120))
        return run()
      }
      const [older, newer] = await Promise.all([
        later(() => deploy(one, first, generation)),
        later(() => deploy(other, second, generation + 1))
      ])
      assert.strictEqual(newer._tag, "Deployed", JSON.stringify(newer))
      assert.include(["Deployed", "Superseded"], older._tag, JSON.stringify(older))
      const status = await one.runPromise(
        Workloads.use((workloads) =>
          workloads.status(
            requestOf(repository, "orders", "web", { ref: second, generation, replicas: 0 }).target
          )
        )
      )
      assert.strictEqual(status.commit, second, `round ${round}`)
    }
    await deleteService("orders", "web")
  }, 300_000)
})
