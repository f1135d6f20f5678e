/** Why a build did not give an image: the reasons of an {@link file://./ImageBuilder.ts ImageBuilderError}. */
import * as Schema from "effect/Schema"

/** BuildKit does not answer, went away or restarted in mid-build. A retry can help. */
export class BuilderUnreachable extends Schema.TaggedError<BuilderUnreachable>()("BuilderUnreachable", {
  address: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `BuildKit at ${this.address} cannot be reached or went away: ${this.detail}`
  }
}

/** The configured address, or its certificates, cannot be used. */
export class BuilderAddressInvalid extends Schema.TaggedError<BuilderAddressInvalid>()(
  "BuilderAddressInvalid",
  { address: Schema.String, detail: Schema.String }
) {
  readonly retryable = false
  override get message(): string {
    return `the BuildKit address "${this.address}" cannot be used: ${this.detail}`
  }
}

/** The builder has no space left. A retry helps once it has collected its garbage. */
export class BuilderDiskFull extends Schema.TaggedError<BuilderDiskFull>()("BuilderDiskFull", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the builder's disk is full: prune its cache or give it more space (${this.detail})`
  }
}

/** There is no Dockerfile at that place. */
export class DockerfileNotFound extends Schema.TaggedError<DockerfileNotFound>()("DockerfileNotFound", {
  dockerfile: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    const where = this.dockerfile.startsWith("..") ? "beside" : "in"
    return `there is no ${this.dockerfile} ${where} the root directory: add one, or set "build.dockerfile" or "source.rootDirectory"`
  }
}

/** Part of a Dockerfile; lines count from 1, columns (where known) too. */
export const DockerfileLocation = Schema.Struct({
  file: Schema.String,
  line: Schema.Int,
  column: Schema.Int,
  endLine: Schema.Int,
  /** The lines themselves with two before and after, numbered, `>` before those that are meant. */
  excerpt: Schema.String
})
export type DockerfileLocation = typeof DockerfileLocation.Type

const at = (location: DockerfileLocation | undefined): string =>
  location === undefined ? "" : `${location.file}:${location.line}:${location.column}: `
const excerptOf = (location: DockerfileLocation | undefined): string =>
  location === undefined || location.excerpt === "" ? "" : `\n${location.excerpt}`

/** The Dockerfile does not parse, or says something that cannot be done. */
export class DockerfileInvalid extends Schema.TaggedError<DockerfileInvalid>()("DockerfileInvalid", {
  location: Schema.optionalKey(DockerfileLocation),
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}${this.detail}${excerptOf(this.location)}`
  }
}

/** COPY or ADD names a file that the context does not have (`.dockerignore` may exclude it). */
export class FileNotInContext extends Schema.TaggedError<FileNotInContext>()("FileNotInContext", {
  location: Schema.optionalKey(DockerfileLocation),
  path: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}"${this.path}" is not in the build context, or .dockerignore excludes it${excerptOf(this.location)}`
  }
}

/** No stage of that name. */
export class TargetNotFound extends Schema.TaggedError<TargetNotFound>()("TargetNotFound", {
  target: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the Dockerfile has no stage "${this.target}": correct "build.target"`
  }
}

/** The image after FROM (or COPY --from) does not exist, or its registry refuses it or does not answer. */
export class BaseImageUnavailable extends Schema.TaggedError<BaseImageUnavailable>()("BaseImageUnavailable", {
  location: Schema.optionalKey(DockerfileLocation),
  image: Schema.String,
  detail: Schema.String,
  /** Its registry did not answer, or answered with an error of its own. */
  transient: Schema.Boolean
}) {
  get retryable(): boolean {
    return this.transient
  }
  override get message(): string {
    return `${at(this.location)}the image ${this.image} cannot be had: ${this.detail}${excerptOf(this.location)}`
  }
}

/** The Dockerfile asks for something that belongs to someone else, or for a git repository. */
export class SourceForbidden extends Schema.TaggedError<SourceForbidden>()("SourceForbidden", {
  location: Schema.optionalKey(DockerfileLocation),
  source: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.source.startsWith("git://")
      ? `${at(this.location)}${this.source} must not be added: clone it in a RUN step, or make it a submodule of the repository`
      : `${at(this.location)}${this.source} must not be used: it belongs to another project, or to the platform itself`
  }
}

/** `RUN --mount=type=secret` asks for a secret that the request does not have. */
export class BuildSecretMissing extends Schema.TaggedError<BuildSecretMissing>()("BuildSecretMissing", {
  location: Schema.optionalKey(DockerfileLocation),
  id: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}the build secret "${this.id}" is not given: add it to "build.secrets"`
  }
}

/** A build argument that steers BuildKit itself. */
export class BuildArgReserved extends Schema.TaggedError<BuildArgReserved>()("BuildArgReserved", {
  name: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the build argument ${this.name} is reserved, because BUILDKIT_… steers the builder: remove it`
  }
}

const failedStep = {
  location: Schema.optionalKey(DockerfileLocation),
  /** The Dockerfile's instruction. */
  instruction: Schema.String,
  /** The last lines that it wrote, oldest first. */
  lastLines: Schema.Array(Schema.String)
}
const lines = (lastLines: ReadonlyArray<string>): string =>
  lastLines.length === 0 ? "" : `\n${lastLines.map((line) => `  ${line}`).join("\n")}`

/** An instruction's process ended with an error. */
export class BuildStepFailed extends Schema.TaggedError<BuildStepFailed>()("BuildStepFailed", {
  ...failedStep,
  exitCode: Schema.Int
}) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}"${this.instruction}" ended with exit code ${this.exitCode}${lines(this.lastLines)}`
  }
}

/** An instruction's process was killed (exit code 137), mostly because it needed too much memory. */
export class BuildStepKilled extends Schema.TaggedError<BuildStepKilled>()("BuildStepKilled", failedStep) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}"${this.instruction}" was killed, most likely because it needed more memory than the builder has${lines(this.lastLines)}`
  }
}

/** The build took longer than it may. It was cancelled. */
export class BuildTimedOut extends Schema.TaggedError<BuildTimedOut>()("BuildTimedOut", {
  timeoutSeconds: Schema.Int,
  lastLines: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return `the build took longer than ${this.timeoutSeconds} s and was cancelled: make it faster or set "build.timeoutSeconds"${lines(this.lastLines)}`
  }
}

/** The build was told to stop, but the builder does not say that it did: it may still run. */
export class CancelNotConfirmed extends Schema.TaggedError<CancelNotConfirmed>()("CancelNotConfirmed", {
  ref: Schema.String,
  waitedSeconds: Schema.Finite,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `build ${this.ref} was cancelled, but after ${this.waitedSeconds} s the builder has not said that it ended: ${this.detail}`
  }
}

/** The image was built, but the registry did not take it. */
export class ImagePushFailed extends Schema.TaggedError<ImagePushFailed>()("ImagePushFailed", {
  detail: Schema.String,
  /** The registry refused the builder's credentials; else it was down, slow or full, and a retry can help. */
  refused: Schema.Boolean
}) {
  get retryable(): boolean {
    return !this.refused
  }
  override get message(): string {
    return this.refused
      ? `the registry refused the image: check its credentials (${this.detail})`
      : `the image could not be pushed to the registry: ${this.detail}`
  }
}

/** A file of the context cannot be read. */
export class ContextUnreadable extends Schema.TaggedError<ContextUnreadable>()("ContextUnreadable", {
  path: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.path} cannot be read: ${this.detail}`
  }
}

/** The Dockerfile's path leads out of the repository, by a symlink or by "..". */
export class DockerfileEscapes extends Schema.TaggedError<DockerfileEscapes>()("DockerfileEscapes", {
  dockerfile: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the Dockerfile "${this.dockerfile}" leads out of the repository: use a file inside it`
  }
}

/** Something else. The text is the builder's. */
export class BuildFailed extends Schema.TaggedError<BuildFailed>()("BuildFailed", {
  location: Schema.optionalKey(DockerfileLocation),
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${at(this.location)}${this.detail}${excerptOf(this.location)}`
  }
}

/** Why a build did not give an image. */
export const BuildFailureReason = Schema.Union([
  BaseImageUnavailable,
  BuildArgReserved,
  BuildFailed,
  BuildSecretMissing,
  BuildStepFailed,
  BuildStepKilled,
  BuildTimedOut,
  BuilderAddressInvalid,
  BuilderDiskFull,
  BuilderUnreachable,
  CancelNotConfirmed,
  ContextUnreadable,
  DockerfileEscapes,
  DockerfileInvalid,
  DockerfileNotFound,
  FileNotInContext,
  ImagePushFailed,
  SourceForbidden,
  TargetNotFound
])
export type BuildFailureReason = typeof BuildFailureReason.Type
