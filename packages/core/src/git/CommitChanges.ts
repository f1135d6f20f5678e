/** What a commit says, and which paths differ from another: their trees are fetched, no file is. */
import * as Effect from "effect/Effect"
import type { CommitSha } from "../domain/Source.ts"
import { fetchTrees, type ObjectTarget } from "./FetchCommit.ts"
import { git } from "./GitCommand.ts"
import type { GitReason } from "./GitReason.ts"

/** What a commit says, and what it changes. */
export interface CommitChanges {
  readonly message: string
  /** Paths of files that differ, both names of a renamed one. Absent without a commit to compare with. */
  readonly paths?: ReadonlyArray<string>
}

/** The message of the target's commit, and what differs between `from` and it, whatever lies between them. */
export const commitChanges = Effect.fnUntraced(function* (
  target: ObjectTarget,
  from: CommitSha | undefined
): Effect.fn.Return<CommitChanges, GitReason> {
  const { commit, gitDir, settings } = target
  const base =
    from === undefined
      ? undefined
      : yield* fetchTrees(target, [from, commit]).pipe(
          Effect.as(from),
          // The host forgets a commit that no branch leads to any more.
          Effect.catchTag("CommitNotFound", () => Effect.undefined)
        )
  if (base === undefined) yield* fetchTrees(target, [commit])
  const lines: Array<string> = []
  yield* git({
    settings,
    gitDir,
    args: ["log", "--max-count=1", "--no-show-signature", "--format=%B", commit],
    onRecord: (line) => void lines.push(line)
  })
  const message = lines.join("\n").trim()
  if (base === undefined) return { message }
  const paths: Array<string> = []
  yield* git({
    settings,
    gitDir,
    args: ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", base, commit],
    separator: "\u0000",
    onRecord: (path) => void paths.push(path)
  })
  return { message, paths: paths.filter((path) => path !== "") }
})
