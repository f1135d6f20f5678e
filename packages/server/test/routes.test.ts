import { connect } from "node:net"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { request as requestOver } from "undici"
import { SinkUnavailable } from "@mcpdeploy/server/PushSink"
import { headersFor, post, pushBody, requestOf, secretOf, testServer } from "./support/TestServer.ts"

const github = secretOf("github", "acme/web")

/** Sends bytes as they are; the result is everything that came back until the connection was closed. */
const raw = (port: number, ...parts: ReadonlyArray<string | Buffer>) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        let text = ""
        const socket = connect(port, "127.0.0.1", () => {
          for (const part of parts) socket.write(part)
        })
        socket.setEncoding("utf8")
        socket.on("data", (chunk: string) => (text += chunk))
        socket.on("close", () => resolve(text))
        socket.on("error", reject)
      })
  )

const get = (url: string, method: "GET" | "POST" | "HEAD" | "PUT" | "DELETE" = "GET") =>
  Effect.promise(async () => {
    const answer = await requestOver(url, { method })
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
  })

describe("routes", () => {
  it.live("nothing but five paths is served, each by its method", () =>
    Effect.gen(function* () {
      const { url } = yield* testServer()
      for (const path of [
        "/",
        "/webhooks",
        "/webhooks/gitlab",
        "/openapi.json",
        "/metrics/",
        "/__proto__",
        "//"
      ]) {
        assert.strictEqual((yield* get(`${url}${path}`)).status, 404, path)
      }
      for (const [path, method, allow] of [
        ["/webhooks/github", "GET", "POST"],
        ["/webhooks/gitea", "PUT", "POST"],
        ["/healthz", "POST", "GET"],
        ["/readyz", "DELETE", "GET"],
        ["/metrics", "POST", "GET"]
      ] as const) {
        const { headers, status } = yield* get(`${url}${path}`, method)
        assert.deepStrictEqual([status, headers["allow"]], [405, allow])
      }
      for (const path of ["/healthz", "/readyz", "/metrics"]) {
        assert.strictEqual((yield* get(`${url}${path}`)).status, 200, path)
      }
    })
  )

  it.live("/readyz says what is missing; /healthz does not care", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      recorded.isConnected = false
      const { body, status } = yield* get(`${url}/readyz`)
      assert.deepStrictEqual([status, body], [503, "Temporal does not answer\n"])
      assert.strictEqual((yield* get(`${url}/healthz`)).status, 200)
    })
  )

  it.live("/metrics counts deliveries by forge and outcome, and names nobody", () =>
    Effect.gen(function* () {
      const { url } = yield* testServer()
      const body = pushBody()
      yield* post(`${url}/webhooks/github`, headersFor("github", body, github), body)
      yield* post(`${url}/webhooks/github`, headersFor("github", body, "wrong"), body)
      const { body: text } = yield* get(`${url}/metrics`)
      assert.match(text, /mcpdeploy_webhook_deliveries\{[^}]*outcome="accepted"[^}]*\} 1\b/)
      assert.match(text, /mcpdeploy_webhook_deliveries\{[^}]*outcome="refused"[^}]*\} 1\b/)
      assert.match(text, /mcpdeploy_webhook_duration_seconds_bucket\{[^}]*le="0\.05"/)
      for (const secret of ["acme", "ann", "shop", github]) assert.notInclude(text, secret)
    })
  )
})

describe("bodies", () => {
  it.live("a chunked body is taken, a compressed one and other content types are not", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      const body = Buffer.from(pushBody())
      const headers = headersFor("github", body, github)
      const chunked = yield* Effect.promise(async () => {
        const answer = await fetch(`${url}/webhooks/github`, {
          method: "POST",
          headers,
          body: new ReadableStream({
            start(controller) {
              for (const byte of [body.subarray(0, 10), body.subarray(10)]) controller.enqueue(byte)
              controller.close()
            }
          }),
          duplex: "half"
        })
        return answer.status
      })
      assert.strictEqual(chunked, 202)
      const zipped = gzipSync(body)
      const refusals: ReadonlyArray<readonly [Record<string, string>, Buffer]> = [
        [{ ...headersFor("github", zipped, github), "content-encoding": "gzip" }, zipped],
        [{ ...headers, "content-encoding": "br" }, body],
        [{ ...headers, "content-type": "application/x-www-form-urlencoded" }, body],
        [{ ...headers, "content-type": "text/plain" }, body],
        [{ ...headers, "content-type": "application/jsonp" }, body]
      ]
      for (const [changed, sent] of refusals) {
        assert.strictEqual((yield* post(`${url}/webhooks/github`, changed, sent)).status, 415)
      }
      assert.lengthOf(recorded.pushes, 1)
      const withCharset = { ...headers, "content-type": "application/json; charset=utf-8" }
      assert.strictEqual((yield* post(`${url}/webhooks/github`, withCharset, body)).status, 202)
    })
  )

  it.live("a body over the limit is refused, said or not, and the answer can be read", () =>
    Effect.gen(function* () {
      const { port, recorded, url } = yield* testServer({ http: { bodyLimitBytes: 1000 } })
      const large = Buffer.alloc(3_000_000, 0x20)
      const declared = yield* post(`${url}/webhooks/github`, headersFor("github", large, github), large)
      assert.strictEqual(declared.status, 413)
      const chunk = "x".repeat(800)
      const chunked = yield* raw(
        port,
        "POST /webhooks/github HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: application/json\r\n",
        "transfer-encoding: chunked\r\n\r\n",
        ...Array.from({ length: 20 }, () => `320\r\n${chunk}\r\n`),
        "0\r\n\r\n"
      )
      assert.match(chunked, /^HTTP\/1\.1 413 /)
      assert.lengthOf(recorded.pushes, 0)
      assert.include((yield* get(`${url}/metrics`)).body, "mcpdeploy_webhook_buffered_bytes 0")
    })
  )

  it.live("bodies together hold no more than the budget; over it the sender is told to come again", () =>
    Effect.gen(function* () {
      const { port, url } = yield* testServer({ http: { bufferBytes: 3000 } })
      const begun = connect(port, "127.0.0.1")
      begun.write(
        `POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n${"x".repeat(2900)}`
      )
      yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 100)))
      const body = pushBody({ message: "x".repeat(500) })
      const busy = yield* post(`${url}/webhooks/github`, headersFor("github", body, github), body)
      assert.deepStrictEqual([busy.status, busy.headers["retry-after"]], [503, "5"])
      begun.destroy()
      yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 100)))
      const free = yield* post(`${url}/webhooks/github`, headersFor("github", body, github), body)
      assert.strictEqual(free.status, 202)
    })
  )

  it.live("a request that does not arrive in time, and what is no HTTP, end with an answer", () =>
    Effect.gen(function* () {
      const { port } = yield* testServer({ http: { bodySeconds: 1 } })
      const slow = yield* raw(
        port,
        "POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\nabc"
      )
      assert.match(slow, /^HTTP\/1\.1 408 /)
      assert.match(yield* raw(port, "\x16\x03\x01\x02\r\n\r\n"), /^HTTP\/1\.1 400 /)
      const head = `GET /healthz HTTP/1.1\r\nhost: h\r\nx: ${"y".repeat(20_000)}\r\n\r\n`
      assert.match(yield* raw(port, head), /^HTTP\/1\.1 431 /)
    })
  )
})

describe("when it cannot be stored", () => {
  it.live("while Temporal hangs the sender is told within a second to come again; then it is taken", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      const body = pushBody()
      const headers = headersFor("github", body, github)
      recorded.behaviour = Effect.never
      const begun = performance.now()
      const hung = yield* post(`${url}/webhooks/github`, headers, body)
      assert.isBelow(performance.now() - begun, 1000)
      assert.deepStrictEqual([hung.status, hung.headers["retry-after"]], [503, "30"])
      recorded.behaviour = new SinkUnavailable({ detail: "no connection" })
      const failed = headersFor("github", body, github)
      assert.strictEqual((yield* post(`${url}/webhooks/github`, failed, body)).status, 503)
      recorded.behaviour = Effect.void
      assert.strictEqual((yield* post(`${url}/webhooks/github`, failed, body)).status, 202)
      assert.lengthOf(recorded.pushes, 1)
    })
  )

  it.live("no more deliveries wait than are allowed", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer({ deliveries: { maxInFlight: 3 } })
      recorded.behaviour = Effect.never
      const bodies = Array.from({ length: 10 }, (_, index) => pushBody({ message: String(index) }))
      const answers = yield* Effect.forEach(
        bodies,
        (body) => post(`${url}/webhooks/github`, headersFor("github", body, github), body),
        { concurrency: "unbounded" }
      )
      assert.isTrue(answers.every(({ status }) => status === 503))
      assert.lengthOf(
        answers.filter(({ body }) => body.includes("too many deliveries wait")),
        7
      )
    })
  )

  it.live("a drain answers what has come, and no more", () =>
    Effect.gen(function* () {
      const { drain, recorded, url } = yield* testServer()
      recorded.behaviour = Effect.sleep("300 millis")
      const body = pushBody()
      const taken = yield* Effect.forkChild(
        post(`${url}/webhooks/github`, headersFor("github", body, github), body)
      )
      yield* Effect.sleep("100 millis")
      yield* drain
      const { headers, status } = yield* Fiber.join(taken)
      assert.strictEqual(status, 202)
      assert.strictEqual(headers["connection"], "close")
      const refused = yield* Effect.exit(get(`${url}/healthz`))
      assert.strictEqual(refused._tag, "Failure")
    })
  )
})

describe("several services of one repository", () => {
  it.live("each is told by itself; the answer names none of them", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer({
        requests: [
          requestOf(),
          requestOf({ service: "docs", trigger: { paths: ["docs/**"] } }),
          requestOf({ owner: { user: "bob", project: "fork" }, trigger: { enabled: false } }),
          requestOf({
            service: "other",
            source: { repository: { url: "https://git.example/acme/other" }, ref: "main" }
          })
        ]
      })
      const body = pushBody({ more: { forced: false } })
      const { body: answer } = yield* post(`${url}/webhooks/github`, headersFor("github", body, github), body)
      assert.deepStrictEqual(JSON.parse(answer), {
        outcome: "accepted",
        reason: "it is being deployed",
        deploys: 1,
        filtered: { paths: 1, disabled: 1 }
      })
      assert.sameMembers(
        recorded.pushes.map(({ push, service }) => `${service} ${push.action._tag}`),
        ["ann/shop/web Deploy", "ann/shop/docs Filtered", "bob/fork/web Filtered"]
      )
    })
  )
})
