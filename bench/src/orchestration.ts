/**
 * Deploy workflows whose steps do nothing, through a real Temporal dev server: what the orchestration itself costs.
 *
 * Worker and client are this process, the server is another; both share the machine's cores. `MCPDEPLOY_BENCH_COUNT`
 * deploys (2,000 when absent), 300 of them under way at a time.
 */
import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { NodeServices } from "@effect/platform-node"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { Effect, Layer } from "effect"
import { BenchFailed, type Measure } from "./measure.ts"

const count = Number(process.env["MCPDEPLOY_BENCH_COUNT"] ?? 2000)
const underWay = Number(process.env["MCPDEPLOY_BENCH_CONCURRENCY"] ?? 300)
const parts = 10

/** Resident memory of a process in MiB (proc(5), VmRSS). */
const residentMiB = (pid: number | "self"): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1024

/** Processor seconds of a process (proc(5), utime + stime, 100 ticks a second). */
const processorSeconds = (pid: number | "self"): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** So that memory in use is told apart from garbage. */
setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const bench = Effect.gen(function* () {
  const server = yield* DevServer
  const { deploys } = yield* testWorker({
    activities: stubActivities(),
    worker: {
      maxCachedWorkflows: 600,
      maxConcurrentWorkflowTaskExecutions: 100,
      maxConcurrentActivityTaskExecutions: 200,
      workflowTaskPollerBehavior: { type: "simple-maximum", maximum: 10 },
      activityTaskPollerBehavior: { type: "simple-maximum", maximum: 10 }
    }
  })
  const deploy = (generation: number) =>
    Effect.gen(function* () {
      const target = { owner: { user: "bench", project: "orchestration" }, service: `s${generation}` }
      const running = yield* Effect.promise(() => deploys.startDeploy(stubRequest(target, generation)))
      const outcome = yield* Effect.promise(running.outcome)
      if (outcome._tag !== "Deployed") {
        return yield* new BenchFailed({ detail: `deploy ${generation} ended as ${outcome._tag}` })
      }
    })
  yield* Effect.forEach(Array.from({ length: 100 }), (_, index) => deploy(1_000_000 + index), {
    concurrency: 50
  })
  const begun = performance.now()
  const busy = { worker: processorSeconds("self"), server: processorSeconds(server.pid) }
  for (let part = 0; part < parts; part++) {
    const size = count / parts
    const partBegun = performance.now()
    yield* Effect.forEach(
      Array.from({ length: size }, (_, index) => part * size + index),
      deploy,
      { concurrency: underWay, discard: true }
    )
    const seconds = (performance.now() - partBegun) / 1000
    collectGarbage()
    const heap = (process.memoryUsage().heapUsed / 1024 / 1024).toFixed(0)
    yield* print(
      `deploys=${(part + 1) * size} per_second=${(size / seconds).toFixed(1)} worker_heap_mib=${heap} worker_mib=${residentMiB("self").toFixed(0)} server_mib=${residentMiB(server.pid).toFixed(0)}`
    )
  }
  const seconds = (performance.now() - begun) / 1000
  const share = (used: number) => (used / seconds).toFixed(2)
  yield* print(
    `orchestration per_second=${(count / seconds).toFixed(1)} deploys=${count} worker_cores=${share(processorSeconds("self") - busy.worker)} server_cores=${share(processorSeconds(server.pid) - busy.server)}`
  )
  const measures: ReadonlyArray<Measure> = []
  return measures
})

export const run = bench.pipe(
  Effect.scoped,
  Effect.provide(DevServer.layer().pipe(Layer.provide(NodeServices.layer)))
)
