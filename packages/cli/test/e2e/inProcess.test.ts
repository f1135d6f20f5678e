/** Many deploys through one process, and deploys of two processes against each other, on the library itself. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { afterAll, assert, beforeAll, it } from "vitest"
import { describeOnRegion, regionFile, Repository, smallApp } from "./harness.ts"

const decodeEndpoints = Schema.decodeUnknownSync(Schema.fromJsonString(RegionEndpoints))

/** A process's worth of the pipeline: lanes, connections and build slots of its own. */
const makeRuntime = (cacheFolder: string, concurrency: number) => {
  const { buildkit, ingress, kubeconfig, registry } = decodeEndpoints(readFileSync(regionFile ?? "", "utf8"))
  return ManagedRuntime.make(
    regionLayer({
      cluster: new RegionConfig({
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress.http
      }),
      buildkit: { address: buildkit.address, concurrency },
      git: { cacheFolder, allowFile: true },
      registry: { url: registry.endpoint },
      pipeline: { buildTimeoutSeconds: 300, buildSecretKey: Redacted.make("test") }
    }).pipe(Layer.provideMerge(SecretStore.layer({})), Layer.provideMerge(NodeServices.layer))
  )
}

const requestOf = (
  repository: Repository,
  project: string,
  service: string,
  options: { readonly ref: string; readonly generation: number; readonly replicas: number }
) =>
  new DeployRequest({
    owner: new Owner({ user: UserId.make("e2e"), project: ProjectName.make(project) }),
    service: ServiceName.make(service),
    source: new SourceSpec({
      repository: new GitRepository({ url: RepositoryUrl.make(`file://${repository.path}`) }),
      ref: GitRef.make(options.ref)
    }),
    build: new BuildSpec({}),
    run: new RunSpec({ port: 8080, replicas: options.replicas, memory: "64Mi", cpu: "50m" }),
    generation: Generation.make(options.generation)
  })

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
    one.runPromise(
      ClusterApplier.use((cluster) =>
        cluster.delete(
          new ServiceTarget({
            owner: new Owner({ user: UserId.make("e2e"), project: ProjectName.make(project) }),
            service: ServiceName.make(service)
          })
        )
      )
    )

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
        ClusterApplier.use((cluster) =>
          cluster.status(
            requestOf(repository, "orders", "web", { ref: second, generation, replicas: 0 }).target
          )
        )
      )
      assert.strictEqual(status.commit, second, `round ${round}`)
    }
    await deleteService("orders", "web")
  }, 300_000)
})
