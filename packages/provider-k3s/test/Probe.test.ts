/** The app stands behind an ingress that is this test's: what Traefik itself answers is seen in Ingress.test.ts. */
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { HealthCheck } from "@mcpdeploy/core/domain/DeployRequest"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { firstLine } from "../src/workload/FirstLine.ts"
import { noRouteHeader, probe } from "../src/workload/Probe.ts"
import { targetOf, workloadOf } from "./support/Sample.ts"

const notFound = "404 page not found\n"

/** An ingress in front of `app`. For other hosts it answers as Traefik does, marked or not; so it does for the app's until `routed`. */
const ingressOf = (app: RequestListener, options: { marks: boolean; routed?: () => boolean }) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer((request, response) => {
            const isApp = request.headers.host?.startsWith("web-") === true && options.routed?.() !== false
            if (isApp) return void app(request, response)
            response.writeHead(404, options.marks ? { [noRouteHeader]: "true" } : {}).end(notFound)
          }).listen(0, "127.0.0.1", () => resolve(server))
        })
    ),
    (server) =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      })
  )

const portOf = (address: string | AddressInfo | null): number =>
  typeof address === "object" && address !== null ? address.port : 0

interface Case {
  readonly app: RequestListener
  readonly path?: string
  readonly marks?: boolean
  readonly probeSeconds?: number
  readonly routed?: () => boolean
  readonly protocol?: "http" | "h2c"
}

const probed = ({ app, marks = true, path, probeSeconds = 30, protocol, routed }: Case) =>
  Effect.gen(function* () {
    const server = yield* ingressOf(app, { marks, ...(routed === undefined ? {} : { routed }) })
    const region = new RegionConfig({
      platformDomain: PlatformDomain.make("ml.ink"),
      ingressEndpoint: `http://127.0.0.1:${portOf(server.address())}`,
      probeSeconds
    })
    const run = {
      ...(path === undefined ? {} : { healthCheck: new HealthCheck({ path }) }),
      ...(protocol === undefined ? {} : { protocol })
    }
    return yield* probe(workloadOf(targetOf("u", "p", "web"), 1, { run }), region)
  }).pipe(Effect.scoped)

const elapsed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const started = performance.now()
    const value = yield* effect
    return { value, seconds: (performance.now() - started) / 1000 }
  })

describe("the app's answer through the ingress", () => {
  for (const path of [undefined, "/events"])
    for (const every of [0, 20])
      it.live(
        `is its head, though the body is a stream that ${every === 0 ? "says nothing" : "goes on"} (${path ?? "no health check"})`,
        () =>
          Effect.gen(function* () {
            const app: RequestListener = (_, response) => {
              response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
              if (every > 0) setInterval(() => response.write(":\n\n"), every).unref()
            }
            const { seconds, value } = yield* elapsed(
              probed({ app, ...(path === undefined ? {} : { path }) })
            )
            assert.strictEqual(value?.status, 200)
            assert.isUndefined(value?.warning)
            assert.isBelow(seconds, 8)
          })
      )

  it.live("is a refusal whose first words have come, though its body never ends", () =>
    Effect.gen(function* () {
      const app: RequestListener = (_, response) => void response.writeHead(403).write("not you\n")
      const { seconds, value } = yield* elapsed(probed({ app }))
      assert.include(value?.warning, "gets 403: not you")
      assert.isBelow(seconds, 8)
    })
  )

  it.live("has a time for all attempts together, and for one", () =>
    Effect.gen(function* () {
      const { seconds, value } = yield* elapsed(
        Effect.flip(probed({ app: () => undefined, probeSeconds: 1 }))
      )
      assert.include(value.message, "within 1 seconds")
      assert.isBelow(seconds, 8)
    })
  )

  it.live("tells what was answered last when the time is over", () =>
    Effect.gen(function* () {
      const app: RequestListener = (_, response) => void response.writeHead(502).end("Bad Gateway")
      const failure = yield* Effect.flip(probed({ app, probeSeconds: 2 }))
      assert.strictEqual(failure.status, 502)
      assert.include(failure.detail, "Bad Gateway")
    })
  )

  it.live("may be the ingress's own words for an unknown path", () =>
    Effect.gen(function* () {
      const app: RequestListener = (_, response) => void response.writeHead(404).end(notFound)
      const answer = yield* probed({ app })
      assert.strictEqual(answer?.status, 404)
      assert.include(answer?.warning, "gets 404: 404 page not found")
    })
  )

  it.live("is not the ingress's own, which is waited out", () =>
    Effect.gen(function* () {
      let asked = 0
      const app: RequestListener = (_, response) => void response.end("hello")
      const answer = yield* probed({ app, routed: () => ++asked > 3 })
      assert.strictEqual(answer?.status, 200)
      const never = yield* Effect.flip(probed({ app, routed: () => false, probeSeconds: 2 }))
      assert.include(never.message, "no route to the app")
    })
  )

  it.live("cannot be told from the ingress's own where that is not marked, unless it is another", () =>
    Effect.gen(function* () {
      const same: RequestListener = (_, response) => void response.writeHead(404).end(notFound)
      const failure = yield* Effect.flip(probed({ app: same, marks: false, probeSeconds: 2 }))
      assert.include(failure.message, "run.healthCheck.path")
      const other: RequestListener = (_, response) => void response.writeHead(404).end("Cannot GET /")
      assert.strictEqual((yield* probed({ app: other, marks: false }))?.status, 404)
    })
  )

  it.live("warns when whoever asks is refused, in the answer's own words", () =>
    Effect.gen(function* () {
      for (const [status, type, body, words] of [
        [403, "text/plain", 'Blocked request. This host ("x") is not allowed.\nmore', "Blocked request."],
        [401, "text/plain", "", "gets 401"],
        [400, "text/html", "<html><head><title>Bad Request (400)</title>", "gets 400: Bad Request (400)"],
        [
          404,
          "text/html; charset=utf-8",
          "<!doctype html>\n<style>a{}</style><p>Not\u001b[2J here</p>",
          "Not [2J here"
        ]
      ] as const) {
        const app: RequestListener = (_, response) =>
          void response.writeHead(status, { "content-type": type }).end(body)
        assert.include((yield* probed({ app }))?.warning, words)
      }
      const fine: RequestListener = (_, response) => void response.writeHead(302, { location: "/x" }).end()
      assert.isUndefined((yield* probed({ app: fine }))?.warning)
      // A gRPC server says so to whoever does not speak gRPC.
      const grpc: RequestListener = (_, response) => void response.writeHead(415).end()
      assert.isUndefined((yield* probed({ app: grpc, protocol: "h2c" }))?.warning)
    })
  )

  it.live(
    "says which field is for HTTP/2 without TLS, where the ingress gets no answer that it understands",
    () =>
      Effect.gen(function* () {
        const app: RequestListener = (_, response) =>
          void response.writeHead(500).end("Internal Server Error")
        const failed = yield* Effect.flip(probed({ app, probeSeconds: 1 }))
        assert.include(failed.message, "set run.protocol: h2c")
        const itself = yield* Effect.flip(
          probed({ app: (_, response) => void response.writeHead(500).end("no database"), probeSeconds: 1 })
        )
        assert.notInclude(itself.message, "h2c")
      })
  )
  it.live("must be 200 to 399 at the path of a health check", () =>
    Effect.gen(function* () {
      const app: RequestListener = (_, response) => void response.writeHead(429).end("slow down")
      const failure = yield* Effect.flip(probed({ app, path: "/healthz", probeSeconds: 2 }))
      assert.include(failure.message, "answers 429: slow down")
    })
  )
})

describe("an answer's first line", () => {
  it.prop(
    "is one printable line of bounded length",
    [Schema.String, Schema.Literals(["text/html", ""])],
    ([body, type]) => {
      const line = firstLine(body, type)
      assert.isAtMost(line.length, 161)
      assert.notMatch(line, /[\u0000-\u001f\u007f]/)
    }
  )
})

describe("the region's ingress", () => {
  it("marks its own answers by the header that is looked for", () => {
    const values = new URL("../../../regions/eu-central-1/k8s/values/traefik.yaml", import.meta.url)
    assert.include(readFileSync(values, "utf8").toLowerCase(), noRouteHeader)
  })
})
