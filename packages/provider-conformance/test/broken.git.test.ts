/** The checks of GitSource tested themselves: each implementation that breaks one promise is refused by its check. */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { CommitSha, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import {
  Checkout,
  CommitNotFound,
  type GitReason,
  GitSource,
  GitSourceError,
  RefNotFound,
  RepositoryNotFound
} from "@mcpdeploy/core/GitSource"
import { gitSourceChecks } from "@mcpdeploy/provider-conformance/GitSourceChecks"
import * as Effect from "effect/Effect"
import { brokenOf } from "./support/BrokenOf.ts"

interface Faults {
  readonly leavesGitFolder?: true
  readonly keepsHalfACheckout?: true
  readonly diesOfUnknownRefs?: true
  readonly mixesCommitsUp?: true
  readonly cutsBranchNames?: true
}

interface Stored {
  readonly text: string
  readonly commit: CommitSha
  readonly refs: Set<string>
}

/** Repositories in memory, whose checkouts are folders. */
const memory = (faults: Faults, folder: string, repositories: ReadonlyMap<string, Stored>) => {
  const failed = (operation: "resolve" | "checkout", { url }: GitRepository, reason: GitReason) =>
    new GitSourceError({ operation, url, reason })
  const checkout = Effect.fnUntraced(function* (repository: GitRepository, commit: CommitSha) {
    const stored = repositories.get(repository.url)
    if (stored?.commit !== commit)
      return yield* failed("checkout", repository, new CommitNotFound({ commit }))
    const { text } = stored
    const path = join(folder, faults.mixesCommitsUp === true ? "checkout" : commit)
    if (!existsSync(path)) {
      if (faults.keepsHalfACheckout === true) {
        mkdirSync(path)
        writeFileSync(join(path, "file"), text.slice(0, text.length / 2))
        yield* Effect.sleep("20 millis")
      }
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, "file"), text)
      if (faults.leavesGitFolder === true) mkdirSync(join(path, ".git"))
    }
    return new Checkout({ commit, path, size: text.length, files: 1 })
  })
  return GitSource.of({
    resolve: (repository, ref) =>
      Effect.suspend(() => {
        const stored = repositories.get(repository.url)
        if (stored === undefined) return Effect.fail(failed("resolve", repository, new RepositoryNotFound()))
        const isKnown =
          String(ref) === stored.commit ||
          (stored.refs.has(ref) && !(faults.cutsBranchNames === true && ref.length > 100))
        if (isKnown) return Effect.succeed(stored.commit)
        return faults.diesOfUnknownRefs === true
          ? Effect.die("no such ref")
          : Effect.fail(failed("resolve", repository, new RefNotFound({ ref })))
      }),
    branches: () => Effect.succeed(new Map()),
    changes: () => Effect.succeed({ message: "" }),
    checkout
  })
}

let count = 0
const repositoryOf = () => new GitRepository({ url: RepositoryUrl.make(`https://git.example/o/r${++count}`) })

const broken = (faults: Faults) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-broken-"))),
    (folder) => {
      const repositories = new Map<string, Stored>()
      const checks = gitSourceChecks({
        repository: (text) =>
          Effect.sync(() => {
            const repository = repositoryOf()
            const commit = CommitSha.make(
              createHash("sha1").update(repository.url).update(text).digest("hex")
            )
            const refs = new Set(["main", "HEAD"])
            repositories.set(repository.url, { text, commit, refs })
            return { repository, commit, branch: (name) => Effect.sync(() => void refs.add(name)) }
          }),
        missing: repositoryOf()
      })
      const git = memory(faults, folder, repositories)
      return brokenOf(checks, (effect) => Effect.provideService(effect, GitSource, git))
    },
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

describe("the checks of GitSource", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken({}), [])
    })
  )
  for (const [fault, promise] of [
    [
      "leavesGitFolder",
      "a branch and the full sha name the same commit, and its checkout holds its files and no .git"
    ],
    [
      "keepsHalfACheckout",
      "the same checkout many times at once, and after an interruption, is the same files"
    ],
    ["diesOfUnknownRefs", "what is not there is a typed error: repository, branch, commit"],
    ["mixesCommitsUp", "another commit is another checkout; the longest branch names work"],
    ["cutsBranchNames", "another commit is another checkout; the longest branch names work"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* broken({ [fault]: true }), promise)
      })
    )
})
