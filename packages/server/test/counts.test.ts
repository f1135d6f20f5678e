/** Many deliveries at once. The counts are small unless `MCPDEPLOY_TEST_FULL=1`. */
import { fork } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Agent, request as requestOver } from "undici"
import { headersFor, masters, post, pushBody, secretOf, testServer } from "./support/TestServer.ts"
import { until } from "./support/ServerProcess.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const attacks = isFull ? 10_000 : 600
const copies = isFull ? 1000 : 200

const github = secretOf("github", "acme/web")

type Attack = readonly [path: string, headers: Record<string, string>, body: Buffer | string]

const limit = 200_000
const kinds: ReadonlyArray<(seed: number) => Attack> = [
  // forged
  (n) => ["/webhooks/github", headersFor("github", pushBody(), `guess-${n}-0123456789`), pushBody()],
  (n) => [
    "/webhooks/gitea",
    headersFor("gitea", pushBody(), masters.gitea),
    pushBody({ message: String(n) })
  ],
  (n) => [
    "/webhooks/github",
    headersFor("github", pushBody({ repository: `o${n}/r` }), "x"),
    pushBody({ repository: `o${n}/r` })
  ],
  // wrong forge
  () => ["/webhooks/github", headersFor("gitea", pushBody(), secretOf("gitea", "acme/web")), pushBody()],
  () => ["/webhooks/gitea", headersFor("github", pushBody(), secretOf("gitea", "acme/web")), pushBody()],
  // malformed, but signed
  (n) => {
    const body = `{"full_name":"acme/web",${n}`
    return ["/webhooks/github", headersFor("github", body, github), body]
  },
  (n) => {
    const body = Buffer.concat([Buffer.from('{"full_name":"acme/web"'), randomBytes(1 + (n % 500))])
    return ["/webhooks/github", headersFor("github", body, github), body]
  },
  (n) => {
    const body = JSON.stringify({ ...JSON.parse(pushBody()), after: n })
    return ["/webhooks/github", headersFor("github", body, github), body]
  },
  // truncated: signed when it was whole
  (n) => {
    const body = pushBody()
    return ["/webhooks/github", headersFor("github", body, github), body.slice(0, n % body.length)]
  },
  // oversized, compressed, no JSON
  () => {
    const body = Buffer.alloc(limit + 1, 0x20)
    return ["/webhooks/github", headersFor("github", body, github), body]
  },
  () => {
    const body = gzipSync(pushBody())
    return ["/webhooks/github", { ...headersFor("github", body, github), "content-encoding": "gzip" }, body]
  },
  () => [
    "/webhooks/github",
    { ...headersFor("github", pushBody(), github), "content-type": "text/xml" },
    pushBody()
  ],
  (n) => ["/webhooks/github", { "content-type": "application/json" }, "[".repeat(n % 5000)]
]

/** Bytes that are cut off in the middle of a request. */
const cutOff = (port: number, n: number) =>
  new Promise<void>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(
        "POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
      )
      socket.write("x".repeat(n % 900), () => socket.destroy())
    })
    socket.on("close", () => resolve())
    socket.on("error", () => resolve())
  })

const Started = Schema.decodeUnknownSync(Schema.Struct({ port: Schema.Int }))

/** A server in a process of its own. */
const serverProcess = Effect.acquireRelease(
  Effect.promise(async () => {
    const child = fork(new URL("support/countsServer.ts", import.meta.url), [String(limit)])
    const { port } = await new Promise<{ readonly port: number }>((resolve, reject) => {
      child.once("message", (message) => resolve(Started(message)))
      child.once("exit", () => reject(new Error("the server ended")))
    })
    return { child, port, url: `http://127.0.0.1:${port}` }
  }),
  ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
)

/** Resident memory of a process in MiB (proc(5), VmRSS). */
const residentMiB = (pid: number | undefined): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

describe(`many at once${isFull ? "" : " (fewer than with MCPDEPLOY_TEST_FULL=1)"}`, () => {
  it.live(`the same delivery ${copies} times at once: one deploy`, () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      recorded.behaviour = Effect.sleep("20 millis")
      const body = pushBody()
      const headers = headersFor("github", body, github, { id: "the-same" })
      const answers = yield* Effect.forEach(
        Array.from({ length: copies }),
        () => post(`${url}/webhooks/github`, headers, body),
        { concurrency: "unbounded" }
      )
      assert.isTrue(answers.every(({ status }) => status === 202))
      const [ledger] = recorded.ledgers.values()
      assert.lengthOf(ledger?.records ?? [], 1)
      assert.lengthOf(recorded.pushes, 1)
      // Later it is asked of the workflow again, which knows it.
      yield* Effect.sleep("4100 millis")
      yield* post(`${url}/webhooks/github`, headers, body)
      assert.lengthOf(recorded.pushes, 2)
      assert.lengthOf(ledger?.records ?? [], 1)
    })
  )

  it.live(
    `${attacks} malformed, forged, truncated, oversized, wrong-forge deliveries: none accepted, no 5xx`,
    () =>
      Effect.gen(function* () {
        const { child, port, url } = yield* serverProcess
        const agent = new Agent({ connections: 32 })
        const attack = (n: number) =>
          Effect.promise(async () => {
            if (n % 14 === 13) return cutOff(port, n)
            const [path, headers, body] = kinds[n % 14]?.(n) ?? ["/", {}, ""]
            const answer = await requestOver(`${url}${path}`, {
              dispatcher: agent,
              method: "POST",
              headers,
              body
            })
            await answer.body.dump()
            assert.isTrue(answer.statusCode >= 400 && answer.statusCode < 500, `${n}: ${answer.statusCode}`)
          })
        const round = (from: number, count: number) =>
          Effect.forEach(
            Array.from({ length: count }, (_, index) => from + index),
            attack,
            { concurrency: 32, discard: true }
          )
        // What the process takes for code and pools is taken by then.
        yield* round(0, 1000)
        const before = residentMiB(child.pid)
        yield* round(1000, attacks)
        const grown = residentMiB(child.pid) - before
        assert.isBelow(grown, 50)
        if (isFull) process.stdout.write(`${attacks} attacks: memory grew by ${grown.toFixed(1)} MiB\n`)
        // A sender has its answer a moment before the server hears that the response is closed.
        const body = yield* Effect.promise(() =>
          until(async () => {
            const answer = await requestOver(`${url}/metrics`, { dispatcher: agent })
            const text = await answer.body.text()
            return text.includes("mcpdeploy_webhook_buffered_bytes 0\n") ? text : undefined
          }, 10)
        )
        assert.notMatch(body, /outcome="(?:accepted|filtered|unavailable)"/)
        // It still serves.
        const good = pushBody()
        const taken = yield* post(`${url}/webhooks/github`, headersFor("github", good, github), good)
        assert.strictEqual(taken.status, 202)
        yield* Effect.promise(() => agent.destroy())
      })
  )
})
