/**
 * GitSource: a ref becomes a commit, a commit becomes a folder.
 *
 * A checkout is addressed by (repository, sha): asking again costs nothing, and any process may ask.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type GitRef, type GitRepository, CommitSha, RepositoryUrl } from "./domain/Source.ts"

/** The host does not answer, or answers with something else than git. A retry can help. */
export class HostUnreachable extends Schema.TaggedError<HostUnreachable>()("HostUnreachable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the git host cannot be reached: ${this.detail}`
  }
}

export class GitSourceError extends Schema.TaggedError<GitSourceError>()("GitSourceError", {
  operation: Schema.Literals(["resolve", "checkout"]),
  url: RepositoryUrl,
  reason: Schema.Union([HostUnreachable])
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `${this.operation} of ${this.url}: ${this.reason.message}`
  }
}

/** A commit's files on disk. Read only; it stays as long as the scope in which it was asked for. */
export class Checkout extends Schema.Class<Checkout>("mcpdeploy/core/Checkout")({
  commit: CommitSha,
  /** Absolute path of the repository's root at that commit. */
  path: Schema.String,
  /** Bytes of all files. */
  size: Schema.Int,
  files: Schema.Int
}) {}

export class GitSource extends Context.Service<
  GitSource,
  {
    /** The commit that a branch, tag or ref names now; a full sha is returned as it is, without asking the host. */
    readonly resolve: (repository: GitRepository, ref: GitRef) => Effect.Effect<CommitSha, GitSourceError>
    /** The files of a commit, fetched only when they are not there yet. */
    readonly checkout: (
      repository: GitRepository,
      commit: CommitSha
    ) => Effect.Effect<Checkout, GitSourceError, Scope.Scope>
  }
>()("mcpdeploy/core/GitSource") {}
