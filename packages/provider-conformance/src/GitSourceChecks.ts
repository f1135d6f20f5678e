/** What every GitSource promises. */
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { CommitSha, GitRef, type GitRepository } from "@mcpdeploy/core/domain/Source"
import { type GitSourceError, GitSource } from "@mcpdeploy/core/GitSource"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Check, check, interruptedAfter } from "./Check.ts"

/** What the suite needs to know of a Git host. */
export interface GitConformance {
  /** A repository with a branch `main` whose newest commit has a file `file` with this text, and nothing else. */
  readonly repository: (text: string) => Effect.Effect<
    {
      readonly repository: GitRepository
      readonly commit: CommitSha
      /** Makes a branch of this name, at `main`. */
      readonly branch: (name: string) => Effect.Effect<void>
    },
    never,
    Scope.Scope
  >
  /** One that is not there. */
  readonly missing: GitRepository
}

const tagOf = ({ reason }: GitSourceError): string => reason._tag
/** Git keeps a branch in a file of its name, so 255 bytes, `.lock` included. */
const longestBranch = "b".repeat(200)

/** As {@link contentOf} says it of a folder with nothing but `file`. */
const contentOfFile = (text: string): string =>
  `file ${createHash("sha256").update("file").update(text).digest("hex")}`

const contentOf = (folder: string) =>
  Effect.promise(async () => {
    const names = (await readdir(folder)).toSorted()
    const hash = createHash("sha256")
    for (const name of names) hash.update(name).update(await readFile(join(folder, name)))
    return `${names.join(" ")} ${hash.digest("hex")}`
  })

/** What every GitSource promises of refs, commits and checkouts. */
export const gitSourceChecks = (of: GitConformance): ReadonlyArray<Check<GitSource>> => [
  check(
    "a branch and the full sha name the same commit, and its checkout holds its files and no .git",
    (expect) =>
      Effect.gen(function* () {
        const git = yield* GitSource
        const { commit, repository } = yield* of.repository("hello")
        for (const ref of ["main", commit, "HEAD"])
          yield* expect.equal(
            yield* expect.succeeds(git.resolve(repository, GitRef.make(ref)), `resolve ${ref}`),
            commit,
            `the commit of ${ref}`
          )
        const { path } = yield* expect.succeeds(git.checkout(repository, commit), "checkout")
        yield* expect.equal(yield* Effect.promise(() => readdir(path)), ["file"], "the files")
      })
  ),
  check("the same checkout many times at once, and after an interruption, is the same files", (expect) =>
    Effect.gen(function* () {
      const git = yield* GitSource
      const text = "x".repeat(100_000)
      const { commit, repository } = yield* of.repository(text)
      const checkout = Effect.flatMap(git.checkout(repository, commit), ({ path }) => contentOf(path))
      yield* interruptedAfter(Effect.scoped(checkout), [1, 10, 40])
      const contents = yield* Effect.all(
        Array.from({ length: 8 }, () => expect.succeeds(Effect.scoped(checkout), "checkout")),
        { concurrency: 8 }
      )
      // Half of it, the same half for all, would be what an interruption left.
      yield* expect.equal([...new Set(contents)], [contentOfFile(text)], "what the checkouts hold")
    })
  ),
  check("what is not there is a typed error: repository, branch, commit", (expect) =>
    Effect.gen(function* () {
      const git = yield* GitSource
      const { repository } = yield* of.repository("hello")
      yield* expect.failsWith(
        git.resolve(of.missing, GitRef.make("main")),
        ["RepositoryNotFound", "CredentialsRequired"],
        tagOf,
        "resolve in no repository"
      )
      yield* expect.failsWith(
        git.resolve(repository, GitRef.make("unknown")),
        ["RefNotFound"],
        tagOf,
        "resolve of an unknown branch"
      )
      yield* expect.failsWith(
        Effect.scoped(git.checkout(repository, CommitSha.make("f".repeat(40)))),
        ["CommitNotFound"],
        tagOf,
        "checkout of an unknown commit"
      )
    })
  ),
  check("another commit is another checkout; the longest branch names work", (expect) =>
    Effect.gen(function* () {
      const git = yield* GitSource
      const [one, two] = [yield* of.repository("one"), yield* of.repository("two")]
      const contents = yield* Effect.forEach([one, two], ({ commit, repository }) =>
        Effect.flatMap(expect.succeeds(git.checkout(repository, commit), "checkout"), ({ path }) =>
          contentOf(path)
        )
      )
      yield* expect.that(contents[0] !== contents[1], "two commits have the same files")
      yield* one.branch(longestBranch)
      yield* expect.equal(
        yield* expect.succeeds(git.resolve(one.repository, GitRef.make(longestBranch)), "resolve"),
        one.commit,
        "the commit of the branch with the longest name"
      )
    })
  )
]
