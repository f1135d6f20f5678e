/** Registry against servers that play a registry's part, strictly or badly. */
import { RegistryName } from "@mcpdeploy/core/domain/Image"
import { parseChallenges } from "../../src/oci/Authorization.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import {
  digestOf,
  double,
  type Handler,
  makeRegistry,
  manifestOf,
  manifestType,
  registryName
} from "./fixtures.ts"

const repository = { registry: registryName, repository: "dp-ann-shop/web" }
const manifest = manifestOf("a")
const digest = digestOf(manifest)
const credentials = { username: "ann", password: Redacted.make("canary-password") }

const failing = Effect.fnUntraced(function* (
  handler: Handler,
  options: { retries?: number; timeoutSeconds?: number } = {}
) {
  const server = yield* double(handler)
  const registry = yield* makeRegistry({ url: server.url }, { retries: 1, ...options })
  const error = yield* Effect.flip(registry.resolve(repository, "v1"))
  return { error, server }
})

describe("bearer authorization", () => {
  /** A token server and a registry that accepts only its tokens, each once per `uses`. */
  const tokenRegistry = (options: { readonly expiresIn?: number; readonly scopes: Array<string | null> }) =>
    double((request, response) => {
      const url = new URL(request.url ?? "", "http://localhost")
      if (url.pathname === "/token") {
        options.scopes.push(url.searchParams.get("scope"))
        const expected = `Basic ${Buffer.from("ann:canary-password").toString("base64")}`
        if (request.headers.authorization !== expected) return void response.writeHead(401).end()
        assert.strictEqual(url.searchParams.get("service"), "test, registry")
        response.end(
          JSON.stringify({ token: `t-${options.scopes.length}`, expires_in: options.expiresIn ?? 300 })
        )
        return
      }
      if (request.headers.authorization !== `Bearer t-${options.scopes.length}`) {
        const realm = `http://${request.headers.host}/token`
        response
          .writeHead(401, {
            "www-authenticate": `Bearer realm="${realm}",service="test, registry",scope="repository:dp-ann-shop/web:pull"`
          })
          .end()
        return
      }
      response.writeHead(200, { "docker-content-digest": digest }).end()
    })

  it.live("asks the token server once, and again when the token has expired", () =>
    Effect.gen(function* () {
      const scopes: Array<string | null> = []
      const server = yield* tokenRegistry({ scopes })
      const registry = yield* makeRegistry({ url: server.url, credentials })
      for (let count = 0; count < 3; count++)
        assert.strictEqual(yield* registry.resolve(repository, "v1"), digest)
      assert.deepStrictEqual(scopes, ["repository:dp-ann-shop/web:pull"])
      const short: Array<string | null> = []
      const expiring = yield* tokenRegistry({ scopes: short, expiresIn: 1 })
      const second = yield* makeRegistry({ url: expiring.url, credentials })
      yield* second.resolve(repository, "v1")
      yield* second.resolve(repository, "v1")
      assert.strictEqual(short.length, 2)
    })
  )

  it.live(
    "with wrong credentials, none, or a token server without https is a typed error without the password",
    () =>
      Effect.gen(function* () {
        const server = yield* tokenRegistry({ scopes: [] })
        for (const wrong of [undefined, { username: "ann", password: Redacted.make("canary-wrong") }]) {
          const registry = yield* makeRegistry({
            url: server.url,
            ...(wrong === undefined ? {} : { credentials: wrong })
          })
          const error = yield* Effect.flip(registry.resolve(repository, "v1"))
          assert.deepInclude(error.reason, {
            _tag: "RegistryUnauthorized",
            withCredentials: wrong !== undefined
          })
          assert.notInclude(JSON.stringify(error) + error.stack + error.message, "canary")
        }
        const { error } = yield* failing((_request, response) => {
          response.writeHead(401, { "www-authenticate": 'Bearer realm="ftp://evil/token"' }).end()
        })
        assert.strictEqual(error.reason._tag, "MalformedAnswer")
      })
  )

  it("reads challenges as RFC 9110 writes them", () => {
    assert.deepStrictEqual(parseChallenges('Basic realm="a, \\"b\\""'), [
      { scheme: "basic", parameters: { realm: 'a, "b"' } }
    ])
    assert.deepStrictEqual(parseChallenges('Bearer realm="https://x/t",service=s , Basic Realm="y"'), [
      { scheme: "bearer", parameters: { realm: "https://x/t", service: "s" } },
      { scheme: "basic", parameters: { realm: "y" } }
    ])
    assert.deepStrictEqual(parseChallenges(""), [])
  })

  it.effect.prop("reads any text as challenges without an end or an exception", [Schema.String], ([text]) =>
    Effect.sync(() => assert.isArray(parseChallenges(text)))
  )
})

describe("publish", () => {
  /** A registry that holds one manifest; its tags are in `tags`. */
  const holding =
    (tags: Map<string, string>, body = manifest, faults: Array<number> = []): Handler =>
    (request, response, sent) => {
      const fault = faults.shift()
      if (fault !== undefined)
        return void (fault === 0 ? request.socket.destroy() : response.writeHead(fault).end())
      const reference = (request.url ?? "").split("/").at(-1) ?? ""
      if (request.method === "PUT") {
        assert.strictEqual(request.headers["content-type"], manifestType)
        tags.set(reference, digestOf(sent))
        return void response.writeHead(201, { "docker-content-digest": digestOf(sent) }).end()
      }
      const found = reference === digest ? digest : tags.get(reference)
      if (found === undefined) return void response.writeHead(404).end()
      response.writeHead(200, {
        "docker-content-digest": found,
        "content-type": `${manifestType}; charset=utf-8`
      })
      response.end(request.method === "HEAD" ? undefined : body)
    }

  it.live("writes once, and nothing when the tag is there", () =>
    Effect.gen(function* () {
      const tags = new Map<string, string>()
      const server = yield* double(holding(tags))
      const registry = yield* makeRegistry({ url: server.url })
      assert.deepStrictEqual(yield* registry.publish(repository, "v1", digest), { changed: true })
      assert.deepStrictEqual(yield* registry.publish(repository, "v1", digest), { changed: false })
      assert.deepStrictEqual(
        server.requests.map((request) => request.split(" ")[0]),
        ["HEAD", "GET", "PUT", "HEAD"]
      )
    })
  )

  it.live("refuses a manifest whose bytes are not those of its digest", () =>
    Effect.gen(function* () {
      const tags = new Map<string, string>()
      const server = yield* double(holding(tags, manifestOf("another")))
      const registry = yield* makeRegistry({ url: server.url })
      const error = yield* Effect.flip(registry.publish(repository, "v1", digest))
      assert.strictEqual(error.reason._tag, "ManifestMismatch")
      assert.strictEqual(tags.size, 0)
    })
  )

  it.live("goes on after resets, 5xx and 429", () =>
    Effect.gen(function* () {
      const tags = new Map<string, string>()
      const server = yield* double(holding(tags, manifest, [0, 503, 429, 0]))
      const registry = yield* makeRegistry({ url: server.url })
      assert.deepStrictEqual(yield* registry.publish(repository, "v1", digest), { changed: true })
      assert.strictEqual(tags.get("v1"), digest)
    })
  )
})

describe("list", () => {
  const paged =
    (link: (last: number) => string): Handler =>
    (request, response) => {
      const url = new URL(request.url ?? "", "http://localhost")
      const last = Number(url.searchParams.get("last") ?? "0")
      const tags = [1, 2, 3].map((offset) => `t${last + offset}`)
      response
        .writeHead(200, last < 9 ? { link: link(last + 3) } : {})
        .end(JSON.stringify({ name: "x", tags }))
    }

  it.live("reads all pages, from the endpoint whatever host the links name", () =>
    Effect.gen(function* () {
      for (const link of [
        (last: number) => `</v2/dp-ann-shop/web/tags/list?n=3&last=${last}>; rel="next"`,
        (last: number) => `<http://169.254.169.254/v2/dp-ann-shop/web/tags/list?last=${last}>; rel=next`,
        (last: number) => `<?last=${last}>; rel="next", </other>; rel="prev"`
      ]) {
        const server = yield* double(paged(link))
        const registry = yield* makeRegistry({ url: server.url })
        const tags = yield* registry.list(repository)
        assert.strictEqual(tags.length, 12)
      }
    })
  )

  it.live("ends when the pages do not", () =>
    Effect.gen(function* () {
      const server = yield* double(paged(() => '<?last=3>; rel="next"'))
      const registry = yield* makeRegistry({ url: server.url })
      const error = yield* Effect.flip(registry.list(repository))
      assert.include(error.message, "has no end")
    })
  )

  it.live("takes null, as old registries write it, for no tags", () =>
    Effect.gen(function* () {
      const server = yield* double((_request, response) => void response.end('{"name":"x","tags":null}'))
      const registry = yield* makeRegistry({ url: server.url })
      assert.deepStrictEqual(yield* registry.list(repository), [])
    })
  )
})

describe("a registry that does not serve", () => {
  it.live("gets a typed reason for each way", () =>
    Effect.gen(function* () {
      const error = (code: string, message = "") => JSON.stringify({ errors: [{ code, message }] })
      for (const [status, body, tag, retryable] of [
        [404, error("MANIFEST_UNKNOWN"), "ImageNotFound", false],
        [401, "", "RegistryUnauthorized", false],
        [403, error("DENIED", "requested access is denied"), "RegistryDenied", false],
        [403, error("DENIED", "storage quota exceeded"), "RegistryFull", false],
        [429, error("TOOMANYREQUESTS"), "RegistryRateLimited", true],
        [500, error("UNKNOWN", "write: no space left on device"), "RegistryFull", false],
        [507, "", "RegistryFull", false],
        [500, error("UNKNOWN"), "RegistryUnreachable", true],
        [502, "<html>bad gateway</html>", "RegistryUnreachable", true],
        [400, error("NAME_INVALID", "\u001b[31mred"), "RegistryRefused", false],
        [307, "", "MalformedAnswer", false]
      ] as const) {
        // HEAD has no body: GET is asked after a digest that is none.
        const { error: failure } = yield* failing((request, response) => {
          if (request.method === "HEAD") return void response.writeHead(200).end()
          response.writeHead(status).end(body)
        })
        assert.strictEqual(failure.reason._tag, tag, `${status} ${body}`)
        assert.strictEqual(failure.retryable, retryable)
        assert.notInclude(failure.message, "\u001b")
      }
    })
  )

  it.live("by resets, silence, nonsense or no port at all", () =>
    Effect.gen(function* () {
      const reset = yield* failing((request) => void request.socket.destroy())
      assert.strictEqual(reset.error.reason._tag, "RegistryUnreachable")
      assert.strictEqual(reset.server.requests.length, 2, "one retry")
      const silent = yield* failing(() => undefined, { timeoutSeconds: 0.3, retries: 0 })
      assert.include(silent.error.message, "no answer within")
      const slowBody = yield* failing(
        (request, response) => {
          if (request.method === "HEAD") return void response.end()
          response.writeHead(200, { "content-type": manifestType }).write("{")
        },
        { timeoutSeconds: 0.3, retries: 0 }
      )
      assert.include(slowBody.error.message, "no answer within")
      const nonsense = yield* failing((request) => void request.socket.end("this is no HTTP\r\n\r\n"), {
        retries: 0
      })
      assert.include(["MalformedAnswer", "RegistryUnreachable"], nonsense.error.reason._tag)
      const endless = yield* failing((request, response) => {
        if (request.method === "HEAD") return void response.end()
        response.writeHead(200)
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65536)));
          response.once("drain", more)
        }
        more()
      })
      assert.include(endless.error.message, "longer than")
      const nobody = yield* makeRegistry({ url: "http://127.0.0.1:1" }, { retries: 0 })
      const refused = yield* Effect.flip(nobody.resolve(repository, "v1"))
      assert.strictEqual(refused.reason._tag, "RegistryUnreachable")
      const tls = yield* makeRegistry({ url: "https://127.0.0.1:1" }, { retries: 0 })
      assert.strictEqual((yield* Effect.flip(tls.list(repository))).reason._tag, "RegistryUnreachable")
    })
  )

  it.live("waits as long as 429 asks, and gives up at once when that is too long", () =>
    Effect.gen(function* () {
      let count = 0
      const server = yield* double((_request, response) => {
        if (count++ === 0) return void response.writeHead(429, { "retry-after": "1" }).end()
        response.writeHead(200, { "docker-content-digest": digest }).end()
      })
      const registry = yield* makeRegistry({ url: server.url })
      const startedAt = Date.now()
      yield* registry.resolve(repository, "v1")
      assert.isAtLeast(Date.now() - startedAt, 1000)
      const { error } = yield* failing((_request, response) => {
        response.writeHead(429, { "retry-after": "3600" }).end()
      })
      assert.deepInclude(error.reason, { _tag: "RegistryRateLimited", retryAfterSeconds: 3600 })
    })
  )

  it.live("is left at once by interruption", () =>
    Effect.gen(function* () {
      let closed = 0
      const server = yield* double((request) => void request.socket.on("close", () => closed++))
      const registry = yield* makeRegistry({ url: server.url })
      const fiber = yield* Effect.forkChild(registry.resolve(repository, "v1"))
      while (server.requests.length === 0) yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep("50 millis")
      assert.strictEqual(closed, 1)
    })
  )
})

describe("names", () => {
  it.live(
    "that are none, or of a registry that is not configured, are refused before anything is asked",
    () =>
      Effect.gen(function* () {
        const server = yield* double((_request, response) => void response.end())
        const registry = yield* makeRegistry({ url: server.url })
        for (const [path, reference] of [
          ["../../etc", "v1"],
          ["a/../b", "v1"],
          ["A/b", "v1"],
          ["a//b", "v1"],
          ["a", "../v1"],
          ["a", "v1?x=1"],
          ["a", ""],
          ["a", "sha256:abc"]
        ] as const) {
          const error = yield* Effect.flip(
            registry.delete({ registry: registryName, repository: path }, reference)
          )
          assert.strictEqual(error.reason._tag, "InvalidReference")
        }
        const elsewhere = yield* Effect.flip(
          registry.list({ ...repository, registry: RegistryName.make("other.example") })
        )
        assert.strictEqual(elsewhere.reason._tag, "RegistryNotConfigured")
        assert.deepStrictEqual(server.requests, [])
      })
  )
})
