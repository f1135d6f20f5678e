/**
 * For services written with Effect (needs `effect` and `@mcpdeploy/core`): the typed errors of core, to and from what
 * travels. Everything else here is decoded with core's own Schemas.
 */
import { DomainError } from "@mcpdeploy/core/DomainManager"
import { DeployError } from "@mcpdeploy/core/pipeline/DeployError"
import { RemovalUnfinished } from "@mcpdeploy/core/pipeline/Removal"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { EncodedError, Failure } from "./failure.ts"

/** The step's worker was lost, or it took too long, again and again. */
export class StepLost extends Schema.TaggedError<StepLost>()("StepLost", { detail: Schema.String }) {
  readonly retryable = true
  override get message(): string {
    return `the worker was lost or took too long: ${this.detail}`
  }
}

/** Something broke in a way that has no type. */
export class Unexpected extends Schema.TaggedError<Unexpected>()("Unexpected", { detail: Schema.String }) {
  readonly retryable = false
  override get message(): string {
    return `it broke unexpectedly: ${this.detail}`
  }
}

/** The input is not of this contract. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the input is not of this contract: ${this.detail}`
  }
}

/** Someone cancelled it. */
export class Cancelled extends Schema.TaggedError<Cancelled>()("Cancelled", {}) {
  readonly retryable = false
  override get message(): string {
    return "it was cancelled"
  }
}

/** Every typed error that can cross between the planes. */
export const PlaneError = Schema.Union([
  ...DeployError.members,
  ...DomainError.members,
  RemovalUnfinished,
  StepLost,
  Unexpected,
  InvalidInput,
  Cancelled
])
export type PlaneError = typeof PlaneError.Type

const EncodedErrorSchema = Schema.StructWithRest(
  Schema.Struct({
    _tag: Schema.String,
    reason: Schema.optionalKey(
      Schema.StructWithRest(Schema.Struct({ _tag: Schema.String }), [
        Schema.Record(Schema.String, Schema.Unknown)
      ])
    )
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const encode = Schema.encodeEffect(PlaneError)
const asEncodedError = Schema.decodeUnknownEffect(EncodedErrorSchema)

/** A typed error as it travels. An error that cannot be encoded is a defect. */
export const encodeFailure = (error: PlaneError): Effect.Effect<Failure> =>
  encode(error).pipe(
    Effect.flatMap((encoded) => asEncodedError(encoded)),
    Effect.map((encoded: EncodedError) => ({
      error: encoded,
      message: error.message,
      retryable: error.retryable
    })),
    Effect.orDie
  )

/** The same typed error again. An error of a newer contract, that is not known here, is {@link Unexpected}. */
export const decodeFailure = (failure: Failure): Effect.Effect<PlaneError> =>
  Schema.decodeUnknownEffect(PlaneError)(failure.error).pipe(
    Effect.orElseSucceed(() => new Unexpected({ detail: failure.message }))
  )
