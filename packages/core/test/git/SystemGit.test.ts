import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { CommitSha, GitRef, RepositoryPath } from "@mcpdeploy/core/domain/Source"
import { resolveInside } from "@mcpdeploy/core/GitSource"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { commitFiles, gitIn, gitServer, makeRepository } from "./GitServer.ts"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

const ref = (text: string) => GitRef.make(text)
const sha = (text: string) => CommitSha.make(text)

describe("resolve", () => {
  it.live("names the commit of HEAD, branches, tags and full refs, and no other", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      const { commit: first } = makeRepository(path, { a: "1" })
      gitIn(path, "tag", "light", first)
      gitIn(path, "tag", "-a", "-m", "release", "annotated", first)
      const second = commitFiles(path, { a: "2" })
      const feature = commitFiles(path, { b: "3" }, "feature/x")
      gitIn(path, "update-ref", "refs/pull/7/head", feature)
      gitIn(path, "tag", "feature/x", first)
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const repository = repositoryAt(`${server.url}/app.git`)
      const resolved = yield* Effect.forEach(
        [
          "HEAD",
          "main",
          "light",
          "annotated",
          "feature/x",
          "refs/heads/main",
          "refs/tags/feature/x",
          "refs/tags/annotated",
          "refs/pull/7/head",
          "pull/7/head"
        ],
        (name) => git.resolve(repository, ref(name))
      )
      assert.deepStrictEqual(resolved.map(String), [
        second,
        second,
        first,
        first,
        feature,
        second,
        first,
        first,
        feature,
        feature
      ])
      const missing = yield* Effect.flip(git.resolve(repository, ref("x")))
      assert.strictEqual(missing.reason._tag, "RefNotFound")
      const short = yield* Effect.flip(git.resolve(repository, ref(first.slice(0, 10))))
      assert.include(short.message, "give all 40 digits")
    })
  )

  it.live("names the commits of all branches and HEAD in one call", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      const { commit } = makeRepository(path, { a: "1" })
      const feature = commitFiles(path, { b: "2" }, "feature/x")
      gitIn(path, "tag", "-a", "-m", "release", "v1", commit)
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      assert.deepStrictEqual(
        new Map(yield* git.branches(repositoryAt(`${server.url}/app.git`))),
        new Map([
          ["HEAD", sha(commit)],
          ["refs/heads/feature/x", sha(feature)],
          ["refs/heads/main", sha(commit)]
        ])
      )
    })
  )

  it.live(
    "names what a commit says and changes, from trees alone, as far as the host knows the other one",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const path = join(folder, "repos", "app.git")
        const { commit: first } = makeRepository(path, { "a b/é": "1", kept: "1" })
        const second = commitFiles(path, { "a b/é": "2", kept: "1" })
        const third = commitFiles(path, { kept: "1", "c/d": "3" })
        gitIn(path, "config", "uploadpack.allowFilter", "true")
        const server = yield* gitServer({ root: join(folder, "repos") })
        const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
        const repository = repositoryAt(`${server.url}/app.git`)
        const message = gitIn(path, "log", "-1", "--format=%B", third).trim()
        assert.deepStrictEqual(yield* git.changes(repository, sha(first), sha(third)), {
          message,
          paths: ["a b/é", "c/d"]
        })
        assert.deepStrictEqual((yield* git.changes(repository, sha(second), sha(second))).paths, [])
        assert.deepStrictEqual(yield* git.changes(repository, undefined, sha(third)), { message })
        assert.deepStrictEqual(yield* git.changes(repository, sha("f".repeat(40)), sha(third)), { message })
        const error = yield* Effect.flip(git.changes(repository, undefined, sha("f".repeat(40))))
        assert.strictEqual(error.reason._tag, "CommitNotFound")
      })
  )

  it.live("returns a full sha without asking the host", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const name = "0123456789abcdef0123456789abcdef01234567"
      assert.strictEqual(String(yield* git.resolve(repositoryAt("http://127.0.0.1:1/none"), ref(name))), name)
    })
  )
})

describe("checkout", () => {
  it.live("holds the files of the commit, with modes and links, and no .git", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      const { commit } = makeRepository(path, { "src/main.js": "hello", "run.sh": "#!/bin/sh\n" })
      const server = yield* gitServer({ root: join(folder, "repos") })
      symlinkSync("src/main.js", join(`${path}.work`, "link"))
      const linked = commitFiles(path, {})
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const repository = repositoryAt(`${server.url}/app.git`)
      const checkout = yield* git.checkout(repository, sha(linked))
      assert.deepStrictEqual(readdirSync(checkout.path).toSorted(), ["link", "run.sh", "src"])
      assert.strictEqual(readFileSync(join(checkout.path, "src/main.js"), "utf8"), "hello")
      assert.strictEqual(readlinkSync(join(checkout.path, "link")), "src/main.js")
      assert.strictEqual(checkout.files, 3)
      assert.strictEqual(checkout.size, "hello".length + "#!/bin/sh\n".length + "src/main.js".length)
      const old = yield* git.checkout(repository, sha(commit))
      assert.isFalse(existsSync(join(old.path, "link")))

      const asked = server.requests.length
      const again = yield* git.checkout(repository, sha(linked))
      assert.deepStrictEqual(again, checkout)
      assert.strictEqual(server.requests.length, asked, "the second checkout asks nobody")
      assert.isTrue(lstatSync(join(checkout.path, "link")).isSymbolicLink())
    })
  )

  it.live("of one commit asked for by many fibers is fetched once", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit } = makeRepository(join(folder, "repos", "app.git"), { a: "1" })
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const repository = repositoryAt(`${server.url}/app.git`)
      const checkouts = yield* Effect.all(
        Array.from({ length: 12 }, () => git.checkout(repository, sha(commit))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(checkouts.map(({ path }) => path)).size, 1)
      const posts = server.requests.filter((request) => request.startsWith("POST"))
      assert.isAtMost(posts.length, 2, posts.join("\n"))
    })
  )

  it.live("finds a commit that is no tip on a host which gives none by its name", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      const { commit } = makeRepository(path, { a: "1" })
      const tip = commitFiles(path, { a: "2" })
      const server = yield* gitServer({ root: join(folder, "repos"), oldProtocol: true })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const repository = repositoryAt(`${server.url}/app.git`)
      const old = yield* git.checkout(repository, sha(commit))
      assert.strictEqual(readFileSync(join(old.path, "a"), "utf8"), "1")
      const newest = yield* git.checkout(repository, sha(tip))
      assert.strictEqual(readFileSync(join(newest.path, "a"), "utf8"), "2")
      const missing = yield* Effect.flip(git.checkout(repository, sha("f".repeat(40))))
      assert.strictEqual(missing.reason._tag, "CommitNotFound")
    })
  )

  it.live("works from a file URL where that is switched on, and is refused where it is not", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "app.git")
      const { commit } = makeRepository(path, { a: "1" })
      const repository = repositoryAt(`file://${path}`)
      const strict = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      for (const failure of [
        yield* Effect.flip(strict.resolve(repository, ref("main"))),
        yield* Effect.flip(strict.checkout(repository, sha(commit)))
      ])
        assert.strictEqual(failure.reason._tag, "TransportNotAllowed")
      const local = yield* makeGitSource({ cacheFolder: join(folder, "cache"), allowFile: true })
      assert.strictEqual(String(yield* local.resolve(repository, ref("main"))), commit)
      const checkout = yield* local.checkout(repository, sha(commit))
      assert.strictEqual(readFileSync(join(checkout.path, "a"), "utf8"), "1")
      const none = yield* Effect.flip(local.resolve(repositoryAt(`file://${folder}/none`), ref("main")))
      assert.strictEqual(none.reason._tag, "RepositoryNotFound")
    })
  )
})

describe("resolveInside", () => {
  it.live("finds folders of the checkout and refuses links that leave it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "app.git")
      makeRepository(path, { "apps/web/Dockerfile": "FROM scratch", file: "" })
      const link = (name: string, to: string) => symlinkSync(to, join(`${path}.work`, name))
      link("inside", "apps/web")
      link("outside", "../../../../..")
      link("absolute", "/etc")
      const commit = commitFiles(path, {})
      const repository = repositoryAt(`file://${path}`)
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), allowFile: true })
      const checkout = yield* git.checkout(repository, sha(commit))
      const find = (root: string) => resolveInside(repository, checkout, RepositoryPath.make(root))
      assert.strictEqual(yield* find("."), checkout.path)
      assert.strictEqual(yield* find("apps/web"), join(checkout.path, "apps/web"))
      assert.strictEqual(yield* find("inside"), join(checkout.path, "apps/web"))
      for (const [root, problem] of [
        ["outside", "outside"],
        ["absolute", "outside"],
        ["absolute/ssl", "outside"],
        ["none", "missing"],
        ["file", "not a folder"]
      ] as const) {
        const { reason } = yield* Effect.flip(find(root))
        assert.deepInclude(reason, { _tag: "RootDirectoryUnusable", problem })
      }
    })
  )
})
