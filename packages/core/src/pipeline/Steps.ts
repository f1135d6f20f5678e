/** What each step of a deploy is given and gives back. All of it can be stored as JSON, so that a step can run anywhere. */
import * as Schema from "effect/Schema"
import { Applied } from "../ClusterApplier.ts"
import { DeployRequest } from "../domain/DeployRequest.ts"
import { ImageDigest, ImageRef } from "../domain/Image.ts"
import { PodEvidence, Receipt, StepTiming } from "../domain/Receipt.ts"
import { CommitSha } from "../domain/Source.ts"

/** What clone is given. */
export const CloneInput = Schema.Struct({ request: DeployRequest })
export type CloneInput = typeof CloneInput.Type
/** What clone has found. */
export const CloneOutput = Schema.Struct({ commit: CommitSha })
export type CloneOutput = typeof CloneOutput.Type

/** What build is given. */
export const BuildInput = Schema.Struct({ request: DeployRequest, commit: CommitSha })
export type BuildInput = typeof BuildInput.Type
/** What build has made. */
export const BuildOutput = Schema.Struct({
  image: ImageRef,
  digest: ImageDigest,
  buildKey: Schema.String,
  /** Nothing was built: the registry already holds the image of the same inputs. */
  reused: Schema.Boolean
})
export type BuildOutput = typeof BuildOutput.Type

/** What push is given. */
export const PushInput = Schema.Struct({ image: ImageRef, digest: ImageDigest })
export type PushInput = typeof PushInput.Type
/** Whether push had to set the tag. */
export const PushOutput = Schema.Struct({ changed: Schema.Boolean })
export type PushOutput = typeof PushOutput.Type

/** What deploy is given. */
export const RolloutInput = Schema.Struct({ request: DeployRequest, image: ImageRef, digest: ImageDigest })
export type RolloutInput = typeof RolloutInput.Type
/** What deploy has written, and the pods that run it. */
export const RolloutOutput = Schema.Struct({ applied: Applied, pods: Schema.Array(PodEvidence) })
export type RolloutOutput = typeof RolloutOutput.Type

/** What verify is given: all that came before. */
export const VerifyInput = Schema.Struct({
  request: DeployRequest,
  commit: CommitSha,
  built: BuildOutput,
  rollout: RolloutOutput,
  timings: Schema.Array(StepTiming)
})
export type VerifyInput = typeof VerifyInput.Type
/** What verify has proven. */
export const VerifyOutput = Schema.Struct({ receipt: Receipt })
export type VerifyOutput = typeof VerifyOutput.Type

/** What restore is given: the request that failed. */
export const RestoreInput = Schema.Struct({ request: DeployRequest })
export type RestoreInput = typeof RestoreInput.Type
/** The commit that runs again; absent where no deploy had succeeded before. */
export const RestoreOutput = Schema.Struct({ restored: Schema.optionalKey(CommitSha) })
export type RestoreOutput = typeof RestoreOutput.Type
