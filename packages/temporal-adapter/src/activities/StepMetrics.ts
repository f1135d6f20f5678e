/** What the activities count: how long each step takes, and how deploys end. */
import type { MetricMeter } from "@temporalio/common"

export type StepOutcome = "succeeded" | "failed" | "superseded" | "cancelled"

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

/**
 * `mcpdeploy_step_duration_seconds{step,outcome}` for each attempt, and `mcpdeploy_deploys{outcome}`. No label says whose
 * deploy it was.
 */
export const stepMetrics = (meter: MetricMeter): StepMetrics => {
  const duration = meter.createHistogram(
    "mcpdeploy_step_duration_seconds",
    "float",
    "s",
    "Duration of a step"
  )
  const deploys = meter.createCounter("mcpdeploy_deploys", undefined, "Deploys by outcome")
  return {
    ended: (step, end) => {
      duration.record(end.seconds, { step, outcome: end.outcome })
      const outcome = deployOutcome(step, end)
      if (outcome !== undefined) deploys.add(1, { outcome })
    }
  }
}
