/**
 * The order of a deploy's steps, written once.
 *
 * Plain and deterministic, without I/O and without a dependency at run time: a deploy is a value that names the next
 * step, its input, and what comes after success and after failure. An interpreter runs the step in whatever way it likes
 * (a fiber, a Temporal activity) and asks for the next node, until `done`.
 *
 *     clone ─▶ build ─▶ push ─▶ deploy ─▶ verify ─▶ Deployed
 *                                  └─────────┴─ failed ─▶ restore ─▶ Failed
 *
 * It looks into none of the values that it hands on, so it is written for any {@link Values}: the decoded ones in this
 * process, their JSON in a workflow.
 */
import type { DeployRequest, Generation } from "../domain/DeployRequest.ts"
import type { DeployStep } from "../domain/DeployEvent.ts"
import type { ImageDigest, ImageRef } from "../domain/Image.ts"
import type { Receipt, StepTiming } from "../domain/Receipt.ts"
import type { CommitSha } from "../domain/Source.ts"
import type { DeployError } from "./DeployError.ts"
import type * as Steps from "./Steps.ts"

/** The types of what a deploy hands from step to step. */
export interface Values {
  readonly request: unknown
  readonly commit: unknown
  readonly image: unknown
  readonly digest: unknown
  readonly built: unknown
  readonly rolledOut: unknown
  readonly receipt: unknown
  readonly generation: unknown
  readonly error: unknown
}

/** The values as core's services take them. */
export interface Decoded {
  readonly request: DeployRequest
  readonly commit: CommitSha
  readonly image: ImageRef
  readonly digest: ImageDigest
  readonly built: Steps.BuildOutput
  readonly rolledOut: Steps.RolloutOutput
  readonly receipt: Receipt
  readonly generation: Generation
  readonly error: DeployError
}

/** How a deploy ended; of {@link Decoded} values it is core's `DeployOutcome`. */
export type Outcome<V extends Values> =
  | { readonly _tag: "Deployed"; readonly receipt: V["receipt"] }
  | { readonly _tag: "Superseded"; readonly by: V["generation"] }
  | {
      readonly _tag: "Failed"
      readonly step: DeployStep
      readonly error: V["error"]
      readonly restored?: V["commit"]
      readonly restoreError?: V["error"]
    }

interface Node<V extends Values, Step extends DeployStep, Input, Output> {
  readonly step: Step
  readonly input: Input
  readonly succeeded: (output: Output, durationMs: number) => Deploy<V>
  readonly failed: (error: V["error"]) => Deploy<V>
}

type Built<V extends Values> = V["built"] & { readonly image: V["image"]; readonly digest: V["digest"] }

/** The next thing to do in a deploy. */
export type Deploy<V extends Values = Decoded> =
  | Node<V, "clone", { readonly request: V["request"] }, { readonly commit: V["commit"] }>
  | Node<V, "build", { readonly request: V["request"]; readonly commit: V["commit"] }, Built<V>>
  | Node<
      V,
      "push",
      { readonly image: V["image"]; readonly digest: V["digest"] },
      { readonly changed: boolean }
    >
  | Node<
      V,
      "deploy",
      { readonly request: V["request"]; readonly image: V["image"]; readonly digest: V["digest"] },
      V["rolledOut"]
    >
  | Node<
      V,
      "verify",
      {
        readonly request: V["request"]
        readonly commit: V["commit"]
        readonly built: V["built"]
        readonly rollout: V["rolledOut"]
        readonly timings: ReadonlyArray<StepTiming>
      },
      { readonly receipt: V["receipt"] }
    >
  | Node<V, "restore", { readonly request: V["request"] }, { readonly restored?: V["commit"] }>
  | { readonly step: "done"; readonly outcome: Outcome<V> }

/**
 * The generation of the newer deploy, where `error` is the fence's refusal: that is a verdict of its own, not a failure.
 * For a typed error and for what it encodes to.
 */
export const supersededBy = <G>(error: {
  readonly _tag: string
  readonly reason?: { readonly _tag: string; readonly newer?: G }
}): G | undefined =>
  error._tag === "ClusterApplierError" && error.reason?._tag === "SupersededByNewer"
    ? error.reason.newer
    : undefined

/** The first node of a request's deploy, for any values; `fencedBy` is {@link supersededBy} of such an error. */
export const order = <V extends Values>(
  request: V["request"],
  fencedBy: (error: V["error"]) => V["generation"] | undefined
): Deploy<V> => {
  const done = (outcome: Outcome<V>): Deploy<V> => ({ step: "done", outcome })

  const fail =
    (step: DeployStep) =>
    (error: V["error"]): Deploy<V> => {
      const by = fencedBy(error)
      return done(by === undefined ? { _tag: "Failed", step, error } : { _tag: "Superseded", by })
    }

  const failAndRestore =
    (step: DeployStep) =>
    (error: V["error"]): Deploy<V> =>
      fencedBy(error) === undefined
        ? {
            step: "restore",
            input: { request },
            succeeded: ({ restored }) =>
              done({ _tag: "Failed", step, error, ...(restored === undefined ? {} : { restored }) }),
            failed: (restoreError) => {
              const by = fencedBy(restoreError)
              return done(
                by === undefined ? { _tag: "Failed", step, error, restoreError } : { _tag: "Superseded", by }
              )
            }
          }
        : fail(step)(error)

  const build = (commit: V["commit"], before: ReadonlyArray<StepTiming>): Deploy<V> => ({
    step: "build",
    input: { request, commit },
    failed: fail("build"),
    succeeded: (built, durationMs) => push(commit, built, [...before, { step: "build", durationMs }])
  })
  const push = (commit: V["commit"], built: Built<V>, before: ReadonlyArray<StepTiming>): Deploy<V> => ({
    step: "push",
    input: { image: built.image, digest: built.digest },
    failed: fail("push"),
    succeeded: (_, durationMs) => rollout(commit, built, [...before, { step: "push", durationMs }])
  })
  const rollout = (commit: V["commit"], built: Built<V>, before: ReadonlyArray<StepTiming>): Deploy<V> => ({
    step: "deploy",
    input: { request, image: built.image, digest: built.digest },
    failed: failAndRestore("deploy"),
    succeeded: (rolledOut, durationMs) =>
      verify(commit, built, rolledOut, [...before, { step: "deploy", durationMs }])
  })
  const verify = (
    commit: V["commit"],
    built: Built<V>,
    rolledOut: V["rolledOut"],
    before: ReadonlyArray<StepTiming>
  ): Deploy<V> => ({
    step: "verify",
    input: { request, commit, built, rollout: rolledOut, timings: before },
    failed: failAndRestore("verify"),
    succeeded: ({ receipt }) => done({ _tag: "Deployed", receipt })
  })
  return {
    step: "clone",
    input: { request },
    failed: fail("clone"),
    succeeded: ({ commit }, durationMs) => build(commit, [{ step: "clone", durationMs }])
  }
}

/** The first node of a request's deploy. */
export const deploy = (request: DeployRequest): Deploy => order<Decoded>(request, supersededBy)
