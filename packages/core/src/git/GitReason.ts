/** The reasons why GitSource fails. Each says what to do, and whether a retry can help. */
import * as Schema from "effect/Schema"
import { CommitSha, RepositoryPath } from "../domain/Source.ts"
import { SecretUnavailable } from "../SecretStore.ts"

/** The host's name does not resolve, it does not answer, resets, or is busy. A retry can help. */
export class HostUnreachable extends Schema.TaggedError<HostUnreachable>()("HostUnreachable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the git host cannot be reached: ${this.detail}`
  }
}

/** The host's TLS certificate is not trusted. */
export class CertificateNotTrusted extends Schema.TaggedError<CertificateNotTrusted>()(
  "CertificateNotTrusted",
  {
    detail: Schema.String
  }
) {
  readonly retryable = false
  override get message(): string {
    return `the git host's certificate is not trusted (${this.detail}): renew it, or name its authority with caFile`
  }
}

/** The URL's host is, or resolves to, an address that is not public. */
export class HostNotAllowed extends Schema.TaggedError<HostNotAllowed>()("HostNotAllowed", {
  host: Schema.String,
  address: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.host} is at ${this.address}, which is not a public address: add it to privateHosts if repositories may come from there`
  }
}

/** The URL's scheme is switched off. */
export class TransportNotAllowed extends Schema.TaggedError<TransportNotAllowed>()("TransportNotAllowed", {
  protocol: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.protocol} URLs are not allowed here: use https`
  }
}

/** No repository answers at the URL. */
export class RepositoryNotFound extends Schema.TaggedError<RepositoryNotFound>()("RepositoryNotFound", {}) {
  readonly retryable = false
  override get message(): string {
    return "there is no such repository, or it is private: check the URL, and give credentials for a private one"
  }
}

/** The host redirects the URL. Redirects are not followed: they could lead to a host that must not be asked. */
export class RepositoryMoved extends Schema.TaggedError<RepositoryMoved>()("RepositoryMoved", {}) {
  readonly retryable = false
  override get message(): string {
    return "the host redirects to another address: use the repository's present URL"
  }
}

/** The repository has no such branch, tag or ref. */
export class RefNotFound extends Schema.TaggedError<RefNotFound>()("RefNotFound", {
  ref: Schema.String,
  /** The host named no ref at all. */
  nothingThere: Schema.optionalKey(Schema.Boolean)
}) {
  readonly retryable = false
  override get message(): string {
    if (this.nothingThere === true)
      return `there is no branch or tag "${this.ref}", nor any other: push a commit, or check the URL`
    return /^[0-9a-f]{7,39}$/.test(this.ref)
      ? `there is no branch or tag "${this.ref}"; if it is a short commit name, give all 40 digits`
      : `there is no branch or tag "${this.ref}"`
  }
}

/** The repository does not have that commit, or gives it to nobody. */
export class CommitNotFound extends Schema.TaggedError<CommitNotFound>()("CommitNotFound", {
  commit: CommitSha
}) {
  readonly retryable = false
  override get message(): string {
    return `there is no commit ${this.commit}: push it first, or check whether it was removed by a force push`
  }
}

/** The host asks for credentials, and none were given. */
export class CredentialsRequired extends Schema.TaggedError<CredentialsRequired>()(
  "CredentialsRequired",
  {}
) {
  readonly retryable = false
  override get message(): string {
    return "the host asks for credentials: give them by reference, or check the URL (some hosts ask for them when there is no such repository)"
  }
}

/** The host does not take the credentials. */
export class CredentialsRefused extends Schema.TaggedError<CredentialsRefused>()("CredentialsRefused", {}) {
  readonly retryable = false
  override get message(): string {
    return "the host refused the credentials: check that they are valid and may read this repository"
  }
}

/** The download or the files exceed the limit. Nothing of it is kept. */
export class RepositoryTooLarge extends Schema.TaggedError<RepositoryTooLarge>()("RepositoryTooLarge", {
  limitBytes: Schema.Int
}) {
  readonly retryable = false
  override get message(): string {
    return `the commit has more than ${this.limitBytes} bytes: make it smaller, or raise maxBytes`
  }
}

/** The commit has more files than a checkout may have. */
export class TooManyFiles extends Schema.TaggedError<TooManyFiles>()("TooManyFiles", { limit: Schema.Int }) {
  readonly retryable = false
  override get message(): string {
    return `the commit has more than ${this.limit} files: remove generated files from it, or raise maxFiles`
  }
}

/** git did not end within the time that it is given. */
export class GitTimedOut extends Schema.TaggedError<GitTimedOut>()("GitTimedOut", {
  seconds: Schema.Finite
}) {
  readonly retryable = true
  override get message(): string {
    return `not finished after ${this.seconds} seconds: the host or the network is slow, or the repository too large`
  }
}

/** The cache's disk is full, also after everything that is not in use was removed from the cache. */
export class DiskFull extends Schema.TaggedError<DiskFull>()("DiskFull", { folder: Schema.String }) {
  readonly retryable = false
  override get message(): string {
    return `the disk that holds ${this.folder} is full: free some space, or lower maxCacheBytes`
  }
}

/** The root directory of a service is not in the commit, or is not what it has to be. */
export class RootDirectoryUnusable extends Schema.TaggedError<RootDirectoryUnusable>()(
  "RootDirectoryUnusable",
  {
    path: RepositoryPath,
    problem: Schema.Literals(["missing", "outside", "not a folder"])
  }
) {
  readonly retryable = false
  override get message(): string {
    switch (this.problem) {
      case "missing":
        return `the commit has no folder "${this.path}": set the root directory to one that it has`
      case "outside":
        return `"${this.path}" is a symbolic link that leads out of the repository: use a folder of the repository`
      case "not a folder":
        return `"${this.path}" is not a folder: set the root directory to the folder that holds the Dockerfile`
    }
  }
}

/** A submodule points where it must not. */
export class SubmoduleRefused extends Schema.TaggedError<SubmoduleRefused>()("SubmoduleRefused", {
  path: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the submodule ${JSON.stringify(this.path)} is refused: ${this.detail}`
  }
}

/** A Git LFS object cannot be had, or its server points where it must not. */
export class LfsRefused extends Schema.TaggedError<LfsRefused>()("LfsRefused", { detail: Schema.String }) {
  readonly retryable = false
  override get message(): string {
    return `Git LFS: ${this.detail}`
  }
}

/** What the host sent is damaged, or made to do harm. */
export class RepositoryCorrupt extends Schema.TaggedError<RepositoryCorrupt>()("RepositoryCorrupt", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `git refuses what the host sent: ${this.detail}`
  }
}

/** A program that is needed is not on this machine. */
export class ToolMissing extends Schema.TaggedError<ToolMissing>()("ToolMissing", {
  tool: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.tool} is needed: ${this.detail}`
  }
}

/** Anything else that git or the file system says. */
export class GitFailed extends Schema.TaggedError<GitFailed>()("GitFailed", { detail: Schema.String }) {
  readonly retryable = false
  override get message(): string {
    return this.detail
  }
}

/** Why a ref could not be resolved or a commit could not be had, as one of many causes. */
export const GitReason = Schema.Union([
  HostUnreachable,
  CertificateNotTrusted,
  HostNotAllowed,
  TransportNotAllowed,
  RepositoryNotFound,
  RepositoryMoved,
  RefNotFound,
  CommitNotFound,
  CredentialsRequired,
  CredentialsRefused,
  SecretUnavailable,
  RepositoryTooLarge,
  TooManyFiles,
  GitTimedOut,
  DiskFull,
  RootDirectoryUnusable,
  SubmoduleRefused,
  LfsRefused,
  RepositoryCorrupt,
  ToolMissing,
  GitFailed
])
export type GitReason = typeof GitReason.Type
