/** How a deploy ends: {@link DeployOutcome} is what is stored and shown. */
import * as Schema from "effect/Schema"
import { DeployStep } from "../domain/DeployEvent.ts"
import { Generation } from "../domain/DeployRequest.ts"
import { Receipt } from "../domain/Receipt.ts"
import { CommitSha } from "../domain/Source.ts"
import { DeployError } from "./DeployError.ts"

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
