/**
 * CloudflareDouble: an HTTP server on loopback that plays Cloudflare's API v4 for tests, strictly. What Cloudflare documents as
 * refused is refused here, and what it does not document too: unknown fields and parameters. It is no Cloudflare: it steers no traffic.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { makeCollection } from "./Collection.ts"
import type { Fault } from "./Faults.ts"
import { publishedRanges } from "./PublishedRanges.ts"
import { type Answer, ok, refused, shortened } from "./Routes.ts"
import * as Routes from "./Routes.ts"
import type * as Rules from "./Rules.ts"

export interface DoubleOptions {
  readonly token: string
  readonly zone?: string
  /** The largest page that is given, whatever is asked for; 50 when absent. */
  readonly pageSize?: number
  /** How many lists do not show a write yet; 0 when absent. */
  readonly lag?: number
  /** 1,200 in 300 seconds when absent. */
  readonly rateLimit?: { readonly requests: number; readonly windowSeconds: number }
}

export interface DoubleCall {
  readonly method: string
  readonly path: string
  readonly body: Schema.Json | undefined
  /** 0: there was no answer. */
  status: number
}

export interface CloudflareDouble extends Rules.World {
  readonly baseUrl: string
  readonly calls: ReadonlyArray<DoubleCall>
  /** Calls that are no GET. */
  readonly writes: () => ReadonlyArray<DoubleCall>
  /** Requests that are not as documented: a client must send none, whatever the answer. */
  readonly violations: ReadonlyArray<string>
  /** Asked with the number of the call, from 0 since the last {@link reset}. */
  fault: (call: {
    readonly index: number
    readonly method: string
    readonly path: string
  }) => Fault | undefined
  /** Told when a call gets no answer for ever. */
  onSilence: () => void
  /** Forgets the calls, not the objects. */
  readonly reset: () => void
}

const readBody = (request: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece))
    request.on("end", () => resolve(text)).on("error", reject)
  })

/** A double for as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: DoubleOptions
): Effect.fn.Return<CloudflareDouble, never, Scope.Scope> {
  const calls: Array<DoubleCall> = []
  const violations: Array<string> = []
  const lag = () => options.lag ?? 0
  const world = {
    zone: { id: "0".repeat(31) + "1", name: options.zone ?? "ml.ink", accountId: "a".repeat(32) },
    records: makeCollection(lag),
    monitors: makeCollection(lag),
    pools: makeCollection(lag),
    loadBalancers: makeCollection(lag)
  }
  const limit = options.rateLimit ?? { requests: 1200, windowSeconds: 300 }
  let windowStart = Date.now()
  let inWindow = 0

  /** Authorization, headers and the rate limit, as they are before anything else. */
  const gate = (request: IncomingMessage, url: URL): Answer | undefined => {
    const { authorization } = request.headers
    if (request.headers["user-agent"] === undefined) {
      violations.push("no User-Agent")
      return refused({ status: 403, code: 1010, message: "Access denied" })
    }
    const isPublic = url.pathname === "/client/v4/ips"
    if (!isPublic && (authorization === undefined || !/^Bearer \S+$/.test(authorization)))
      return refused({ status: 400, code: 6003, message: "Invalid request headers" })
    if (!isPublic && authorization !== `Bearer ${options.token}`)
      return refused({ status: 403, code: 10000, message: "Authentication error" })
    const now = Date.now()
    if (now - windowStart >= limit.windowSeconds * 1000) {
      windowStart = now
      inWindow = 0
    }
    if (++inWindow > limit.requests) {
      const wait = Math.ceil((windowStart + limit.windowSeconds * 1000 - now) / 1000)
      return refused(
        { status: 429, code: 10100, message: "More than the allowed requests reached" },
        { "retry-after": String(wait) }
      )
    }
    return undefined
  }

  const respond = (
    request: IncomingMessage,
    url: URL,
    text: string
  ): { answer: Answer; body: Schema.Json | undefined } => {
    const gated = gate(request, url)
    let body: Schema.Json | undefined
    if (text !== "") {
      if (request.headers["content-type"] !== "application/json")
        violations.push("a body that is no application/json")
      body = JSON.parse(text)
    }
    if (gated !== undefined) return { answer: gated, body }
    if (url.pathname === "/client/v4/ips") return { answer: ok(publishedRanges), body }
    const asked = { method: request.method ?? "", url, body }
    return {
      body,
      answer: Routes.answerOf(world, Routes.kindsOf(world), options.pageSize ?? 50, asked, (what) =>
        violations.push(what)
      )
    }
  }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const text = await readBody(request)
    const url = new URL(request.url ?? "", "http://loopback")
    const method = request.method ?? ""
    const path = url.pathname.replace(/^\/client\/v4/, "")
    const fault = double.fault({ index: calls.length, method, path })
    const call: DoubleCall = { method, path, body: text === "" ? undefined : JSON.parse(text), status: 0 }
    calls.push(call)
    const write = (answer: Answer, cut: boolean) => {
      call.status = answer.status
      const bytes = Buffer.from(JSON.stringify(answer.body))
      const left = Math.max(0, limit.requests - inWindow)
      const reset = Math.ceil((windowStart + limit.windowSeconds * 1000 - Date.now()) / 1000)
      response.writeHead(answer.status, {
        "content-type": "application/json",
        "content-length": bytes.length,
        ratelimit: `"default";r=${left};t=${reset}`,
        ...answer.headers
      })
      if (!cut) return void response.end(bytes)
      response.write(bytes.subarray(0, Math.floor(bytes.length / 2)))
      setTimeout(() => response.destroy(), 5)
    }
    switch (fault?.kind) {
      case undefined:
        return write(respond(request, url, text).answer, false)
      case "throttled": {
        const headers = { "retry-after": String(fault.retryAfterSeconds) }
        return write(
          refused(
            { status: 429, code: 971, message: "Please wait and consider throttling your request speed" },
            headers
          ),
          false
        )
      }
      case "error":
        if (fault.done) respond(request, url, text)
        return write(refused({ status: fault.status, code: 10001, message: "internal error" }), false)
      case "reset":
        if (fault.done) respond(request, url, text)
        return void response.destroy()
      case "silence":
        if (fault.done) respond(request, url, text)
        return double.onSilence()
      case "cut":
        return write(respond(request, url, text).answer, true)
      case "shortPage": {
        const { answer } = respond(request, url, text)
        return write({ ...answer, body: shortened(answer.body) }, false)
      }
    }
  }

  const double: CloudflareDouble = {
    ...world,
    baseUrl: "",
    calls,
    violations,
    writes: () => calls.filter(({ method }) => method !== "GET"),
    fault: () => undefined,
    onSilence: () => {},
    reset: () => void calls.splice(0)
  }
  const port = yield* Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        handle(request, response).catch((error: unknown) => {
          violations.push(`the double failed: ${String(error)}`)
          response.destroy()
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(
          Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : 0, close })
        )
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ port }) => port))
  return Object.assign(double, { baseUrl: `http://127.0.0.1:${port}/client/v4` })
})
