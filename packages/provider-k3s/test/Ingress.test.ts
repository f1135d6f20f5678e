/** Against a whole region: what the real ingress does with requests on their way to a real app. */
import { readFileSync } from "node:fs"
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2"
import { request } from "node:http"
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { HealthCheck, type RunSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { probe } from "../src/workload/Probe.ts"
import { copyImage } from "./support/CopyImage.ts"
import { arrives, randomRequests, type Sent, valuesOf } from "./support/RandomRequests.ts"
import { askAll, echoApp, type Got } from "./support/RawHttp.ts"
import { workloadOf } from "./support/Sample.ts"
import {
  clusterLayer,
  clusterRegion,
  freshTarget,
  ingress,
  kubeconfig,
  registry,
  titled
} from "./support/TestCluster.ts"

const regionFile = process.env["MCPDEPLOY_TEST_REGION"]
const isReady =
  kubeconfig !== undefined && ingress !== undefined && registry !== undefined && regionFile !== undefined
const needs =
  "MCPDEPLOY_TEST_REGION, MCPDEPLOY_TEST_KUBECONFIG, MCPDEPLOY_TEST_INGRESS, MCPDEPLOY_TEST_REGISTRY"
const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"

/** A workload that is ready and reached, of `script` run by Node. */
const running = Effect.fnUntraced(function* (
  script: string,
  run: Partial<ConstructorParameters<typeof RunSpec>[0]> = {}
) {
  const applier = yield* ClusterApplier
  const target = yield* freshTarget()
  const digest = yield* copyImage(
    registry ?? "",
    "library/node",
    `${target.namespace}/${target.service}`,
    "24-alpine"
  )
  const workload = workloadOf(target, 1, { digest, run: { command: ["node", "-e", script], ...run } })
  yield* applier.awaitRollout(workload, yield* applier.apply(workload))
  return { answer: yield* applier.probe(workload), host: platformHost(target, clusterRegion.platformDomain) }
})

const answering = (response: string) =>
  `require("node:http").createServer((request, response) => { ${response} }).listen(process.env.PORT)`

/** What the ingress adds. */
const added = /^(?:host|content-length|accept-encoding|x-real-ip|x-forwarded-(?:for|host|port|proto|server))$/

/** What of an exchange is not by the rules; empty when all is. */
const deviation = (host: string, sent: Sent, got: Got): string => {
  const expected = arrives(sent)
  if (expected === undefined) return got.status === 400 ? "" : `is answered ${got.status}, not refused`
  if (got.status !== 200 || got.head === undefined) return `is answered ${got.status}`
  const [line = "", ...lines] = got.head.split("\r\n")
  const headers = valuesOf(
    lines.map((each) => [each.slice(0, each.indexOf(":")), each.slice(each.indexOf(":") + 1)] as const)
  )
  if (line !== `${sent.method} ${expected.target} HTTP/1.1`) return `arrives as ${line}`
  if (headers["host"]?.join() !== host) return `arrives for host ${headers["host"]?.join()}`
  if (got.body !== sent.body) return "arrives with another body"
  for (const [name, values] of Object.entries(expected.headers))
    if (JSON.stringify(headers[name]) !== JSON.stringify(values))
      return `arrives with ${name} ${JSON.stringify(headers[name])}`
  return Object.keys(headers)
    .filter((name) => !(name in expected.headers) && !added.test(name))
    .map((name) => `arrives with ${name}`)
    .join()
}

/** An HTTP/2 server without TLS that answers like a gRPC method: a length, the trailer with the status at the end. */
const h2cApp = `
require("node:http2").createServer().on("stream", (stream, headers) => {
  let length = 0
  stream.on("data", (chunk) => { length += chunk.length })
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": headers.te }))
    stream.end(headers[":method"] + " " + headers[":path"] + " " + length)
  })
}).listen(process.env.PORT)`

/** What the app answers to a POST of as many bytes, one a second. */
const sent = (host: string, bytes = 0) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        const upload = request(new URL(ingress ?? ""), { method: "POST", headers: { host } }, (response) => {
          let body = ""
          response
            .setEncoding("utf8")
            .on("data", (chunk) => (body += String(chunk)))
            .on("end", () => resolve(body))
        }).on("error", reject)
        let left = bytes
        const next = () => {
          if (left === 0) return void upload.end()
          left -= 1
          upload.write(".")
          setTimeout(next, 1000)
        }
        next()
      })
  )

/** One call: a message in two parts, and the answer with its trailers. */
const call = (session: ClientHttp2Session, authority: string, path: string) =>
  new Promise<{ readonly body: string; readonly trailers: IncomingHttpHeaders }>((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      ":authority": authority,
      "content-type": "application/grpc",
      te: "trailers"
    })
    let body = ""
    let trailers: IncomingHttpHeaders = {}
    stream
      .setEncoding("utf8")
      .on("data", (chunk) => (body += String(chunk)))
      .on("trailers", (received) => (trailers = received))
      .on("error", reject)
      .on("end", () => resolve({ body, trailers }))
    stream.write("first")
    setTimeout(() => stream.end("second"), 20)
  })

describe.skipIf(!isReady)(titled("the ingress", isReady, needs), () => {
  layer(clusterLayer, { excludeTestServices: true })("of a region", (it) => {
    const count = isFull ? 10_000 : 2_000
    it.effect(`hands ${count} random requests to the app as they were sent, or refuses them by a rule`, () =>
      Effect.gen(function* () {
        const { host } = yield* running(echoApp)
        const seed = Date.now() % 2 ** 31
        const deviations: Array<string> = []
        let refused = 0
        yield* Effect.promise(() =>
          askAll({
            endpoint: new URL(ingress ?? ""),
            host,
            requests: randomRequests(seed, count),
            connections: 8,
            check: (sent, got) => {
              if (got.status === 400) refused += 1
              const found = deviation(host, sent, got)
              if (found !== "") deviations.push(`${JSON.stringify(sent)} ${found}`)
            }
          })
        )
        assert.deepStrictEqual(deviations.slice(0, 5), [], `seed ${seed}`)
        assert.isBelow(refused, count / 5)
      })
    )

    it.effect("is told from an app that answers Traefik's own words for an unknown path", () =>
      Effect.gen(function* () {
        const script = answering('response.writeHead(404).end("404 page not found\\n")')
        const { answer } = yield* running(script)
        assert.strictEqual(answer?.status, 404)
        assert.include(answer?.warning, "404 page not found")
        // Never applied: the ingress has no route to it.
        const unknown = workloadOf(yield* freshTarget(), 1)
        const failure = yield* Effect.flip(
          probe(unknown, new RegionConfig({ ...clusterRegion, probeSeconds: 2 }))
        )
        assert.include(failure.message, "no route to the app")
      })
    )

    it.effect("hands on the head of a stream that says nothing more", () =>
      Effect.gen(function* () {
        const script = answering(
          'response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()'
        )
        const { answer } = yield* running(script)
        assert.strictEqual(answer?.status, 200)
      })
    )

    it.effect("speaks HTTP/2 without TLS with an app that asks for it, by TLS and without", () =>
      Effect.gen(function* () {
        const { answer, host } = yield* running(h2cApp, { protocol: "h2c" })
        assert.strictEqual(answer?.status, 200)
        const endpoints = Schema.decodeUnknownSync(Schema.fromJsonString(RegionEndpoints))(
          readFileSync(regionFile ?? "", "utf8")
        )
        for (const url of [endpoints.ingress.http, endpoints.ingress.https]) {
          const session = yield* Effect.acquireRelease(
            // The certificate of a local region's ingress is for no host.
            Effect.sync(() => connect(url, { rejectUnauthorized: false, servername: host })),
            (session) => Effect.sync(() => session.destroy())
          )
          const { body, trailers } = yield* Effect.promise(() => call(session, host, "/shop.v1.Cart/Add"))
          assert.strictEqual(body, "POST /shop.v1.Cart/Add 11")
          assert.strictEqual(trailers["grpc-status"], "0")
          assert.strictEqual(trailers["grpc-message"], "trailers")
        }
      })
    )

    it.effect(
      "has no part in an app's health check, which asks an app that is ready at a moderate pace",
      () =>
        Effect.gen(function* () {
          const script = `let asked = 0
          ${answering('if (request.url === "/healthz") asked += 1; response.end(String(asked))')}`
          const { host } = yield* running(script, { healthCheck: new HealthCheck({ path: "/healthz" }) })
          const before = Number(yield* sent(host))
          yield* Effect.sleep("12 seconds")
          assert.isAtMost(Number(yield* sent(host)) - before, 2)
        })
    )

    // The default of Traefik ends it after 60 s.
    it.effect.skipIf(!isFull)(
      titled("takes an upload of more than a minute", isFull, "MCPDEPLOY_TEST_FULL"),
      () =>
        Effect.gen(function* () {
          const script = answering(
            'let length = 0; request.on("data", (chunk) => { length += chunk.length }).on("end", () => response.end(String(length)))'
          )
          const { host } = yield* running(script)
          assert.strictEqual(yield* sent(host, 70), "70")
        })
    )
  })
})
