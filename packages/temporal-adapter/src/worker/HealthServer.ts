/** `/healthz`, `/readyz` and `/metrics` of a process on one port, and nothing else. */
import { createServer, type Server, type ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The port cannot be had. */
export class PortUnusable extends Schema.TaggedError<PortUnusable>()("PortUnusable", {
  host: Schema.String,
  port: Schema.Int,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.host}:${this.port} cannot be listened on (${this.detail}): set MCPDEPLOY_HTTP_HOST and MCPDEPLOY_HTTP_PORT to a free one`
  }
}

/** What the process says of itself. */
export interface Health {
  /** The process is worth keeping. */
  readonly healthy: () => boolean
  /** It takes work. */
  readonly ready: () => boolean
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>
}

const answer = async (health: Health, path: string, response: ServerResponse): Promise<void> => {
  const verdict = (good: boolean) => response.writeHead(good ? 200 : 503).end(good ? "ok\n" : "no\n")
  switch (path) {
    case "/healthz":
      verdict(health.healthy())
      return
    case "/readyz":
      verdict(health.ready())
      return
    case "/metrics": {
      const text = await health.metrics()
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text)
      return
    }
    default:
      response.writeHead(404).end()
  }
}

/** Listens; the result is the port. */
export const listen = (server: Server, host: string, port: number) =>
  Effect.callback<number, PortUnusable>((resume) => {
    server.once("error", (error) =>
      resume(Effect.fail(new PortUnusable({ host, port, detail: error.message })))
    )
    server.listen(port, host, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Serves until the scope closes. The result is the port. */
export const serveHealth = Effect.fn("serveHealth")(function* (
  { host, port }: { readonly host: string; readonly port: number },
  health: Health
) {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname
    answer(health, path, response).catch(() => response.writeHead(503).end())
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  return yield* listen(server, host, port)
})
