/** Requests over a socket, byte by byte as they are, and an app that says what it got: no HTTP library may mend what is sent. */
import { connect, type Socket } from "node:net"
import type { Sent } from "./RandomRequests.ts"

/**
 * The app, for `node -e`: answers each request's head and body in headers, so that answers to HEAD tell them too. Listens on
 * PORT.
 */
export const echoApp = `
require("node:net").createServer((socket) => {
  let buffer = Buffer.alloc(0)
  socket.on("error", () => {}).on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk])
    for (;;) {
      const end = buffer.indexOf("\\r\\n\\r\\n")
      if (end === -1) return
      const head = buffer.subarray(0, end).toString("latin1")
      const length = Number(/\\ncontent-length: *(\\d+)/i.exec(head)?.[1] ?? 0)
      if (buffer.length < end + 4 + length) return
      const body = buffer.subarray(end + 4, end + 4 + length)
      buffer = buffer.subarray(end + 4 + length)
      socket.write("HTTP/1.1 200 OK\\r\\nX-Head: " + Buffer.from(head, "latin1").toString("base64") + "\\r\\nX-Body: " + body.toString("base64") + "\\r\\nContent-Length: 0\\r\\n\\r\\n")
    }
  })
}).listen(Number(process.env.PORT))
`

export interface Got {
  readonly status: number
  /** Of the app's answer: what it got. */
  readonly head: string | undefined
  readonly body: string | undefined
}

const textOf = (host: string, { body, headers, method, target }: Sent): string =>
  [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : [`Content-Length: ${body.length}`]),
    "",
    body
  ].join("\r\n")

const fromBase64 = (head: string, name: string): string | undefined => {
  const value = new RegExp(`\\n${name}: *([^\\r]*)`, "i").exec(head)?.[1]
  return value === undefined ? undefined : Buffer.from(value, "base64").toString("latin1")
}

/** One connection, kept as long as the other side keeps it. */
class Connection {
  readonly #socket: Socket
  #buffer = ""
  #wake: () => void = () => undefined
  #ended = false
  constructor(socket: Socket) {
    this.#socket = socket.setEncoding("latin1")
    socket.on("data", (chunk) => {
      this.#buffer += String(chunk)
      this.#wake()
    })
    for (const event of ["error", "close"] as const)
      socket.on(event, () => {
        this.#ended = true
        this.#wake()
      })
  }
  get ended(): boolean {
    return this.#ended
  }
  async #until(isThere: () => boolean): Promise<void> {
    while (!isThere() && !this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
  async ask(host: string, sent: Sent): Promise<Got> {
    this.#socket.write(textOf(host, sent), "latin1")
    await this.#until(() => this.#buffer.includes("\r\n\r\n"))
    const end = this.#buffer.indexOf("\r\n\r\n")
    const head = this.#buffer.slice(0, Math.max(end, 0))
    const length = Number(/\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.POSITIVE_INFINITY)
    const whole = end + 4 + (sent.method === "HEAD" ? 0 : length)
    await this.#until(() => this.#buffer.length >= whole)
    this.#buffer = this.#buffer.slice(whole)
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0)
    if (/\nconnection: *close/i.test(head) || !Number.isFinite(length)) this.close()
    return { status, head: fromBase64(head, "x-head"), body: fromBase64(head, "x-body") }
  }
  close(): void {
    this.#ended = true
    this.#socket.destroy()
  }
}

/** Asks all of them, over `connections` at once, and calls `check` with each answer. */
export const askAll = async (options: {
  readonly endpoint: URL
  readonly host: string
  readonly requests: ReadonlyArray<Sent>
  readonly connections: number
  readonly check: (sent: Sent, got: Got) => void
}): Promise<void> => {
  const { check, connections, endpoint, host, requests } = options
  let next = 0
  const worker = async () => {
    let connection: Connection | undefined
    try {
      while (next < requests.length) {
        const sent = requests[next++]
        if (sent === undefined) return
        if (connection === undefined || connection.ended)
          connection = new Connection(connect(Number(endpoint.port), endpoint.hostname))
        check(sent, await connection.ask(host, sent))
      }
    } finally {
      connection?.close()
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
}
