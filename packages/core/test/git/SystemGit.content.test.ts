/** Commits that are odd, by accident or by intent: what of them deploys, and what is refused, in which words. */
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import type { GitRepository } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { gitIn, makeRepository } from "./GitServer.ts"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

/** A repository, and means to write objects to it that git itself would not. */
const workshop = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const path = join(folder, "app.git")
  makeRepository(path, { a: "1" })
  const write = (type: "blob" | "commit" | "tree", content: string | Buffer): string =>
    execFileSync("git", ["-C", path, "hash-object", "-t", type, "-w", "--literally", "--stdin"], {
      input: content,
      encoding: "utf8"
    }).trim()
  const tree = (...entries: ReadonlyArray<readonly [mode: string, name: string, object: string]>) =>
    write(
      "tree",
      Buffer.concat(
        entries.flatMap(([mode, name, object]) => [
          Buffer.from(`${mode} ${name}\0`),
          Buffer.from(object, "hex")
        ])
      )
    )
  const commit = (content: string | Buffer) => {
    const name = CommitSha.make(write("commit", content))
    gitIn(path, "update-ref", `refs/heads/${name}`, name)
    return name
  }
  const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), allowFile: true })
  const repository: GitRepository = repositoryAt(`file://${path}`)
  return {
    git,
    repository,
    write,
    tree,
    commit,
    some: { blob: gitIn(path, "rev-parse", "main:a"), tree: gitIn(path, "rev-parse", "main^{tree}") },
    commitOf: (root: string) => commit(`tree ${root}\nauthor ${ann}\ncommitter ${ann}\n\nodd\n`)
  }
})
const absent = CommitSha.make("f".repeat(40))
const ann = "Ann <ann@example.com> 1767323045 +0000"

describe("an untidy commit", () => {
  it.live("of another tool is checked out like any other", () =>
    Effect.gen(function* () {
      const { commit, commitOf, git, repository, some, tree, write } = yield* workshop
      const heads = {
        "no name": "author <ann@example.com> 1 +0000",
        "no space before the email": "author Ann<ann@example.com> 1 +0000",
        "no email": "author Ann 1 +0000",
        "an email in an email": "author Ann <ann <ann@example.com> 1 +0000",
        "a > in the name": "author A>nn <ann@example.com> 1 +0000",
        "no space before the date": "author Ann <ann@example.com>1 +0000",
        "no date": "author Ann <ann@example.com> never +0000",
        "a date with zeros before it": "author Ann <ann@example.com> 0001 +0000",
        "a date of another age": "author Ann <ann@example.com> 99999999999999999999999 +0000",
        "no such time zone": "author Ann <ann@example.com> 1 +000000",
        "no time zone": "author Ann <ann@example.com> 1",
        "two authors": `author ${ann}\nauthor ${ann}`
      }
      const attributes = write("blob", `${"vendor/".repeat(400)} linguist-vendored\n`)
      const commits: Readonly<Record<string, CommitSha>> = {
        ...Object.fromEntries(
          Object.entries(heads).map(([name, head]) => [
            name,
            commit(`tree ${some.tree}\n${head}\n${head.replaceAll(/^author/gm, "committer")}\n\nodd\n`)
          ])
        ),
        "no author": commit(`tree ${some.tree}\ncommitter ${ann}\n\nodd\n`),
        "no committer": commit(`tree ${some.tree}\nauthor ${ann}\n\nodd\n`),
        "nobody at all": commit(`tree ${some.tree}\n\nodd\n`),
        "modes with zeros before them": commitOf(
          tree(["0100644", "a", some.blob], ["040000", "b", some.tree])
        ),
        "modes of an old git": commitOf(tree(["100664", "a", some.blob])),
        "a line of attributes that is too long": commitOf(
          tree(["100644", ".gitattributes", attributes], ["100644", "a", some.blob])
        ),
        "attributes that are a link": commitOf(
          tree(["120000", ".gitattributes", some.blob], ["100644", "a", some.blob])
        ),
        "attributes that are a folder": commitOf(
          tree(["40000", ".gitattributes", some.tree], ["100644", "a", some.blob])
        )
      }
      for (const [name, sha] of Object.entries(commits)) {
        const exit = yield* Effect.exit(git.checkout(repository, sha))
        assert(Exit.isSuccess(exit), `${name}: ${String(exit)}`)
        const { path } = exit.value
        assert.include(readdirSync(path), "a", name)
      }
      for (const name of ["no name", "nobody at all"]) {
        const { message } = yield* git.changes(repository, undefined, commits[name] ?? absent)
        assert.strictEqual(message, "odd", name)
      }
    }).pipe(Effect.scoped)
  )

  it.effect.prop(
    "is checked out whatever its author line says",
    [Schema.String, Schema.String],
    ([before, behind]) =>
      Effect.gen(function* () {
        const { commit, git, repository, some } = yield* workshop
        const line = `${before} <${behind}`.replaceAll(/[\0\n]/g, "")
        const sha = commit(`tree ${some.tree}\nauthor ${line}\ncommitter ${line}\n\nodd\n`)
        yield* git.checkout(repository, sha)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 10 } }
  )
})

describe("a commit that can do harm", () => {
  it.live("is refused by the name of what was found, without git's progress", () =>
    Effect.gen(function* () {
      const { commit, commitOf, git, repository, some, tree, write } = yield* workshop
      const modules = (text: string) => commitOf(tree(["100644", ".gitmodules", write("blob", text)]))
      const module = (name: string, key: string, value: string) =>
        `[submodule ${JSON.stringify(name)}]\n\tpath = sub\n\t${key} = ${JSON.stringify(value)}\n`
      const commits: Readonly<Record<string, CommitSha>> = {
        hasDotgit: commitOf(tree(["40000", ".git", some.tree])),
        hasDotdot: commitOf(tree(["40000", "..", some.tree])),
        hasDot: commitOf(tree(["40000", ".", some.tree])),
        fullPathname: commitOf(tree(["100644", "a/b", some.blob])),
        duplicateEntries: commitOf(tree(["120000", "a", some.blob], ["40000", "a", some.tree])),
        treeNotSorted: commitOf(
          tree(["120000", "a", some.blob], ["100644", "0", some.blob], ["40000", "a", some.tree])
        ),
        gitmodulesSymlink: commitOf(tree(["120000", ".gitmodules", some.blob])),
        gitmodulesName: modules(module("../x", "url", "https://example.com/x")),
        gitmodulesUrl: modules(module("x", "url", "--upload-pack=touch /tmp/x")),
        gitmodulesUpdate: modules(module("x", "update", "!touch /tmp/x")),
        nulInCommit: commit(`tree ${some.tree}\nauthor ${ann}\ncommitter ${ann}\n\no\0dd\n`),
        nulInHeader: commit(`tree ${some.tree}\nauthor A\0nn ${ann}\ncommitter ${ann}\n\nodd\n`)
      }
      for (const [finding, sha] of Object.entries(commits)) {
        const { message, reason } = yield* Effect.flip(git.checkout(repository, sha))
        assert.strictEqual(reason._tag, "RepositoryCorrupt", `${finding}: ${message}`)
        assert.include(message, `git refuses what the host sent: ${finding}: `)
        assert.match(message, /\(object [0-9a-f]{40}\)/)
        assert.notMatch(message, /remote:|objects:|\d+%|index-pack/, finding)
      }
    }).pipe(Effect.scoped)
  )
})
