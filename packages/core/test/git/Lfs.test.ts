/** Git LFS against a small server of its batch API. */
import { createHash } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { commitFiles, gitIn, gitServer, makeRepository } from "./GitServer.ts"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

const oidOf = (content: Buffer) => createHash("sha256").update(content).digest("hex")
const pointerTo = (content: Buffer) =>
  `version https://git-lfs.github.com/spec/v1\noid sha256:${oidOf(content)}\nsize ${content.length}\n`

const large = Buffer.alloc(300_000, "large ")
const authorization = `Basic ${Buffer.from("x-access-token:canary").toString("base64")}`

interface LfsOptions {
  readonly href?: (host: string, oid: string) => string
  readonly body?: Buffer
  readonly batchStatus?: number
}

/** Answers LFS requests of a git host; requires the repository's credentials. */
const lfsServer = (options: LfsOptions) => (request: IncomingMessage, response: ServerResponse) => {
  const url = request.url ?? ""
  if (!url.includes("/lfs")) return false
  if (request.headers.authorization !== authorization) {
    response.writeHead(401).end()
    return true
  }
  if (!url.endsWith("/batch")) {
    response.end(options.body ?? large)
    return true
  }
  let text = ""
  request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
  request.on("end", () => {
    if (options.batchStatus !== undefined) return response.writeHead(options.batchStatus).end()
    const host = request.headers.host ?? ""
    const objects = JSON.parse(text).objects.map(({ oid, size }: { oid: string; size: number }) => ({
      oid,
      size,
      actions: { download: { href: options.href?.(host, oid) ?? `http://${host}/lfs/${oid}` } }
    }))
    return response.end(JSON.stringify({ transfer: "basic", objects }))
  })
  return true
}

const checkoutWith = Effect.fnUntraced(function* (options: LfsOptions, config: { maxBytes?: number } = {}) {
  const folder = yield* temporaryFolder
  const repository = join(folder, "repos", "app.git")
  makeRepository(repository, {
    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    ".lfsconfig": "[lfs]\n\turl = http://169.254.169.254/\n",
    "assets/large.bin": pointerTo(large),
    "docs/example.txt": pointerTo(large),
    "small.bin": "no pointer"
  })
  const pointer = gitIn(repository, "rev-parse", "main:assets/large.bin")
  const commit = commitFiles(repository, {}, "main", [`100755 ${pointer}\tassets/large.bin`])
  const server = yield* gitServer({
    root: join(folder, "repos"),
    credentials: { username: "x-access-token", password: "canary" },
    intercept: lfsServer(options)
  })
  const cache = join(folder, "cache")
  const git = yield* makeGitSource({ cacheFolder: cache, ...config }, { TOKEN: "canary" })
  const checkout = (lfs: boolean) =>
    git.checkout(repositoryAt(`${server.url}/app.git`, { token: "env:TOKEN", lfs }), CommitSha.make(commit))
  return { checkout, cache }
})

describe("Git LFS", () => {
  it.live("leaves pointers unless asked for, and puts the objects in their place when asked", () =>
    Effect.gen(function* () {
      const { checkout } = yield* checkoutWith({})
      const without = yield* checkout(false)
      assert.strictEqual(readFileSync(join(without.path, "assets/large.bin"), "utf8"), pointerTo(large))
      const umask = process.umask(0o077)
      const { path, size } = yield* checkout(true).pipe(
        Effect.ensuring(Effect.sync(() => process.umask(umask)))
      )
      assert.strictEqual(statSync(join(path, "assets/large.bin")).mode & 0o7777, 0o755)
      assert.isTrue(readFileSync(join(path, "assets/large.bin")).equals(large))
      assert.strictEqual(readFileSync(join(path, "small.bin"), "utf8"), "no pointer")
      assert.strictEqual(
        readFileSync(join(path, "docs/example.txt"), "utf8"),
        pointerTo(large),
        "not given to LFS"
      )
      assert.deepStrictEqual(readdirSync(join(path, "assets")), ["large.bin"])
      assert.isAtLeast(size, statSync(join(path, "assets/large.bin")).size)
    })
  )

  it.live("refuses other hosts, other bytes, too many bytes, and a host without LFS", () =>
    Effect.gen(function* () {
      for (const [options, config, tag, text] of [
        [{ href: () => "http://169.254.169.254/secret" }, {}, "LfsRefused", "add the host to lfsHosts"],
        [{ href: () => "https://example.com/x" }, {}, "LfsRefused", "add the host to lfsHosts"],
        [{ href: () => "file:///etc/passwd" }, {}, "LfsRefused", "is allowed"],
        [{ body: Buffer.alloc(300_000, "other ") }, {}, "LfsRefused", "not the object of its name"],
        [{ body: Buffer.alloc(900_000, "large ") }, {}, "LfsRefused", "not the object of its name"],
        [{ batchStatus: 404 }, {}, "LfsRefused", "answered 404"],
        [{}, { maxBytes: 200_000 }, "RepositoryTooLarge", "more than 200000 bytes"]
      ] as const) {
        const { checkout, cache } = yield* checkoutWith(options, config)
        const error = yield* Effect.flip(checkout(true))
        assert.strictEqual(error.reason._tag, tag, error.message)
        assert.include(error.message, text)
        assert.notInclude(error.message, "canary")
        const [repository = ""] = readdirSync(join(cache, "checkouts"))
        assert.isFalse(
          readdirSync(join(cache, "checkouts", repository)).some((name) => !/\.(use|make)$/.test(name))
        )
        assert.isTrue(existsSync(cache))
      }
    })
  )
})
