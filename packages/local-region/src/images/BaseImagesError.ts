/** What can keep the base images from being there, each with what to do. */
import * as Schema from "effect/Schema"

/** This machine lacks what the images are made with. Installing it helps; a retry does not. */
export class MachineLacks extends Schema.TaggedError<MachineLacks>()("MachineLacks", {
  what: Schema.String,
  advice: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.what} is missing: ${this.advice}`
  }
}

/** Making a layer failed: a package could not be fetched, or the recipe is wrong. What was made before is kept. */
export class LayerFailed extends Schema.TaggedError<LayerFailed>()("LayerFailed", {
  layer: Schema.String,
  /** The end of what its recipe printed. */
  output: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `making the layer ${this.layer} failed; run again to continue with the others kept:\n${this.output}`
  }
}

/** The folder that keeps the layers cannot be read, written or locked. */
export class CacheUnusable extends Schema.TaggedError<CacheUnusable>()("CacheUnusable", {
  folder: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the folder of layers ${this.folder} cannot be used (${this.detail}); free space, or remove it to start anew`
  }
}

/** The registry did not take an image. */
export class PushFailed extends Schema.TaggedError<PushFailed>()("PushFailed", {
  image: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the registry did not take ${this.image}: ${this.detail}`
  }
}

export const BaseImagesReason = Schema.Union([MachineLacks, LayerFailed, CacheUnusable, PushFailed])
export type BaseImagesReason = typeof BaseImagesReason.Type

export class BaseImagesError extends Schema.TaggedError<BaseImagesError>()("BaseImagesError", {
  reason: BaseImagesReason
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `base images: ${this.reason.message}`
  }
}
