/**
 * HttpServer: the routes, on node:http. Not on an HTTP library: its router, request and response objects cost more than
 * checking a signature, and what is served here are five fixed paths.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { listen } from "@mcpdeploy/temporal-adapter/worker/HealthServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { refused, type Reply, unavailable } from "./Answer.ts"
import { ByteBudget, readBody, refusalOfHeaders } from "./Body.ts"
import { Deliveries } from "./Deliveries.ts"
import { type Forge, headersOf } from "./Forge.ts"
import { type Gauges, ServerMetrics } from "./Metrics.ts"

/** Where it listens, and its bounds. */
export interface HttpConfig {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Of one body. GitHub sends at most 25 MB. */
  readonly bodyLimitBytes: number
  /** Of all bodies that are held at once. */
  readonly bufferBytes: number
  /** How long a request may take to arrive. */
  readonly bodySeconds: number
  /** Milliseconds from a request's last byte to its answer, at most. */
  readonly answerMs: number
}

/** What readiness depends on. */
export interface Health {
  readonly isTemporalConnected: () => boolean
  readonly isCatalogConnected: () => boolean
}

/** A server that listens. */
export interface HttpServer {
  readonly port: number
  /** Takes no new connection, answers what has come, and returns when that is done. */
  readonly drain: Effect.Effect<void>
}

const maxConnections = 4096
const headersTimeoutMs = 5000
const keepAliveMs = 60_000
const checkEveryMs = 1000

const webhooks: Readonly<Record<string, Forge>> = { "/webhooks/github": "github", "/webhooks/gitea": "gitea" }
const pages: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"])

const headerOf = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return typeof value === "string" ? value : undefined
}

const send = (
  response: ServerResponse,
  { answer, retryAfter, status }: Reply,
  more: Array<string> = []
): void => {
  if (response.headersSent || response.destroyed) return
  const text = JSON.stringify(answer)
  const headers = [
    "content-type",
    "application/json",
    "content-length",
    String(Buffer.byteLength(text)),
    ...more
  ]
  if (retryAfter !== undefined) headers.push("retry-after", String(retryAfter))
  response.writeHead(status, headers).end(text)
}

const sendText = (response: ServerResponse, status: number, text: string): void => {
  response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text)
}

/** What is no HTTP, or does not arrive in time: there is no response object for it. */
const onClientError = (error: Error & { readonly code?: string }, socket: Socket): void => {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy()
    return
  }
  const status =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "408 Request Timeout"
      : error.code === "HPE_HEADER_OVERFLOW"
        ? "431 Request Header Fields Too Large"
        : "400 Bad Request"
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
}

/** Serves until the scope closes. Without a span: every delivery would be part of it. */
export const serve = Effect.fnUntraced(function* (config: HttpConfig, health: Health) {
  const deliveries = yield* Deliveries
  const context = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  const metrics = new ServerMetrics(context)
  const budget = new ByteBudget(config.bufferBytes)
  let isDraining = false

  const gauges = (): Gauges => ({
    inFlight: deliveries.inFlight(),
    bufferedBytes: budget.held,
    isTemporalConnected: health.isTemporalConnected(),
    isCatalogConnected: health.isCatalogConnected()
  })

  const onWebhook = (forge: Forge, request: IncomingMessage, response: ServerResponse): void => {
    const begun = performance.now()
    const reply = (answer: Reply) => {
      if (response.headersSent) return
      metrics.answered(forge, answer, (performance.now() - begun) / 1000)
      send(response, answer, isDraining ? ["connection", "close"] : [])
    }
    const early = isDraining
      ? unavailable("this process is about to end", 1)
      : refusalOfHeaders(request, config.bodyLimitBytes)
    if (early !== undefined) {
      request.resume()
      return reply(early)
    }
    const names = headersOf[forge]
    const body = readBody(request, config.bodyLimitBytes, budget, (result) => {
      if (!Buffer.isBuffer(result)) return reply(result)
      const fiber = run(
        deliveries.receive({
          forge,
          event: headerOf(request, names.event),
          id: headerOf(request, names.delivery),
          signature: headerOf(request, names.signature),
          body: result
        })
      )
      const due = setTimeout(
        () => reply(unavailable("Temporal does not answer in time", 30)),
        config.answerMs
      )
      fiber.addObserver((exit) => {
        clearTimeout(due)
        if (Exit.isSuccess(exit)) return reply(exit.value)
        run(Effect.logError("a delivery was not handled", exit.cause))
        reply(unavailable("something broke", 30))
      })
    })
    response.on("close", body.release)
  }

  const onPage = (path: string, response: ServerResponse): void => {
    const { isCatalogConnected, isTemporalConnected } = health
    switch (path) {
      case "/healthz":
        return sendText(response, 200, "ok\n")
      case "/readyz": {
        const missing = [
          ...(isTemporalConnected() ? [] : ["Temporal does not answer"]),
          ...(isCatalogConnected() ? [] : ["the catalog cannot be read"]),
          ...(isDraining ? ["it is about to end"] : [])
        ]
        return missing.length === 0
          ? sendText(response, 200, "ok\n")
          : sendText(response, 503, `${missing.join(", ")}\n`)
      }
      default:
        return sendText(response, 200, metrics.text(gauges()))
    }
  }

  const server = createServer(
    {
      noDelay: true,
      headersTimeout: Math.min(headersTimeoutMs, config.bodySeconds * 1000),
      requestTimeout: config.bodySeconds * 1000,
      connectionsCheckingInterval: checkEveryMs,
      keepAliveTimeout: keepAliveMs
    },
    (request, response) => {
      const [path = ""] = (request.url ?? "").split("?", 1)
      const forge = Object.hasOwn(webhooks, path) ? webhooks[path] : undefined
      const method = forge !== undefined ? "POST" : pages.has(path) ? "GET" : undefined
      if (method === undefined) {
        request.resume()
        return send(response, refused(404, "there is nothing here"))
      }
      if (request.method !== method) {
        request.resume()
        return send(response, refused(405, `only ${method} is served here`), ["allow", method])
      }
      if (forge !== undefined) return onWebhook(forge, request, response)
      request.resume()
      onPage(path, response)
    }
  )
  server.maxConnections = maxConnections
  server.on("clientError", onClientError)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  const port = yield* listen(server, config.host, config.port)
  const drain = Effect.callback<void>((resume) => {
    isDraining = true
    server.close(() => resume(Effect.void))
    server.closeIdleConnections()
  })
  return { port, drain } satisfies HttpServer
})
