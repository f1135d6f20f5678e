/** What the API server says, in the words of core's contracts. */
import {
  ClusterApplierError,
  type ClusterApplierReason,
  ClusterUnreachable,
  UnexpectedAnswer,
  WriteConflict
} from "@mcpdeploy/core/ClusterApplier"
import type { Failure } from "./ApiFailure.ts"

const reasonOf = (failure: Failure): ClusterApplierReason => {
  switch (failure._tag) {
    case "Conflict":
    case "AlreadyExists":
      return new WriteConflict({ object: failure.object })
    case "NotFound":
      return new UnexpectedAnswer({ object: failure.object, detail: "it does not exist" })
    case "Expired":
      return new ClusterUnreachable({ detail: failure.message })
    default:
      return failure
  }
}

/** For `Effect.mapError`. `operation` is a verb: it is part of the message. */
export const failed =
  (operation: string, target: ClusterApplierError["target"]) =>
  (failure: Failure): ClusterApplierError =>
    new ClusterApplierError({ operation, target, reason: reasonOf(failure) })
