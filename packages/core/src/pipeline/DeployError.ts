/** Every way in which a deploy can fail. */
import * as Schema from "effect/Schema"
import { ClusterApplierError } from "../ClusterApplier.ts"
import { ImageDigest } from "../domain/Image.ts"
import { RequestTooLarge } from "../domain/RequestSize.ts"
import { GitSourceError } from "../GitSource.ts"
import { ImageBuilderError } from "../ImageBuilder.ts"
import { RegistryError } from "../Registry.ts"
import { SecretUnavailable } from "../SecretStore.ts"

/** A running pod does not hold the image that was built from the commit. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  pod: Schema.String,
  expected: ImageDigest,
  running: ImageDigest
}) {
  readonly retryable = false
  override get message(): string {
    return `pod ${this.pod} runs ${this.running}, but the commit was built as ${this.expected}: something else changed the workload`
  }
}

/** No pod runs, though the service asks for some. */
export class NothingRuns extends Schema.TaggedError<NothingRuns>()("NothingRuns", {}) {
  readonly retryable = true
  override get message(): string {
    return "no pod of the service runs"
  }
}

/** A secret's value is none that a process can have as a variable. Says no value. */
export class SecretUnsuitable extends Schema.TaggedError<SecretUnsuitable>()("SecretUnsuitable", {
  variable: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `run.secrets.${this.variable}: ${this.detail}`
  }
}

/** There is no receipt to return to. */
export class NoSuchReceipt extends Schema.TaggedError<NoSuchReceipt>()("NoSuchReceipt", {
  wanted: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `there is no receipt of ${this.wanted} among the last ones: \`mcpdeploy history\` shows what can be returned to`
  }
}

/** Any error that a step of a deploy can end with. */
export const DeployError = Schema.Union([
  GitSourceError,
  ImageBuilderError,
  RegistryError,
  ClusterApplierError,
  SecretUnavailable,
  SecretUnsuitable,
  RequestTooLarge,
  DigestMismatch,
  NothingRuns,
  NoSuchReceipt
])
export type DeployError = typeof DeployError.Type
