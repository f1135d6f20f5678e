/**
 * The order of a deploy's steps, written once.
 *
 * Plain and deterministic, without I/O: a deploy is a value that names the next step, its input, and what comes after
 * success and after failure. An interpreter runs the step in whatever way it likes (a fiber, a Temporal activity) and
 * asks for the next node, until `Done`.
 *
 *     clone ─▶ build ─▶ push ─▶ deploy ─▶ verify ─▶ Deployed
 *                                  └─────────┴─ failed ─▶ restore ─▶ Failed
 */
import * as Schema from "effect/Schema"
import { Generation, type DeployRequest } from "../domain/DeployRequest.ts"
import { DeployStep } from "../domain/DeployEvent.ts"
import { Receipt, type StepTiming } from "../domain/Receipt.ts"
import { CommitSha } from "../domain/Source.ts"
import { DeployError } from "./DeployError.ts"
import type * as Steps from "./Steps.ts"

/** The commit runs, and the receipt proves it. */
export const Deployed = Schema.TaggedStruct("Deployed", { receipt: Receipt })
/** A newer push took this one's place. */
export const Superseded = Schema.TaggedStruct("Superseded", { by: Generation })
/** It failed; `restored` is the commit that runs again instead, where there is one. */
export const Failed = Schema.TaggedStruct("Failed", {
  step: DeployStep,
  error: DeployError,
  restored: Schema.optionalKey(CommitSha),
  /** Why the return to the last good deploy failed too. */
  restoreError: Schema.optionalKey(DeployError)
})
/** How a deploy ended. Every deploy ends in one of these. */
export const DeployOutcome = Schema.Union([Deployed, Superseded, Failed])
export type DeployOutcome = typeof DeployOutcome.Type

interface Node<Step extends DeployStep, Input, Output> {
  readonly step: Step
  readonly input: Input
  readonly succeeded: (output: Output, durationMs: number) => Deploy
  readonly failed: (error: DeployError) => Deploy
}

/** The next thing to do in a deploy. */
export type Deploy =
  | Node<"clone", Steps.CloneInput, Steps.CloneOutput>
  | Node<"build", Steps.BuildInput, Steps.BuildOutput>
  | Node<"push", Steps.PushInput, Steps.PushOutput>
  | Node<"deploy", Steps.RolloutInput, Steps.RolloutOutput>
  | Node<"verify", Steps.VerifyInput, Steps.VerifyOutput>
  | Node<"restore", Steps.RestoreInput, Steps.RestoreOutput>
  | { readonly step: "done"; readonly outcome: DeployOutcome }

const done = (outcome: DeployOutcome): Deploy => ({ step: "done", outcome })

/** A refusal by the generation fence is a verdict of its own, not a failure. */
const supersededBy = (error: DeployError): Generation | undefined =>
  error._tag === "ClusterApplierError" && error.reason._tag === "SupersededByNewer"
    ? error.reason.newer
    : undefined

const fail =
  (step: DeployStep) =>
  (error: DeployError): Deploy => {
    const by = supersededBy(error)
    return done(by === undefined ? Failed.make({ step, error }) : Superseded.make({ by }))
  }

const failAndRestore =
  (step: DeployStep, request: DeployRequest) =>
  (error: DeployError): Deploy =>
    supersededBy(error) === undefined
      ? {
          step: "restore",
          input: { request },
          succeeded: ({ restored }) =>
            done(Failed.make({ step, error, ...(restored === undefined ? {} : { restored }) })),
          failed: (restoreError) => {
            const by = supersededBy(restoreError)
            return done(
              by === undefined ? Failed.make({ step, error, restoreError }) : Superseded.make({ by })
            )
          }
        }
      : fail(step)(error)

/** The first node of a request's deploy. */
export const deploy = (request: DeployRequest): Deploy => {
  const clone: Deploy = {
    step: "clone",
    input: { request },
    failed: fail("clone"),
    succeeded: ({ commit }, durationMs) => build(commit, [{ step: "clone", durationMs }])
  }
  const build = (commit: CommitSha, before: ReadonlyArray<StepTiming>): Deploy => ({
    step: "build",
    input: { request, commit },
    failed: fail("build"),
    succeeded: (built, durationMs) => push(commit, built, [...before, { step: "build", durationMs }])
  })
  const push = (commit: CommitSha, built: Steps.BuildOutput, before: ReadonlyArray<StepTiming>): Deploy => ({
    step: "push",
    input: { image: built.image, digest: built.digest },
    failed: fail("push"),
    succeeded: (_, durationMs) => rollout(commit, built, [...before, { step: "push", durationMs }])
  })
  const rollout = (
    commit: CommitSha,
    built: Steps.BuildOutput,
    before: ReadonlyArray<StepTiming>
  ): Deploy => ({
    step: "deploy",
    input: { request, image: built.image, digest: built.digest },
    failed: failAndRestore("deploy", request),
    succeeded: (rolledOut, durationMs) =>
      verify(commit, built, rolledOut, [...before, { step: "deploy", durationMs }])
  })
  const verify = (
    commit: CommitSha,
    built: Steps.BuildOutput,
    rolledOut: Steps.RolloutOutput,
    before: ReadonlyArray<StepTiming>
  ): Deploy => ({
    step: "verify",
    input: { request, commit, built, rollout: rolledOut, timings: before },
    failed: failAndRestore("verify", request),
    succeeded: ({ receipt }) => done(Deployed.make({ receipt }))
  })
  return clone
}
