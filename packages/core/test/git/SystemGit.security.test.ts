/** What GitSource must not do, whatever a URL, a ref, a repository or a host says. */
import { execFileSync } from "node:child_process"
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { CommitSha, GitRef, RepositoryPath, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { checkHost, isPublicAddress } from "../../src/git/HostPolicy.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { commitFiles, gitIn, gitServer, makeRepository } from "./GitServer.ts"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

const sha = (text: string) => CommitSha.make(text)
const main = GitRef.make("main")
const canary = "canary-7f3a91c0d2"
const username = "ann"
const encoded = Buffer.from(`${username}:${canary}`).toString("base64")

const argumentsOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\u0000", " ")
  } catch {
    // It has ended meanwhile.
    return ""
  }
}

/** The arguments of every process of the machine, again and again, until interrupted. */
const sampleArguments = (seen: Set<string>) =>
  Effect.gen(function* () {
    for (;;) {
      for (const name of readdirSync("/proc")) if (/^\d+$/.test(name)) seen.add(argumentsOf(name))
      yield* Effect.sleep("1 millis")
    }
  })

const contains = (folder: string, text: string): ReadonlyArray<string> => {
  try {
    return execFileSync("grep", ["-rlaF", "-e", text, folder], { encoding: "utf8" }).trim().split("\n")
  } catch {
    return []
  }
}

describe("credentials", () => {
  it.live("open a private repository, and appear in no argument, file, log or error", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit } = makeRepository(join(folder, "repos", "app.git"), { a: "1" })
      const server = yield* gitServer({
        root: join(folder, "repos"),
        credentials: { username, password: canary }
      })
      const logged: Array<unknown> = []
      const cache = join(folder, "cache")
      const seen = new Set<string>()
      const sampler = yield* Effect.forkChild(sampleArguments(seen))
      yield* Effect.gen(function* () {
        const git = yield* makeGitSource(
          { cacheFolder: cache },
          { TOKEN: canary, OTHER: "wrong-secret-5521" }
        )
        const url = `${server.url}/app.git`
        const good = repositoryAt(url, { token: "env:TOKEN", username })
        assert.strictEqual(String(yield* git.resolve(good, main)), commit)
        yield* git.checkout(good, sha(commit))
        for (const [repository, tag] of [
          [repositoryAt(url), "CredentialsRequired"],
          [repositoryAt(url, { token: "env:OTHER", username }), "CredentialsRefused"],
          [repositoryAt(url, { token: "env:NONE", username }), "SecretUnavailable"]
        ] as const) {
          const resolved = yield* Effect.flip(git.resolve(repository, main))
          assert.strictEqual(resolved.reason._tag, tag, resolved.message)
          // The commit is in the cache: who may not read it does not get it from there either.
          const checkedOut = yield* Effect.flip(git.checkout(repository, sha(commit)))
          assert.strictEqual(checkedOut.reason._tag, tag)
          logged.push(JSON.stringify(checkedOut), String(checkedOut.stack), checkedOut.message)
        }
      }).pipe(
        Effect.provide(
          Layer.mergeAll(Logger.layer([Logger.make((entry) => logged.push(Logger.formatJson.log(entry)))]))
        )
      )
      yield* Fiber.interrupt(sampler)
      assert.isTrue(
        [...seen].some((args) => args.includes("ls-remote")),
        "git's arguments were seen"
      )
      for (const secret of [canary, encoded, "wrong-secret-5521"]) {
        assert.deepStrictEqual(
          [...seen].filter((args) => args.includes(secret)),
          []
        )
        assert.deepStrictEqual(contains(cache, secret), [])
        assert.notInclude(JSON.stringify(logged), secret)
      }
    })
  )

  it.live("do not follow a redirect to another host", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit } = makeRepository(join(folder, "repos", "app.git"), { a: "1" })
      const thief = yield* gitServer({ root: join(folder, "repos") })
      const server = yield* gitServer({
        root: join(folder, "repos"),
        intercept: (request, response) => {
          response.writeHead(302, { location: `${thief.url}${request.url}` }).end()
          return true
        }
      })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") }, { TOKEN: canary })
      const repository = repositoryAt(`${server.url}/app.git`, { token: "env:TOKEN" })
      const resolved = yield* Effect.flip(git.resolve(repository, main))
      assert.strictEqual(resolved.reason._tag, "RepositoryMoved")
      const checkedOut = yield* Effect.flip(git.checkout(repository, sha(commit)))
      assert.strictEqual(checkedOut.reason._tag, "RepositoryMoved")
      assert.deepStrictEqual(thief.requests, [])
    })
  )
})

describe("hosts", () => {
  it("at addresses that are not public are recognised in every notation", () => {
    for (const address of [
      "127.0.0.1",
      "10.43.0.1",
      "100.64.0.1",
      "169.254.169.254",
      "172.31.255.255",
      "192.168.1.1",
      "0.0.0.0",
      "255.255.255.255",
      "224.0.0.1",
      "::",
      "::1",
      "::ffff:127.0.0.1",
      "::ffff:a9fe:a9fe",
      "64:ff9b::a9fe:a9fe",
      "2002:7f00:1::",
      "fd00::1",
      "fe80::1",
      "ff02::1",
      "not an address"
    ])
      assert.isFalse(isPublicAddress(address), address)
    for (const address of ["1.1.1.1", "140.82.121.4", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])
      assert.isTrue(isPublicAddress(address), address)
  })

  it.live("are refused by name, number, and number in disguise", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* gitServer({ root: folder })
      const port = server.host.split(":")[1]
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), privateHosts: [] })
      for (const host of [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0"
      ]) {
        const error = yield* Effect.flip(git.resolve(repositoryAt(`http://${host}:${port}/app.git`), main))
        assert.strictEqual(error.reason._tag, "HostNotAllowed", `${host}: ${error.message}`)
      }
      assert.deepStrictEqual(server.requests, [])
    })
  )

  it.live("are pinned to the addresses that were checked", () =>
    Effect.gen(function* () {
      const pin = yield* checkHost(new URL("http://localhost:8080/x"), {
        allowFile: false,
        privateHosts: ["localhost:8080"]
      })
      assert.match(pin ?? "", /^localhost:8080:(127\.0\.0\.1|\[::1\])/)
      const error = yield* Effect.flip(
        checkHost(new URL("http://localhost:8081/x"), { allowFile: false, privateHosts: ["localhost:8080"] })
      )
      assert.strictEqual(error._tag, "HostNotAllowed")
    })
  )
})

describe("hostile names", () => {
  const refused = (schema: typeof RepositoryUrl | typeof GitRef | typeof RepositoryPath, text: string) =>
    assert.isFalse(Schema.is(schema)(text), JSON.stringify(text))

  it("are no repository URLs", () => {
    for (const text of [
      "ext::sh -c touch% /tmp/x",
      "fd::3",
      "file::/etc",
      "--upload-pack=touch /tmp/x",
      "-oProxyCommand=x",
      "git@github.com:a/b",
      "ssh://-oProxyCommand=x/y",
      "ssh://github.com/a/b",
      "git://github.com/a/b",
      "https:github.com/a/b",
      "https://user:pass@github.com/a",
      "https://github.com/a?x=1",
      "https://github.com/a#main",
      "https://github.com",
      "https://github.com/a%0ahost=evil",
      "https://github.com/a\nb",
      "https://github.com\\@evil/a",
      "file://host/path",
      "javascript:alert(1)",
      ""
    ])
      refused(RepositoryUrl, text)
  })

  it("are no refs", () => {
    for (const text of [
      "-x",
      "--upload-pack=x",
      "a..b",
      "a b",
      "a\nb",
      "a:b",
      "a^{}",
      "@",
      "a@{1}",
      "/a",
      "a/",
      "a.lock",
      ".a",
      "a//b",
      "a\\b",
      "*",
      ""
    ])
      refused(GitRef, text)
  })

  it("are no paths", () => {
    for (const text of ["/etc", "../x", "a/../../x", "a\\..\\x", "a\nb", ".git", "a/.GIT/hooks", ""])
      refused(RepositoryPath, text)
  })

  it.effect.prop("a ref that is accepted is one that git accepts", [Schema.String], ([text]) =>
    Effect.sync(() => {
      if (!Schema.is(GitRef)(text)) return
      execFileSync("git", ["check-ref-format", `refs/heads/${text}`])
      assert.isFalse(text.startsWith("-"))
    })
  )

  it.effect.prop(
    "a URL that is accepted leads by http, https or file to where it says",
    [Schema.String, Schema.String],
    ([host, path]) =>
      Effect.sync(() => {
        for (const text of [
          `https://${host}/${path}`,
          `${host}://${path}`,
          `http://${host}@${path}`,
          host + path
        ]) {
          if (!Schema.is(RepositoryUrl)(text)) continue
          const url = new URL(text)
          assert.include(["http:", "https:", "file:"], url.protocol)
          assert.strictEqual(url.username + url.password + url.search + url.hash, "")
          assert.match(url.href, /^(https?|file):\/\//)
          assert.notMatch(url.href, /[\s\\]/)
        }
      })
  )
})

describe("submodules", () => {
  const parent = Effect.fnUntraced(function* (
    entry: (serverUrl: string) => { readonly gitmodules: string; readonly path?: string },
    protocolServer?: { readonly username: string; readonly password: string }
  ) {
    const folder = yield* temporaryFolder
    const repos = join(folder, "repos")
    const { commit: sub } = makeRepository(join(repos, "lib", "sub.git"), { "sub.txt": "from the submodule" })
    const server = yield* gitServer({
      root: repos,
      ...(protocolServer === undefined ? {} : { credentials: protocolServer })
    })
    makeRepository(join(repos, "app.git"), { a: "1" })
    const { gitmodules, path = "vendor/sub" } = entry(server.url)
    const commit = commitFiles(join(repos, "app.git"), { ".gitmodules": gitmodules }, "main", [
      `160000 ${sub}\t${path}`
    ])
    const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") }, { TOKEN: canary })
    return { folder, server, git, commit: sha(commit), url: `${server.url}/app.git` }
  })
  const moduleAt = (url: string, path = "vendor/sub") =>
    `[submodule "sub"]\n\tpath = ${path}\n\turl = ${url}\n`

  it.live("are empty folders unless asked for", () =>
    Effect.gen(function* () {
      const { git, url, commit } = yield* parent((server) => ({
        gitmodules: moduleAt(`${server}/lib/sub.git`)
      }))
      const { path } = yield* git.checkout(repositoryAt(url), commit)
      assert.deepStrictEqual(readdirSync(join(path, "vendor/sub")), [])
    })
  )

  it.live("come from the repository's own host, by absolute and by relative URL, with its credentials", () =>
    Effect.gen(function* () {
      for (const text of [
        (server: string) => `${server}/lib/sub.git`,
        () => "../lib/sub.git",
        () => "./../lib/sub.git"
      ]) {
        const { git, url, commit } = yield* parent((server) => ({ gitmodules: moduleAt(text(server)) }), {
          username: "x-access-token",
          password: canary
        })
        const checkout = yield* git.checkout(
          repositoryAt(url, { token: "env:TOKEN", submodules: true }),
          commit
        )
        assert.strictEqual(
          readFileSync(join(checkout.path, "vendor/sub/sub.txt"), "utf8"),
          "from the submodule"
        )
        assert.deepStrictEqual(readdirSync(join(checkout.path, "vendor/sub")), ["sub.txt"])
        assert.strictEqual(checkout.files, 4)
      }
    })
  )

  it.live("are refused from anywhere else", () =>
    Effect.gen(function* () {
      const witness = join(yield* temporaryFolder, "witness")
      for (const text of [
        "https://example.com/a/b.git",
        "file:///etc",
        "/etc",
        "ext::sh -c touch% " + witness,
        "--upload-pack=touch " + witness,
        "ssh://git@127.0.0.1/x",
        "http://127.0.0.1:1/x.git",
        "-u./payload"
      ]) {
        const { git, url, commit } = yield* parent(() => ({ gitmodules: moduleAt(JSON.stringify(text)) }))
        const error = yield* Effect.flip(git.checkout(repositoryAt(url, { submodules: true }), commit))
        assert.include(
          ["SubmoduleRefused", "RepositoryCorrupt"],
          error.reason._tag,
          `${text}: ${error.message}`
        )
      }
      assert.isFalse(existsSync(witness))
    })
  )

  it.live("cannot be written through .gitmodules to another path", () =>
    Effect.gen(function* () {
      for (const path of ["../../escape", "/tmp/escape", ".git/hooks", '"vendor/sub\\r"'] as const) {
        const { git, url, commit, folder } = yield* parent((server) => ({
          gitmodules: moduleAt(`${server}/lib/sub.git`, path)
        }))
        const error = yield* Effect.flip(git.checkout(repositoryAt(url, { submodules: true }), commit))
        assert.include(["SubmoduleRefused", "RepositoryCorrupt"], error.reason._tag, error.message)
        assert.isFalse(existsSync(join(folder, "escape")))
      }
    })
  )
})

describe("a hostile repository", () => {
  it.live("runs none of its hooks, filters and configuration, and writes nothing outside", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const witness = join(folder, "witness")
      const path = join(folder, "repos", "app.git")
      makeRepository(path, {
        ".gitattributes": "* filter=evil diff=evil merge=evil\n*.txt filter=lfs\n",
        ".gitconfig": `[core]\n\tfsmonitor = touch ${witness}\n[filter "evil"]\n\tsmudge = touch ${witness}\n`,
        ".lfsconfig": "[lfs]\n\turl = http://169.254.169.254/\n",
        ".githooks/post-checkout": `#!/bin/sh\ntouch ${witness}\n`,
        "post-checkout": `#!/bin/sh\ntouch ${witness}\n`
      })
      const commit = commitFiles(path, { "a.txt": "version https://git-lfs.github.com/spec/v1\n" })
      writeFileSync(join(path, "hooks", "post-upload-pack"), `#!/bin/sh\ntouch ${witness}\n`, { mode: 0o755 })
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const checkout = yield* git.checkout(repositoryAt(`${server.url}/app.git`), sha(commit))
      assert.isTrue(lstatSync(join(checkout.path, "a.txt")).isFile())
      assert.isFalse(existsSync(witness))
    })
  )

  it.live("with a tree that names .git or .. is refused", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      makeRepository(path, { a: "1" })
      const blob = gitIn(path, "rev-parse", "main:a")
      const tree = gitIn(path, "rev-parse", "main^{tree}")
      const raw = (mode: string, name: string, object: string) =>
        execFileSync("git", ["-C", path, "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], {
          input: Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(object, "hex")]),
          encoding: "utf8"
        }).trim()
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      for (const hostile of [
        raw("40000", ".git", tree),
        raw("40000", "..", tree),
        raw("40000", ".GIT", tree),
        raw("100644", "a/b", blob),
        raw("40000", "git~1", tree)
      ]) {
        const commit = gitIn(path, "commit-tree", hostile, "-m", "hostile")
        gitIn(path, "update-ref", "refs/heads/hostile", commit)
        const error = yield* Effect.flip(git.checkout(repositoryAt(`${server.url}/app.git`), sha(commit)))
        assert.strictEqual(error.reason._tag, "RepositoryCorrupt", error.message)
      }
    })
  )
})
