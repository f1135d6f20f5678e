/** What steps tell of themselves: metrics, which name no customer, and attributes of their spans, which do. docs/metrics.md lists them. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { DeployRequest } from "../domain/DeployRequest.ts"
import type { ImageDigest, ImageRef } from "../domain/Image.ts"

/** How an attempt of a step ended, as metrics say it. */
export type StepOutcome = "succeeded" | "failed" | "superseded" | "cancelled"

/** Seconds that an attempt of a step took. */
export const stepDuration = (step: string, outcome: StepOutcome) =>
  Metric.histogram("mcpdeploy_step_duration_seconds", {
    description: "Duration of a step",
    boundaries: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200],
    attributes: { step, outcome }
  })

const builds = (result: "reused" | "built") =>
  Metric.counter("mcpdeploy_builds", {
    description: "Images by whether they had to be built",
    incremental: true,
    attributes: { result }
  })

const vertices = (result: "cached" | "executed") =>
  Metric.counter("mcpdeploy_build_vertices", {
    description: "Instructions of builds by whether the build cache had them",
    incremental: true,
    attributes: { result }
  })

const buildResults = { reused: builds("reused"), built: builds("built") }
const vertexResults = { cached: vertices("cached"), completed: vertices("executed") }

/** Counts a build, or one that was not needed. */
export const countBuild = (reused: boolean): Effect.Effect<void> =>
  Metric.update(buildResults[reused ? "reused" : "built"], 1)

/** Counts an instruction of a build as a hit of the cache or a miss; other states are neither. */
export const countVertex = (state: "started" | "cached" | "completed" | "failed"): Effect.Effect<void> =>
  state === "cached" || state === "completed" ? Metric.update(vertexResults[state], 1) : Effect.void

/** What a step is about, as far as it is known where the step begins or ends. */
export interface StepSubject {
  readonly request?: DeployRequest
  readonly commit?: string
  readonly image?: ImageRef
  readonly digest?: ImageDigest
  readonly built?: { readonly digest: ImageDigest }
}

/** Says on the step's span which service, commit and digest it is about. */
export const annotateStep = ({ built, commit, digest, image, request }: StepSubject): Effect.Effect<void> => {
  const known = {
    "mcpdeploy.service": request?.target.key,
    "mcpdeploy.commit": commit ?? image?.commit,
    "mcpdeploy.image.digest": digest ?? built?.digest
  }
  return Effect.annotateCurrentSpan(
    Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined))
  )
}
