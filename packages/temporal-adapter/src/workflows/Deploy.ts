/** `deploy`: core's one orchestration, each step an activity. */
import { type Deploy, order, supersededBy } from "@mcpdeploy/core/pipeline/Orchestration"
import {
  type Activities,
  type DeployInput,
  type DeployOutcome,
  type Progress,
  queries
} from "@mcpdeploy/temporal-contract/contract"
import type {
  BuildOutput,
  DeployRequest,
  ImageRef,
  Receipt,
  RolloutOutput,
  StepTiming
} from "@mcpdeploy/temporal-contract/data"
import type { EncodedError, Failure } from "@mcpdeploy/temporal-contract/failure"
import { defineQuery, proxyActivities, setHandler } from "@temporalio/workflow"
import { checkInput, failureOrCancelled } from "./Failures.ts"
import { stepOptions } from "./StepOptions.ts"

/** The orchestration's values as JSON. */
interface Wire {
  readonly request: DeployRequest
  readonly commit: string
  readonly image: ImageRef
  readonly digest: string
  readonly built: BuildOutput
  readonly rolledOut: RolloutOutput
  readonly receipt: Receipt
  readonly generation: number
  readonly error: Failure
}

const newerIn = ({ reason, _tag }: EncodedError): number | undefined => {
  const newer = reason?.["newer"]
  return supersededBy({
    _tag,
    ...(reason === undefined
      ? {}
      : { reason: { _tag: reason._tag, ...(typeof newer === "number" ? { newer } : {}) } })
  })
}

export async function deploy(input: DeployInput): Promise<DeployOutcome> {
  checkInput(input, [input?.request, input?.request?.build, input?.request?.run])
  const { request } = input
  const finished: Array<StepTiming> = []
  let progress: Progress = {
    generation: request.generation,
    step: "clone",
    since: new Date().toISOString(),
    finished
  }
  setHandler(defineQuery<Progress>(queries.progress), () => progress)

  const activities = (name: keyof Activities) => proxyActivities<Activities>(stepOptions(name, request))

  const run = async <Output>(
    node: {
      readonly step: StepTiming["step"]
      readonly succeeded: (output: Output, durationMs: number) => Deploy<Wire>
      readonly failed: (failure: Failure) => Deploy<Wire>
    },
    step: () => Promise<Output>
  ): Promise<Deploy<Wire>> => {
    const startedAt = Date.now()
    progress = { ...progress, step: node.step, since: new Date(startedAt).toISOString() }
    try {
      const output = await step()
      const durationMs = Date.now() - startedAt
      finished.push({ step: node.step, durationMs })
      return node.succeeded(output, durationMs)
    } catch (error) {
      return node.failed(failureOrCancelled(error))
    }
  }

  const next = (node: Exclude<Deploy<Wire>, { readonly step: "done" }>): Promise<Deploy<Wire>> => {
    switch (node.step) {
      case "clone":
        return run(node, () => activities("clone").clone(node.input))
      case "build":
        return run(node, () => activities("build").build(node.input))
      case "push":
        return run(node, () => activities("push").push(node.input))
      case "deploy":
        return run(node, () => activities("deploy").deploy(node.input))
      case "verify":
        return run(node, () => activities("verify").verify(node.input))
      case "restore":
        return run(node, () => activities("restore").restore(node.input))
    }
  }

  let node = order<Wire>(request, ({ error }) => newerIn(error))
  while (node.step !== "done") node = await next(node)
  const { outcome } = node
  const verdict: DeployOutcome =
    outcome._tag === "Failed"
      ? {
          _tag: "Failed",
          step: outcome.step,
          failure: outcome.error,
          ...(outcome.restored === undefined ? {} : { restored: outcome.restored }),
          ...(outcome.restoreError === undefined ? {} : { restoreFailure: outcome.restoreError })
        }
      : outcome
  progress = { ...progress, step: "done", since: new Date().toISOString(), outcome: verdict }
  return verdict
}
