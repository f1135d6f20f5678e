/** Reads a commit's tree before it is written to disk, so that limits and submodules are known first. */
import * as Effect from "effect/Effect"
import { CommitSha } from "../domain/Source.ts"
import { git, type GitSettings } from "./GitCommand.ts"
import { CommitNotFound, GitFailed, type GitReason, RepositoryTooLarge, TooManyFiles } from "./GitReason.ts"

export interface CommitTree {
  /** Bytes of all files. */
  readonly size: number
  readonly files: number
  /** Submodules' commits, by path. */
  readonly submodules: ReadonlyMap<string, CommitSha>
}

export interface TreeLimits {
  readonly maxBytes: number
  readonly maxFiles: number
}

/** `<mode> <type> <object> <size or ->\t<path>` */
const entryPattern = /^([0-7]{6}) (blob|commit|tree) ([0-9a-f]{40}) +(-|\d+)\t/

/**
 * Reads the tree as a stream and stops at the first limit: a few kilobytes of nested trees can name billions of files.
 */
export const readTree = Effect.fnUntraced(function* (
  repository: { readonly settings: GitSettings; readonly gitDir: string },
  commit: CommitSha,
  limits: TreeLimits
): Effect.fn.Return<CommitTree, GitReason> {
  let size = 0
  let files = 0
  const submodules = new Map<string, CommitSha>()
  yield* git({
    ...repository,
    args: ["ls-tree", "-r", "-l", "-z", "--full-tree", `${commit}^{commit}`],
    separator: "\u0000",
    onRecord: (record) => {
      const entry = entryPattern.exec(record)
      if (entry === null) return new GitFailed({ detail: `git ls-tree wrote ${JSON.stringify(record)}` })
      const [head, , type, object = "", bytes = ""] = entry
      if (type === "commit") submodules.set(record.slice(head.length), CommitSha.make(object))
      files += 1
      size += bytes === "-" ? 0 : Number(bytes)
      if (files > limits.maxFiles) return new TooManyFiles({ limit: limits.maxFiles })
      return size > limits.maxBytes ? new RepositoryTooLarge({ limitBytes: limits.maxBytes }) : undefined
    },
    reasonOf: (stderr) =>
      /Not a valid object name|not a tree object/i.test(stderr) ? new CommitNotFound({ commit }) : undefined
  })
  return { size, files, submodules }
})
