/**
 * DeployRunner: runs deploys in this process, no server needed.
 *
 * One deploy at a time for a service. A newer one cancels the older and begins when that is seen ended; an older one
 * that comes late is superseded at once. Between processes the same holds by the cluster's generation fence.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Semaphore from "effect/Semaphore"
import type { DeployRequest, Generation } from "../domain/DeployRequest.ts"
import type { DeployError } from "./DeployError.ts"
import { DeploySteps } from "./DeploySteps.ts"
import { type DeployOutcome, Superseded } from "./DeployOutcome.ts"
import { type Deploy, deploy } from "./Orchestration.ts"
import { stepDuration, type StepOutcome } from "./StepTelemetry.ts"

/** What is known of a service's deploys while at least one of them is under way. */
interface Lane {
  readonly turn: Semaphore.Semaphore
  newest: { readonly generation: Generation; readonly superseded: Deferred.Deferred<Generation> }
  waiting: number
}

/** Deploys in this process: one at a time for a service, the newest cancels the older. */
export class DeployRunner extends Context.Service<
  DeployRunner,
  {
    /** Runs a request to its outcome. Interrupting it cancels the deploy; repeating it converges. */
    readonly deploy: (request: DeployRequest) => Effect.Effect<DeployOutcome>
  }
>()("mcpdeploy/core/pipeline/DeployRunner") {
  static readonly layer: Layer.Layer<DeployRunner, never, DeploySteps> = Layer.effect(
    DeployRunner,
    Effect.gen(function* () {
      const steps = yield* DeploySteps
      const lanes = new Map<string, Lane>()

      const interpret = Effect.fnUntraced(function* (request: DeployRequest) {
        let node = deploy(request)
        while (node.step !== "done") node = yield* next(steps, node)
        return node.outcome
      })

      const enter = Effect.fnUntraced(function* (request: DeployRequest) {
        const mine = { generation: request.generation, superseded: yield* Deferred.make<Generation>() }
        const lane = lanes.get(request.target.key)
        if (lane === undefined) {
          const opened: Lane = { turn: yield* Semaphore.make(1), newest: mine, waiting: 1 }
          lanes.set(request.target.key, opened)
          return { lane: opened, mine }
        }
        lane.waiting++
        if (lane.newest.generation > mine.generation) {
          yield* Deferred.succeed(mine.superseded, lane.newest.generation)
        } else {
          yield* Deferred.succeed(lane.newest.superseded, mine.generation)
          lane.newest = mine
        }
        return { lane, mine }
      })

      const leave = (request: DeployRequest, lane: Lane) =>
        Effect.sync(() => {
          if (--lane.waiting === 0) lanes.delete(request.target.key)
        })

      return DeployRunner.of({
        deploy: Effect.fn("DeployRunner.deploy")(function* (request) {
          return yield* Effect.acquireUseRelease(
            enter(request),
            ({ lane, mine }) =>
              Effect.raceFirst(
                Effect.map(Deferred.await(mine.superseded), (by): DeployOutcome => Superseded.make({ by })),
                Semaphore.withPermit(lane.turn)(interpret(request))
              ),
            ({ lane }) => leave(request, lane)
          )
        })
      })
    })
  )
}

/** Runs one node's step. */
const next = (
  steps: DeploySteps["Service"],
  node: Exclude<Deploy, { readonly step: "done" }>
): Effect.Effect<Deploy> => {
  switch (node.step) {
    case "clone":
      return run(measured("clone", steps.clone(node.input)), node)
    case "build":
      return run(measured("build", steps.build(node.input)), node)
    case "push":
      return run(measured("push", steps.push(node.input)), node)
    case "deploy":
      return run(measured("deploy", steps.deploy(node.input)), node)
    case "verify":
      return run(measured("verify", steps.verify(node.input)), node)
    case "restore":
      return run(measured("restore", steps.restore(node.input)), node)
  }
}

const outcomeOf = <Output>(exit: Exit.Exit<Output, DeployError>): StepOutcome => {
  if (Exit.isSuccess(exit)) return "succeeded"
  return Cause.hasInterruptsOnly(exit.cause) ? "cancelled" : "failed"
}

const measured = <Output>(step: string, effect: Effect.Effect<Output, DeployError>) =>
  Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
    Effect.onExit(effect, (exit) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Metric.update(stepDuration(step, outcomeOf(exit)), (now - startedAt) / 1000)
      )
    )
  )

const run = Effect.fnUntraced(function* <Output>(
  step: Effect.Effect<Output, DeployError>,
  node: {
    readonly succeeded: (output: Output, durationMs: number) => Deploy
    readonly failed: (error: DeployError) => Deploy
  }
) {
  const startedAt = yield* Clock.currentTimeMillis
  return yield* Effect.matchEffect(step, {
    onFailure: (error) => Effect.succeed(node.failed(error)),
    onSuccess: (output) =>
      Effect.map(Clock.currentTimeMillis, (now) => node.succeeded(output, now - startedAt))
  })
})
