/**
 * GitSource: a ref becomes a commit, a commit becomes a folder.
 *
 * A checkout is addressed by (repository, sha): asking again costs nothing, and any process may ask.
 */
import { realpath, stat } from "node:fs/promises"
import { join, sep } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import {
  type GitRef,
  type GitRepository,
  CommitSha,
  type RepositoryPath,
  RepositoryUrl
} from "./domain/Source.ts"
import type { CommitChanges } from "./git/CommitChanges.ts"
import { GitReason, RootDirectoryUnusable } from "./git/GitReason.ts"

export type { CommitChanges } from "./git/CommitChanges.ts"
export * from "./git/GitReason.ts"

/** Why a ref could not be resolved or a commit could not be had. */
export class GitSourceError extends Schema.TaggedError<GitSourceError>()("GitSourceError", {
  operation: Schema.Literals(["resolve", "compare", "checkout"]),
  url: RepositoryUrl,
  reason: GitReason
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
  /** Absolute path of the repository's root at that commit. It holds the commit's files and no `.git`. */
  path: Schema.String,
  /** Bytes of all files. */
  size: Schema.Int,
  files: Schema.Int
}) {}

/** A ref becomes a commit, and a commit a folder: where sources come from. */
export class GitSource extends Context.Service<
  GitSource,
  {
    /**
     * The commit that a branch, tag or ref names now; a full sha is returned as it is, without asking the host. A
     * branch goes before a tag of the same name.
     */
    readonly resolve: (repository: GitRepository, ref: GitRef) => Effect.Effect<CommitSha, GitSourceError>
    /** The commits that all branches name now, by full name (`refs/heads/…`), and `HEAD`: one question to the host. */
    readonly branches: (
      repository: GitRepository
    ) => Effect.Effect<ReadonlyMap<string, CommitSha>, GitSourceError>
    /** What a commit says, and the paths in which it differs from `from`, where the host still has that one. */
    readonly changes: (
      repository: GitRepository,
      from: CommitSha | undefined,
      commit: CommitSha
    ) => Effect.Effect<CommitChanges, GitSourceError>
    /** The files of a commit, fetched only when they are not there yet. */
    readonly checkout: (
      repository: GitRepository,
      commit: CommitSha
    ) => Effect.Effect<Checkout, GitSourceError, Scope.Scope>
  }
>()("mcpdeploy/core/GitSource") {}

/**
 * Absolute, real path of a folder of a checkout: the build's context. Symbolic links are followed as long as they stay
 * inside the checkout.
 */
export const resolveInside = Effect.fn("resolveInside")(
  function* (_repository: GitRepository, checkout: Checkout, path: RepositoryPath) {
    const real = (file: string) =>
      Effect.tryPromise({
        try: () => realpath(file),
        catch: () => new RootDirectoryUnusable({ path, problem: "missing" })
      })
    const root = yield* real(checkout.path)
    const folder = yield* real(join(root, path))
    if (folder !== root && !folder.startsWith(`${root}${sep}`))
      return yield* new RootDirectoryUnusable({ path, problem: "outside" })
    const isFolder = yield* Effect.promise(() =>
      stat(folder).then(
        (info) => info.isDirectory(),
        () => false
      )
    )
    return isFolder ? folder : yield* new RootDirectoryUnusable({ path, problem: "not a folder" })
  },
  (effect, { url }) =>
    Effect.mapError(effect, (reason) => new GitSourceError({ operation: "checkout", url, reason }))
)
