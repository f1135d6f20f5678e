/** ApiDouble: the server of a vendor's API double on loopback: its calls, its violations, and faults on any call. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** What a request can be answered with instead of its answer. */
export type Fault =
  /** 429; nothing is done. */
  | { readonly kind: "throttled"; readonly retryAfterSeconds: number }
  /** A 5xx; the request is carried out or not. */
  | { readonly kind: "error"; readonly status: 500 | 502 | 503 | 504; readonly done: boolean }
  /** The connection is reset instead of an answer. */
  | { readonly kind: "reset"; readonly done: boolean }
  /** There never is an answer. */
  | { readonly kind: "silence"; readonly done: boolean }
  /** The body ends before its end. */
  | { readonly kind: "cut" }
  /** A list's page misses its last entry. */
  | { readonly kind: "shortPage" }
  /** A refusal of this vendor's own; nothing is done. */
  | { readonly kind: "refused"; readonly answer: ApiAnswer }

/** Every fault that can happen once at any vendor's, with what a test calls it. */
export const everyFault: ReadonlyArray<readonly [string, Fault]> = [
  ["429 with Retry-After", { kind: "throttled", retryAfterSeconds: 0 }],
  ["500 before it is done", { kind: "error", status: 500, done: false }],
  ["502 after it is done", { kind: "error", status: 502, done: true }],
  ["503 before it is done", { kind: "error", status: 503, done: false }],
  ["reset before it is done", { kind: "reset", done: false }],
  ["reset after it is done", { kind: "reset", done: true }],
  ["no answer, not done", { kind: "silence", done: false }],
  ["no answer, done", { kind: "silence", done: true }],
  ["an answer that is cut off", { kind: "cut" }],
  ["a page that misses an entry", { kind: "shortPage" }]
]

/** What the double answers. */
export interface ApiAnswer {
  readonly status: number
  readonly body: Schema.Json
  readonly headers?: Readonly<Record<string, string>>
}

/** A request that has arrived. */
export interface ApiRequest {
  readonly method: string
  readonly url: URL
  /** Without the API's base path. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly body: Schema.Json | undefined
}

/** A request that has arrived and what became of it. */
export interface DoubleCall {
  readonly method: string
  readonly path: string
  readonly body: Schema.Json | undefined
  /** 0: there was no answer. */
  status: number
  /** The answer's body. */
  answer: Schema.Json | undefined
}

/** A server on loopback that stands for a vendor's API, and records what it is asked. */
export interface ApiDouble {
  readonly baseUrl: string
  readonly calls: ReadonlyArray<DoubleCall>
  /** Calls that are no GET. */
  readonly writes: () => ReadonlyArray<DoubleCall>
  /** Requests that are not as documented: a client must send none, whatever the answer. */
  readonly violations: ReadonlyArray<string>
  readonly violate: (what: string) => void
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

/** What the double stands for. */
export interface ApiDoubleOptions {
  /** Such as `/client/v4`. */
  readonly basePath: string
  /** Carries the request out. */
  readonly respond: (request: ApiRequest) => ApiAnswer
  readonly throttled: (retryAfterSeconds: number) => ApiAnswer
  readonly failed: (status: number) => ApiAnswer
  /** A list's answer without its last entry, and what it says of its length as before. */
  readonly shortened: (body: Schema.Json) => Schema.Json
  /** On every answer. */
  readonly headers: () => Readonly<Record<string, string>>
}

const readBody = (request: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece))
    request.on("end", () => resolve(text)).on("error", reject)
  })

const jsonOf = (headers: IncomingHttpHeaders, text: string): Schema.Json | undefined =>
  text === "" || !(headers["content-type"] ?? "").startsWith("application/json")
    ? undefined
    : JSON.parse(text)

/** Serves for as long as the scope. */
export const serveApi = Effect.fnUntraced(function* (
  options: ApiDoubleOptions
): Effect.fn.Return<ApiDouble, never, Scope.Scope> {
  const calls: Array<DoubleCall> = []
  const violations: Array<string> = []
  const double: ApiDouble = {
    baseUrl: "",
    calls,
    violations,
    violate: (what: string) => void violations.push(what),
    writes: () => calls.filter(({ method }) => method !== "GET"),
    fault: () => undefined,
    onSilence: () => {},
    reset: () => void calls.splice(0)
  }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const text = await readBody(request)
    const url = new URL(request.url ?? "", "http://loopback")
    const method = request.method ?? ""
    const path = url.pathname.startsWith(options.basePath)
      ? url.pathname.slice(options.basePath.length)
      : url.pathname
    const body = jsonOf(request.headers, text)
    const fault = double.fault({ index: calls.length, method, path })
    const call: DoubleCall = { method, path, body, status: 0, answer: undefined }
    calls.push(call)
    const respond = () => options.respond({ method, url, path, headers: request.headers, text, body })
    const write = (answer: ApiAnswer, isCut = false) => {
      call.status = answer.status
      call.answer = answer.body
      const bytes = Buffer.from(JSON.stringify(answer.body))
      response.writeHead(answer.status, {
        "content-type": "application/json",
        "content-length": bytes.length,
        ...options.headers(),
        ...answer.headers
      })
      if (!isCut) return void response.end(bytes)
      response.write(bytes.subarray(0, Math.floor(bytes.length / 2)))
      setTimeout(() => response.destroy(), 5)
    }
    switch (fault?.kind) {
      case undefined:
        return write(respond())
      case "throttled":
        return write(options.throttled(fault.retryAfterSeconds))
      case "refused":
        return write(fault.answer)
      case "error":
        if (fault.done) respond()
        return write(options.failed(fault.status))
      case "reset":
        if (fault.done) respond()
        return void response.destroy()
      case "silence":
        if (fault.done) respond()
        return double.onSilence()
      case "cut":
        return write(respond(), true)
      case "shortPage": {
        const answer = respond()
        return write({ ...answer, body: options.shortened(answer.body) })
      }
    }
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
  return Object.assign(double, { baseUrl: `http://127.0.0.1:${port}${options.basePath}` })
})
