/**
 * ImageBuilder: a folder with a Dockerfile becomes an image in the registry, pushed by digest.
 *
 * The stream ends with {@link Built}. Interrupting it cancels the build, and returns when the build is seen gone.
 */
import * as Context from "effect/Context"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { BuildFailureReason } from "./BuildFailure.ts"
import type { UserId } from "./domain/Identity.ts"
import { ImageDigest, type ImageRef, type PlatformImage } from "./domain/Image.ts"
import type { DockerfilePath } from "./domain/Source.ts"

/** Why an image was not built. */
export class ImageBuilderError extends Schema.TaggedError<ImageBuilderError>()("ImageBuilderError", {
  image: Schema.String,
  reason: BuildFailureReason
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `building ${this.image}: ${this.reason.message}`
  }
}

/** What is built, for whom, and under which name it is pushed. */
export interface BuildRequest {
  /** Whose build it is: builders are shared fairly between tenants. */
  readonly tenant: UserId
  /** Names the result: repository and, for the cache, the tenant's own service. */
  readonly image: ImageRef | PlatformImage
  /** Absolute path of the folder that is the build's context: the checkout's root directory. */
  readonly context: string
  /** Relative to the context. */
  readonly dockerfile: DockerfilePath
  /** Absolute path of the folder that the Dockerfile must not leave: the checkout. The context when absent. */
  readonly repository?: string
  readonly target?: string
  readonly args: Readonly<Record<string, string>>
  /** Mounted byte for byte, by id. */
  readonly secrets: Readonly<Record<string, Redacted.Redacted<Uint8Array>>>
  /** Equal for equal inputs: a repeated call finds the finished build by it. */
  readonly buildKey: string
  /** false: build again even when a finished build with this key is known, because its image is gone. */
  readonly acceptFinished: boolean
  /** Seconds from when a builder is free for it. */
  readonly timeoutSeconds: number
}

/** An instruction begins, is taken from the cache, ends, or fails. */
export const BuildVertex = Schema.TaggedStruct("BuildVertex", {
  id: Schema.String,
  name: Schema.String,
  state: Schema.Literals(["started", "cached", "completed", "failed"])
})
/** How far the whole build is, by the instructions known so far; and what is transferred. */
export const BuildProgress = Schema.TaggedStruct("BuildProgress", {
  message: Schema.String,
  fraction: Schema.optionalKey(Schema.Finite)
})
/** One whole line that an instruction wrote. */
export const BuildLog = Schema.TaggedStruct("BuildLog", {
  vertex: Schema.String,
  stream: Schema.Literals(["stdout", "stderr"]),
  line: Schema.String
})
/** The last event: the image is in the registry under this digest. */
export const Built = Schema.TaggedStruct("Built", {
  digest: ImageDigest,
  /** The digest is that of an earlier, finished build with the same key. */
  reused: Schema.Boolean
})
export type Built = typeof Built.Type
/** What happens in a build; the last one is `Built`. */
export const BuildEvent = Schema.Union([BuildVertex, BuildProgress, BuildLog, Built])
export type BuildEvent = typeof BuildEvent.Type

/** A folder with a Dockerfile becomes an image, pushed by digest. */
export class ImageBuilder extends Context.Service<
  ImageBuilder,
  { readonly build: (request: BuildRequest) => Stream.Stream<BuildEvent, ImageBuilderError> }
>()("mcpdeploy/core/ImageBuilder") {}
