/** Failures inside of workflows: never a stuck workflow task, always a typed end. */
import { contractVersion } from "@mcpdeploy/temporal-contract/contract"
import {
  type Failure,
  failureOf,
  toApplicationFailure,
  transportFailure
} from "@mcpdeploy/temporal-contract/failure"
import { ApplicationFailure, isCancellation } from "@temporalio/workflow"

/** Ends the workflow with a failure that the client decodes again. */
export const failWith = (failure: Failure): ApplicationFailure =>
  ApplicationFailure.create({ ...toApplicationFailure(failure), nonRetryable: true })

/** The typed failure of an activity or a child. A cancellation is not one: it goes on up. */
export const failureOrCancelled = (error: unknown): Failure => {
  if (isCancellation(error)) throw error
  return failureOf(error)
}

/** Refuses what a newer contract sent, or what is no input at all. Its fields are decoded by the first activity. */
export const checkInput = (
  input: { readonly version: number } | undefined,
  parts: ReadonlyArray<unknown>
) => {
  const detail =
    typeof input?.version !== "number"
      ? "it has no version"
      : input.version > contractVersion
        ? `it has version ${input.version}, this deployer-worker knows ${contractVersion}: update the deployer-worker first`
        : parts.some((part) => typeof part !== "object" || part === null)
          ? "a part of it is missing"
          : undefined
  if (detail !== undefined) {
    throw failWith(
      transportFailure("InvalidInput", `the input is not of this contract: ${detail}`, { detail })
    )
  }
}
