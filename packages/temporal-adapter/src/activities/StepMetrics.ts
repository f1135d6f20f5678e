/** What the activities count: how long each step takes, and how deploys end. */
import { stepDuration, type StepOutcome } from "@mcpdeploy/core/pipeline/StepTelemetry"
import type { Context } from "effect/Context"
import * as Metric from "effect/Metric"

export interface StepEnd {
  readonly outcome: StepOutcome
  /** false: Temporal will try the step again. */
  readonly isLast: boolean
  readonly seconds: number
}

export interface StepMetrics {
  readonly ended: (step: string, end: StepEnd) => void
}

const deploySteps: ReadonlySet<string> = new Set(["clone", "build", "push", "deploy", "verify"])

/** How a step's end ends the deploy; undefined where it goes on. A cancelled deploy made room for a newer one. */
const deployOutcome = (step: string, { isLast, outcome }: StepEnd): string | undefined => {
  if (!deploySteps.has(step) || !isLast) return undefined
  switch (outcome) {
    case "succeeded":
      return step === "verify" ? "deployed" : undefined
    case "failed":
      return "failed"
    case "superseded":
    case "cancelled":
      return "superseded"
  }
}

const deploys = (outcome: string) =>
  Metric.counter("mcpdeploy_deploys", {
    description: "Deploys by outcome",
    incremental: true,
    attributes: { outcome }
  })

/**
 * `mcpdeploy_step_duration_seconds{step,outcome}` for each attempt, and `mcpdeploy_deploys{outcome}`, kept in `context`. No
 * label says whose deploy it was.
 */
export const stepMetrics = (context: Context<never>): StepMetrics => ({
  ended: (step, end) => {
    stepDuration(step, end.outcome).updateUnsafe(end.seconds, context)
    const outcome = deployOutcome(step, end)
    if (outcome !== undefined) deploys(outcome).updateUnsafe(1, context)
  }
})
