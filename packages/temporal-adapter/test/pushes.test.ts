/** Pushes to several services in random order, some of them twice, on a real region. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { workflowIds } from "@mcpdeploy/temporal-contract/contract"
import type { ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import type { Client } from "@temporalio/client"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { setTimeout } from "node:timers/promises"
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

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const services = full ? 5 : 2
const pushesOfEach = full ? 10 : 4
/** The share of pushes that come twice. */
const duplicates = 0.4
const deathSeconds = 5
/** The longest pause between two pushes. */
const pauseMs = full ? 2000 : 300

const shuffled = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> =>
  values
    .map((value) => ({ value, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)

const milliseconds = (
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined
) => Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1_000_000

/** Seconds from each cancellation of a deploy to its end, which is after the end of its build. */
const deathsOf = async (client: Client, target: ServiceTarget): Promise<ReadonlyArray<number>> => {
  const { events } = await client.workflow.getHandle(workflowIds.service(target)).fetchHistory()
  const asked = new Map<string, number>()
  const deaths: Array<number> = []
  for (const event of events ?? []) {
    const cancelled = event.requestCancelExternalWorkflowExecutionInitiatedEventAttributes
    const id = cancelled?.workflowExecution?.workflowId
    if (id) asked.set(id, milliseconds(event.eventTime))
    const ended =
      event.childWorkflowExecutionCanceledEventAttributes ??
      event.childWorkflowExecutionCompletedEventAttributes
    const begun = asked.get(ended?.workflowExecution?.workflowId ?? "")
    if (begun !== undefined) deaths.push((milliseconds(event.eventTime) - begun) / 1000)
  }
  return deaths
}

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describeOnRegion("pushes", () => {
  layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
    it.effect(
      `${services * pushesOfEach} in random order to ${services} services, some twice: each ends at its newest commit, each push has its verdict, a superseded build is dead within ${deathSeconds} s`,
      () =>
        DevServer.use(({ address }) =>
          Effect.promise(async () => {
            using files = await Shared.make()
            using project = new Project("p")
            using stack = new DisposableStack()
            const taskQueue = `queue-${unique()}`
            const worker = WorkerProcess.on(files, address, taskQueue)
            try {
              const client = await connectClient(address)
              const deploys = new DeployClient(client, { taskQueue })
              const begun = Date.now()
              const pushes = Array.from({ length: services }, (_, service) => {
                const source = stack.use(new Repository())
                const target = project.target(`s${service}`)
                return Array.from({ length: pushesOfEach }, (__, place) => {
                  const text = `service ${service} at ${place}`
                  const commit = source.commitApp(text, 1 + Math.random())
                  const request = {
                    ...requestOf(target, source, begun + place),
                    source: { repository: { url: source.url }, ref: commit }
                  }
                  return { target, text, commit, push: pushOf(request, commit) }
                })
              }).flat()
              const submit = ({ push, target }: (typeof pushes)[number]) => deploys.submit(target, push)

              // One that is sure to be in its build when a newer one comes.
              const [first, ...others] = pushes
              assert(first !== undefined)
              await submit(first)
              await until(async () =>
                (await deploys.progress(first.target))?.step === "build" ? true : undefined
              )
              for (const each of shuffled(others)) {
                await submit(each)
                if (Math.random() < duplicates) await submit(each)
                await setTimeout(Math.random() * pauseMs)
              }

              const records = await Promise.all(
                pushes.map(({ push, target }) => verdictOf(deploys, target, push.generation, 900))
              )
              const verdicts = records.map(({ verdict }) => verdict)
              for (const [index, { commit, push, target, text }] of pushes.entries()) {
                const verdict = verdicts[index]
                const isNewest = (index + 1) % pushesOfEach === 0
                if (isNewest || verdict?._tag !== "Superseded") {
                  assert(verdict?._tag === "Deployed", `${target.service}: ${JSON.stringify(verdict)}`)
                  assert.strictEqual(verdict.receipt.commit, commit)
                } else assert.isAbove(verdict.by, push.generation)
                if (!isNewest || verdict?._tag !== "Deployed") continue
                await answers(verdict.receipt.probe?.url ?? "", text)
                assert.lengthOf(await deploys.history(target), pushesOfEach)
              }
              const targets = [...new Map(pushes.map(({ target }) => [target.service, target])).values()]
              const deaths = (await Promise.all(targets.map((target) => deathsOf(client, target)))).flat()
              const count = (tag: string) => verdicts.filter((verdict) => verdict._tag === tag).length
              process.stdout.write(
                `pushes: ${count("Deployed")} deployed, ${count("Superseded")} superseded; ${deaths.length} cancelled, dead after at most ${Math.max(0, ...deaths).toFixed(1)} s\n`
              )
              assert.isAtLeast(deaths.length, 1)
              assert.isAtMost(Math.max(...deaths), deathSeconds)
            } finally {
              await worker.stop()
            }
          })
        ),
      full ? 1_200_000 : 240_000
    )
  })
})
