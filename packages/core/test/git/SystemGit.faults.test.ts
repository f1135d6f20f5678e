/** GitSource when it is killed, interrupted, crowded, limited or asked for too much. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { CommitSha, GitRef } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { commitFiles, gitIn, gitServer, makeRepository } from "./GitServer.ts"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

const sha = (text: string) => CommitSha.make(text)

/** A process that checks out; it ends with the scope. */
const checkoutProcess = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [join(import.meta.dirname, "checkoutProcess.ts"), ...args], {
        stdio: ["pipe", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const output = (child: ChildProcess) =>
  Effect.callback<{ readonly path: string; readonly files: number }>((resume) => {
    child.stdout?.once("data", (line: Buffer) => resume(Effect.sync(() => JSON.parse(line.toString()))))
    child.once("exit", (code) => resume(Effect.die(new Error(`the process ended with ${code}`))))
  })

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

const until = (condition: () => boolean) =>
  Effect.gen(function* () {
    while (!condition()) yield* Effect.sleep("20 millis")
  }).pipe(Effect.timeout("30 seconds"))

/** Names of what is in a cache's folders of repositories, apart from locks. */
const cached = (cache: string): ReadonlyArray<string> => {
  const checkouts = join(cache, "checkouts")
  return existsSync(checkouts)
    ? readdirSync(checkouts)
        .flatMap((repository) => readdirSync(join(checkouts, repository)))
        .filter((name) => !/\.(use|make)$/.test(name))
    : []
}

/** Processes whose environment or arguments mention a folder. */
const processesOf = (folder: string): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return ["cmdline", "environ"].some((file) =>
          readFileSync(`/proc/${pid}/${file}`, "utf8").includes(folder)
        )
      } catch {
        return false
      }
    })

describe("checkout by many processes", () => {
  it.live("fetches once, and each gets the same files", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit } = makeRepository(join(folder, "repos", "app.git"), { a: "1", b: "2" })
      const server = yield* gitServer({ root: join(folder, "repos") })
      const cache = join(folder, "cache")
      const children = yield* Effect.forEach(Array.from({ length: 4 }), () =>
        checkoutProcess(`${server.url}/app.git`, commit, cache)
      )
      const results = yield* Effect.forEach(children, output, { concurrency: "unbounded" })
      assert.strictEqual(new Set(results.map(({ path }) => path)).size, 1)
      assert.isAtMost(server.requests.filter((request) => request.startsWith("POST")).length, 2)
      assert.deepStrictEqual(cached(cache), [commit])
    })
  )

  it.live("does not remove what another process uses, and removes what nobody uses", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      const { commit: first } = makeRepository(path, { a: "1" })
      const rest = ["2", "3", "4"].map((text) => commitFiles(path, { a: text }))
      const server = yield* gitServer({ root: join(folder, "repos") })
      const cache = join(folder, "cache")
      const child = yield* checkoutProcess(`${server.url}/app.git`, first, cache, "hold")
      const held = yield* output(child)
      // One block a checkout; at most two of them.
      const git = yield* makeGitSource({ cacheFolder: cache, maxCacheBytes: 9000 })
      const repository = repositoryAt(`${server.url}/app.git`)
      for (const commit of rest) yield* Effect.scoped(git.checkout(repository, sha(commit)))
      assert.isTrue(existsSync(join(held.path, "a")), "in use by another process")
      const left = (...commits: ReadonlyArray<string | undefined>) =>
        Effect.sync(() => cached(cache).toSorted().join() === commits.toSorted().join()).pipe(
          Effect.repeat({ until: (equal) => equal, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("10 seconds")
        )
      yield* left(first, rest[2])
      child.stdin?.end()
      yield* ended(child)
      yield* Effect.scoped(git.checkout(repository, sha(rest[0] ?? "")))
      yield* left(rest[2], rest[0])
    })
  )
})

describe("checkout that is stopped", () => {
  /** A host that begins to send a pack and then says no more while `stalls` is true. */
  const stallingHost = Effect.fnUntraced(function* (folder: string) {
    const state = { stalls: true, stalled: 0 }
    const { commit } = makeRepository(join(folder, "repos", "app.git"), {
      big: randomBytes(4 * 1024 * 1024)
    })
    const server = yield* gitServer({
      root: join(folder, "repos"),
      intercept: (request, response) => {
        if (!state.stalls || request.method !== "POST") return false
        if (request.headers["content-length"] === undefined) return false
        let body = Buffer.alloc(0)
        request.on("data", (chunk: Buffer) => (body = Buffer.concat([body, chunk])))
        request.on("end", () => {
          response.writeHead(200, { "content-type": "application/x-git-upload-pack-result" })
          response.write("000dpackfile\n")
          state.stalled += 1
        })
        return true
      }
    })
    return { commit, server, state }
  })

  it.live("by kill -9 leaves nothing that the next call does not clean up", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit, server, state } = yield* stallingHost(folder)
      const cache = join(folder, "cache")
      const child = yield* checkoutProcess(`${server.url}/app.git`, commit, cache)
      yield* until(() => state.stalled > 0)
      assert.deepStrictEqual(cached(cache), [`${commit}.tmp`])
      child.kill("SIGKILL")
      yield* ended(child)
      state.stalls = false
      const startedAt = Date.now()
      const git = yield* makeGitSource({ cacheFolder: cache })
      const checkout = yield* git.checkout(repositoryAt(`${server.url}/app.git`), sha(commit))
      assert.strictEqual(statSync(join(checkout.path, "big")).size, 4 * 1024 * 1024)
      assert.deepStrictEqual(cached(cache), [commit])
      assert.deepStrictEqual(processesOf(folder), [], "no git of the killed process is left")
      assert.isBelow(Date.now() - startedAt, 10_000)
    })
  )

  it.live("by interruption ends git and its children before it returns", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit, server, state } = yield* stallingHost(folder)
      const cache = join(folder, "cache")
      const git = yield* makeGitSource({ cacheFolder: cache })
      const fiber = yield* Effect.forkChild(
        Effect.scoped(git.checkout(repositoryAt(`${server.url}/app.git`), sha(commit)))
      )
      yield* until(() => state.stalled > 0)
      assert.isAbove(processesOf(folder).length, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(processesOf(folder), [])
      assert.deepStrictEqual(cached(cache), [])
    })
  )

  it.live("by its time limit says so, and leaves nothing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit, server } = yield* stallingHost(folder)
      const cache = join(folder, "cache")
      const git = yield* makeGitSource({ cacheFolder: cache, timeoutSeconds: 1 })
      const error = yield* Effect.flip(git.checkout(repositoryAt(`${server.url}/app.git`), sha(commit)))
      assert.deepInclude(error.reason, { _tag: "GitTimedOut", seconds: 1, retryable: true })
      assert.deepStrictEqual(processesOf(folder), [])
      assert.deepStrictEqual(cached(cache), [])
    })
  )
})

describe("limits", () => {
  it.live("stop a download, a tree of too many bytes, and one of too many files", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "app.git")
      makeRepository(path, {})
      const noise = commitFiles(path, { noise: randomBytes(3_000_000) }, "noise")
      const zeros = commitFiles(path, { noise: "", zeros: Buffer.alloc(30_000_000) }, "zeros")
      const many = commitFiles(
        path,
        { zeros: "", ...Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`f${index}`, ""])) },
        "many"
      )
      const server = yield* gitServer({ root: join(folder, "repos") })
      const cache = join(folder, "cache")
      const git = yield* makeGitSource({ cacheFolder: cache, maxBytes: 1_000_000, maxFiles: 50 })
      const repository = repositoryAt(`${server.url}/app.git`)
      for (const [commit, reason] of [
        [noise, "RepositoryTooLarge"],
        [zeros, "RepositoryTooLarge"],
        [many, "TooManyFiles"]
      ] as const) {
        const error = yield* Effect.flip(git.checkout(repository, sha(commit)))
        assert.strictEqual(error.reason._tag, reason, error.message)
      }
      assert.deepStrictEqual(cached(cache), [])
    })
  )

  it.live("stop a tree that names a billion files in a few kilobytes", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "repos", "bomb.git")
      makeRepository(path, { a: "1" })
      let tree = gitIn(path, "rev-parse", "main^{tree}")
      for (let level = 0; level < 9; level++) {
        const entries = Array.from({ length: 10 }, (_, index) => `040000 tree ${tree}\td${index}`).join("\n")
        tree = execFileSync("git", ["-C", path, "mktree"], { input: `${entries}\n`, encoding: "utf8" }).trim()
      }
      const commit = gitIn(path, "commit-tree", tree, "-m", "bomb")
      gitIn(path, "update-ref", "refs/heads/bomb", commit)
      const server = yield* gitServer({ root: join(folder, "repos") })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), maxFiles: 10_000 })
      const error = yield* Effect.flip(git.checkout(repositoryAt(`${server.url}/bomb.git`), sha(commit)))
      assert.strictEqual(error.reason._tag, "TooManyFiles")
    })
  )
})

describe("a host that does not serve", () => {
  const resolveAt = Effect.fnUntraced(function* (url: string) {
    const folder = yield* temporaryFolder
    const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), resolveTimeoutSeconds: 3 })
    return yield* Effect.flip(git.resolve(repositoryAt(url), GitRef.make("main")))
  })

  it.live("gets a typed reason for each way", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      makeRepository(join(folder, "repos", "app.git"), { a: "1" })
      const answers: Record<string, readonly [number, Record<string, string>, string]> = {
        "/500": [500, {}, ""],
        "/503": [503, {}, ""],
        "/429": [429, {}, ""],
        "/404": [404, {}, ""],
        "/403": [403, {}, ""],
        "/301": [301, { location: "http://169.254.169.254/x" }, ""],
        "/html": [200, { "content-type": "text/html" }, "<html>welcome</html>"],
        "/garbage": [200, { "content-type": "application/x-git-upload-pack-advertisement" }, "zzzz not git"]
      }
      const server = yield* gitServer({
        root: join(folder, "repos"),
        intercept: (request, response) => {
          const answer = answers[(request.url ?? "").replace(/(\.git)?\/info.*|\/HEAD.*|\/objects.*/, "")]
          if (answer === undefined) return false
          response.writeHead(answer[0], answer[1]).end(answer[2])
          return true
        }
      })
      for (const [path, tag, retryable] of [
        ["500", "HostUnreachable", true],
        ["503", "HostUnreachable", true],
        ["429", "HostUnreachable", true],
        ["404", "RepositoryNotFound", false],
        ["none.git", "RepositoryNotFound", false],
        ["403", "CredentialsRequired", false],
        ["301", "RepositoryMoved", false],
        ["html", "RefNotFound", false],
        ["garbage", "HostUnreachable", true]
      ] as const) {
        const error = yield* resolveAt(`${server.url}/${path}`)
        assert.strictEqual(error.reason._tag, tag, `${path}: ${error.message}`)
        assert.strictEqual(error.retryable, retryable, path)
      }
      const refused = yield* resolveAt("http://127.0.0.1:1/app.git")
      assert.strictEqual(refused.reason._tag, "HostUnreachable", refused.message)
      const tls = yield* resolveAt(server.url.replace("http:", "https:") + "/app.git")
      assert.strictEqual(tls.reason._tag, "HostUnreachable", tls.message)
      const unknown = yield* resolveAt("https://no-such-host.invalid/app.git")
      assert.strictEqual(unknown.reason._tag, "HostUnreachable", unknown.message)
    })
  )

  it.live("and says nothing at all is given up on", () =>
    Effect.gen(function* () {
      const sockets: Array<{ destroy: () => void }> = []
      const port = yield* Effect.acquireRelease(
        Effect.callback<{ port: number; close: () => void }>((resume) => {
          const server = createServer((socket) => void sockets.push(socket.on("error", () => undefined)))
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = address === null || typeof address === "string" ? 0 : address.port
            resume(Effect.succeed({ port, close: () => void server.close() }))
          })
        }),
        ({ close }) =>
          Effect.sync(() => {
            close()
            for (const socket of sockets) socket.destroy()
          })
      )
      const error = yield* resolveAt(`http://127.0.0.1:${port.port}/app.git`)
      assert.strictEqual(error.reason._tag, "GitTimedOut")
      assert.isTrue(error.retryable)
    })
  )

  it.live("at its old address but with .git is found", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { commit } = makeRepository(join(folder, "repos", "app.git"), { a: "1" })
      const server = yield* gitServer({
        root: join(folder, "repos"),
        intercept: (request, response) => {
          if (!(request.url ?? "").startsWith("/app/")) return false
          response.writeHead(301, { location: (request.url ?? "").replace("/app/", "/app.git/") }).end()
          return true
        }
      })
      const git = yield* makeGitSource({ cacheFolder: join(folder, "cache") })
      const repository = repositoryAt(`${server.url}/app`)
      assert.strictEqual(String(yield* git.resolve(repository, GitRef.make("main"))), commit)
      const scope = yield* Scope.make()
      const checkout = yield* git.checkout(repository, sha(commit)).pipe(Scope.provide(scope))
      assert.isTrue(existsSync(join(checkout.path, "a")))
      yield* Scope.close(scope, Exit.void)
    })
  )
})

/** Whether a mount namespace of one's own can be made here. */
const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0

describe("a full disk", () => {
  const title = "is said to be full, leaves nothing, and is used again once there is room"
  if (!canMount) it.skip(`SKIPPED: ${title}: this user cannot make a mount namespace`, () => undefined)
  else
    it.live(title, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const path = join(folder, "repos", "app.git")
        makeRepository(path, { big: randomBytes(3 * 1024 * 1024) })
        const small = commitFiles(path, { big: "small now" })
        const first = gitIn(path, "rev-parse", "main~1")
        const server = yield* gitServer({ root: join(folder, "repos") })
        const cache = join(folder, "cache")
        mkdirSync(cache)
        const command = (commit: string) =>
          `'${process.execPath}' '${join(import.meta.dirname, "checkoutProcess.ts")}' '${server.url}/app.git' ${commit} '${cache}'`
        const { stdout } = yield* Effect.promise(
          () =>
            new Promise<{ readonly stdout: string }>((resolve) => {
              // Not synchronously: the server is in this process.
              execFile(
                "unshare",
                [
                  "--mount",
                  "--propagation",
                  "private",
                  "sh",
                  "-c",
                  `mount -t tmpfs -o size=2m none '${cache}'; ${command(first)} 2>&1; ${command(small)}; ls '${cache}'/checkouts/*`
                ],
                (_error, stdout) => resolve({ stdout })
              )
            })
        )
        assert.include(stdout, "is full: free some space")
        assert.include(stdout, '"files":1')
        assert.notInclude(stdout, ".tmp")
      })
    )
})
