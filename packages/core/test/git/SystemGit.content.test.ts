/** Commits that are odd, by accident or by intent: what of them deploys, and what is refused, in which words. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import type { GitRepository } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { commitFiles, gitIn, gitServer, makeRepository } from "./GitServer.ts"
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
  const tree = (...entries: ReadonlyArray<readonly [mode: string, name: string | Buffer, object: string]>) =>
    write(
      "tree",
      Buffer.concat(
        entries.flatMap(([mode, name, object]) => [
          Buffer.from(`${mode} `),
          Buffer.from(name),
          Buffer.from(`00${object}`, "hex")
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
    folder,
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

  it.live.prop(
    "is checked out whatever its author line says",
    [Schema.String, Schema.String],
    ([before, behind]) =>
      Effect.gen(function* () {
        const { commit, git, repository, some } = yield* workshop
        const line = `${before} <${behind}`.replaceAll(/[\0\n]/g, "")
        const sha = commit(`tree ${some.tree}\nauthor ${line}\ncommitter ${line}\n\nodd\n`)
        yield* git.checkout(repository, sha)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 5 } }
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

/** Runs an effect under another umask. This process's other files get it, too, so nothing else runs meanwhile. */
const underUmask = <A, E, R>(umask: number, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => process.umask(umask)),
    () => effect,
    (before) => Effect.sync(() => void process.umask(before))
  )

/** Mode of every file and folder below a folder, by path. */
const modesIn = (folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
      const path = join(entry.parentPath, entry.name)
      return entry.isSymbolicLink()
        ? []
        : [[path.slice(folder.length + 1), (lstatSync(path).mode & 0o7777).toString(8)]]
    })
  )

/** Who may not read a folder of its own cannot fill it; root can. */
const anyUmask = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: process.getuid?.() === 0 ? 0o777 : 0o077 })
)
const gitModes = Schema.NonEmptyArray(Schema.Literals(["100644", "100755", "100664", "120000"]))

describe("a checkout's modes", () => {
  it.live.prop(
    "are those that git keeps, whatever the umask",
    [anyUmask, gitModes],
    ([umask, modes]) =>
      Effect.gen(function* () {
        const { commitOf, git, repository, some, tree } = yield* workshop
        const folder = tree(
          ...modes.map((mode, index) => [mode, `f${String(index).padStart(4, "0")}`, some.blob] as const)
        )
        const sha = commitOf(tree(["100644", "a", some.blob], ["40000", "d", tree(["40000", "e", folder])]))
        const { path } = yield* underUmask(umask, git.checkout(repository, sha))
        assert.deepStrictEqual(modesIn(path), {
          a: "644",
          d: "755",
          "d/e": "755",
          ...Object.fromEntries(
            modes.flatMap((mode, index) =>
              mode === "120000"
                ? []
                : [[`d/e/f${String(index).padStart(4, "0")}`, mode === "100755" ? "755" : "644"]]
            )
          )
        })
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 5 } }
  )

  it.live("are the same in submodules, and below a folder that hands its group down", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const repos = join(folder, "repos")
      makeRepository(join(repos, "sub.git"), { a: "1" })
      const script = gitIn(join(repos, "sub.git"), "rev-parse", "main:a")
      const sub = commitFiles(join(repos, "sub.git"), {}, "main", [`100755 ${script}\td/run.sh`])
      const server = yield* gitServer({ root: repos })
      makeRepository(join(repos, "app.git"), { "x/a": "1" })
      const gitmodules = '[submodule "sub"]\n\tpath = vendor/sub\n\turl = ../sub.git\n'
      const commit = commitFiles(join(repos, "app.git"), { ".gitmodules": gitmodules }, "main", [
        `160000 ${sub}\tvendor/sub`
      ])
      const cache = join(folder, "cache")
      mkdirSync(cache)
      execFileSync("chmod", ["2770", cache])
      const git = yield* makeGitSource({ cacheFolder: cache })
      const { path } = yield* underUmask(
        0o077,
        git.checkout(repositoryAt(`${server.url}/app.git`, { submodules: true }), CommitSha.make(commit))
      )
      assert.deepStrictEqual(modesIn(path), {
        ".gitmodules": "644",
        x: "755",
        "x/a": "644",
        vendor: "755",
        "vendor/sub": "755",
        "vendor/sub/a": "644",
        "vendor/sub/d": "755",
        "vendor/sub/d/run.sh": "755"
      })
    }).pipe(Effect.scoped)
  )

  it.live("are not taken from a checkout that a version before this one left in the cache", () =>
    Effect.gen(function* () {
      const { commitOf, folder, git, repository, some, tree } = yield* workshop
      const sha = commitOf(tree(["100644", "a", some.blob]))
      const key = createHash("sha256")
        .update(JSON.stringify([repository.url, undefined, undefined, false, false]))
        .digest("hex")
        .slice(0, 32)
      const old = join(folder, "cache", "checkouts", key, sha)
      mkdirSync(join(old, "files"), { recursive: true })
      writeFileSync(join(old, "files", "a"), "1", { mode: 0o600 })
      const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
      writeFileSync(join(old, "checkout.json"), JSON.stringify({ size: 1, files: 1, bootId }))
      const { path } = yield* git.checkout(repository, sha)
      assert.deepStrictEqual(modesIn(path), { a: "644" })
    }).pipe(Effect.scoped)
  )
})

describe("a name that is not UTF-8", () => {
  it.live("is no concern of a checkout, with LFS neither", () =>
    Effect.gen(function* () {
      const { commitOf, git, repository, tree, write } = yield* workshop
      const name = Buffer.from("caf\xe9", "latin1")
      const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 1\n`
      const sha = commitOf(
        tree(
          ["100644", ".gitattributes", write("blob", "* filter=lfs\n")],
          ["100755", name, write("blob", pointer)]
        )
      )
      const lfs = repositoryAt(repository.url, { lfs: true })
      const { path } = yield* underUmask(0o077, git.checkout(lfs, sha))
      assert.deepStrictEqual(readdirSync(path, "latin1").toSorted(), [".gitattributes", "caf\xe9"])
      assert.strictEqual(lstatSync(Buffer.concat([Buffer.from(`${path}/`), name])).mode & 0o7777, 0o755)
    }).pipe(Effect.scoped)
  )
})
