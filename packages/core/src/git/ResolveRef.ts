/** Resolves a ref to the commit that it names now, by `git ls-remote`. */
import * as Effect from "effect/Effect"
import type { CommitSha, GitRef } from "../domain/Source.ts"
import { git, type GitSettings } from "./GitCommand.ts"
import { type GitReason, RefNotFound } from "./GitReason.ts"

/** Whether a ref is a full sha, which names itself. */
export const isCommitSha = (ref: string): ref is CommitSha => /^[0-9a-f]{40}$/.test(ref)

/** Full names that a ref may mean, best first. `^{}` is the commit of an annotated tag. */
const candidates = (ref: GitRef): ReadonlyArray<string> => {
  const names =
    ref === "HEAD" || ref.startsWith("refs/")
      ? [ref]
      : [`refs/heads/${ref}`, `refs/tags/${ref}`, `refs/${ref}`]
  return names.flatMap((name) => [`${name}^{}`, name])
}

/** Which refs the host is asked for: all of them only where the name may be anything. */
const kinds = (ref: GitRef): ReadonlyArray<string> => {
  if (ref === "HEAD" || ref.startsWith("refs/heads/")) return ref === "HEAD" ? [] : ["--heads"]
  return ref.startsWith("refs/tags/") ? ["--tags"] : []
}

export const resolveRef = Effect.fnUntraced(function* (
  settings: GitSettings,
  ref: GitRef
): Effect.fn.Return<CommitSha, GitReason> {
  const wanted = candidates(ref)
  const found = new Map<string, CommitSha>()
  let nothingThere = true
  yield* git({
    settings,
    args: ["ls-remote", "--quiet", ...kinds(ref), "--end-of-options", settings.url.href],
    onRecord: (record) => {
      const [sha = "", name = ""] = record.split("\t")
      nothingThere &&= !isCommitSha(sha)
      if (wanted.includes(name) && isCommitSha(sha)) found.set(name, sha)
      return undefined
    }
  })
  const name = wanted.find((candidate) => found.has(candidate))
  const sha = name === undefined ? undefined : found.get(name)
  return sha ?? (yield* new RefNotFound({ ref, ...(nothingThere ? { nothingThere } : {}) }))
})

/** The commits of all branches, by full name, and of `HEAD`. */
export const listBranches = Effect.fnUntraced(function* (
  settings: GitSettings
): Effect.fn.Return<ReadonlyMap<string, CommitSha>, GitReason> {
  const found = new Map<string, CommitSha>()
  yield* git({
    settings,
    args: ["ls-remote", "--quiet", "--end-of-options", settings.url.href, "HEAD", "refs/heads/*"],
    onRecord: (record) => {
      const [sha = "", name = ""] = record.split("\t")
      if (isCommitSha(sha)) found.set(name, sha)
      return undefined
    }
  })
  return found
})
