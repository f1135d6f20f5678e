/** Registry against real registries: `MCPDEPLOY_TEST_REGISTRY` (host:port), and Debian's docker-registry where it is installed. */
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { digestOf, makeRegistry, pushImage, registryName } from "./fixtures.ts"

const given = process.env["MCPDEPLOY_TEST_REGISTRY"]

/** User ann, password "secret": bcrypt at its lowest cost. */
const htpasswd = "ann:$2b$05$7YRG.K9BEYkDVoWGYM5WH.95w4Ic.MsMNUjKOpy4vby9RXg/38j/q"

const binary = ((): string | undefined => {
  try {
    return execFileSync("sh", ["-c", "command -v docker-registry"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
})()

const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** A registry of its own, with deletion on or off, and basic auth where a htpasswd line is given. */
const debianRegistry = Effect.fnUntraced(function* (
  command: string,
  options: { readonly deletes: boolean; readonly htpasswd?: string }
) {
  const port = yield* freePort
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-registry-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const auth =
    options.htpasswd === undefined
      ? ""
      : `auth: { htpasswd: { realm: registry, path: ${folder}/htpasswd } }\n`
  if (options.htpasswd !== undefined) writeFileSync(join(folder, "htpasswd"), `${options.htpasswd}\n`)
  writeFileSync(
    join(folder, "config.yml"),
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${folder}/data }, delete: { enabled: ${options.deletes} } }\nhttp: { addr: "127.0.0.1:${port}" }\n${auth}`
  )
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, ["serve", join(folder, "config.yml")], { stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const url = `http://127.0.0.1:${port}`
  yield* Effect.tryPromise(() => fetch(`${url}/v2/`)).pipe(
    Effect.retry({ times: 100, schedule: Schedule.spaced("100 millis") })
  )
  return url
})

const behaves = Effect.fnUntraced(function* (url: string, deletesTags: boolean) {
  const registry = yield* makeRegistry({ url })
  const repository = { registry: registryName, repository: `test-${randomUUID()}/web` }
  assert.deepStrictEqual(yield* registry.list(repository), [], "no such repository yet")
  const missing = yield* Effect.flip(registry.resolve(repository, "v1"))
  assert.strictEqual(missing.reason._tag, "ImageNotFound")

  const first = yield* Effect.promise(() => pushImage(url, repository.repository, "first"))
  const second = yield* Effect.promise(() => pushImage(url, repository.repository, "second"))
  assert.deepStrictEqual(yield* registry.publish(repository, "v1", first), { changed: true })
  assert.deepStrictEqual(yield* registry.publish(repository, "v1", first), { changed: false })
  assert.strictEqual(yield* registry.resolve(repository, "v1"), first)
  assert.strictEqual(yield* registry.resolve(repository, first), first)
  assert.deepStrictEqual(yield* registry.publish(repository, "v1", second), { changed: true })
  assert.strictEqual(yield* registry.resolve(repository, "v1"), second)

  const unknown = yield* Effect.flip(registry.publish(repository, "v2", digestOf("nothing")))
  assert.strictEqual(unknown.reason._tag, "ImageNotFound")

  yield* Effect.forEach(
    Array.from({ length: 25 }, (_, index) => `t${index}`),
    (tag) => registry.publish(repository, tag, first),
    { concurrency: 5 }
  )
  assert.strictEqual((yield* registry.list(repository)).length, 26)

  if (deletesTags) {
    yield* registry.delete(repository, "t0")
    yield* registry.delete(repository, "t0")
    assert.strictEqual((yield* registry.list(repository)).length, 25)
  } else {
    const refused = yield* Effect.flip(registry.delete(repository, "t0"))
    assert.strictEqual(refused.reason._tag, "RegistryUnsupported")
    assert.include(refused.message, "by its digest")
  }
  yield* registry.delete(repository, first)
  yield* registry.delete(repository, first)
  const gone = yield* Effect.flip(registry.resolve(repository, first))
  assert.strictEqual(gone.reason._tag, "ImageNotFound")
  assert.strictEqual(yield* registry.resolve(repository, "v1"), second)
})

describe("a real registry", () => {
  if (given === undefined)
    it.skip("SKIPPED: MCPDEPLOY_TEST_REGISTRY (host:port of a registry) is not set", () => undefined)
  else it.live(`at ${given} resolves, publishes, lists and deletes`, () => behaves(`http://${given}`, true))

  if (binary === undefined)
    it.skip("SKIPPED: docker-registry is not installed (apt-get install docker-registry)", () => undefined)
  else {
    it.live("of version 2 does the same, but deletes no single tag", () =>
      Effect.flatMap(debianRegistry(binary, { deletes: true }), (url) => behaves(url, false))
    )

    it.live("that deletes nothing says how to switch it on", () =>
      Effect.gen(function* () {
        const url = yield* debianRegistry(binary, { deletes: false })
        const registry = yield* makeRegistry({ url })
        const repository = { registry: registryName, repository: "a/b" }
        const digest = yield* Effect.promise(() => pushImage(url, "a/b", "x"))
        const error = yield* Effect.flip(registry.delete(repository, digest))
        assert.strictEqual(error.reason._tag, "RegistryUnsupported")
        assert.include(error.message, "REGISTRY_STORAGE_DELETE_ENABLED")
      })
    )

    it.live("with basic auth is opened by the right password only", () =>
      Effect.gen(function* () {
        const url = yield* debianRegistry(binary, { deletes: true, htpasswd })
        const repository = { registry: registryName, repository: "a/b" }
        const withPassword = (password?: string) =>
          makeRegistry({
            url,
            ...(password === undefined
              ? {}
              : { credentials: { username: "ann", password: Redacted.make(password) } })
          })
        assert.deepStrictEqual(yield* (yield* withPassword("secret")).list(repository), [])
        for (const [password, withCredentials] of [
          ["wrong", true],
          [undefined, false]
        ] as const) {
          const error = yield* Effect.flip((yield* withPassword(password)).list(repository))
          assert.deepInclude(error.reason, { _tag: "RegistryUnauthorized", withCredentials })
        }
      })
    )
  }
})
