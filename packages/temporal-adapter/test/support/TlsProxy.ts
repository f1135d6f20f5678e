/** A TLS front of a dev server, as Temporal Cloud is one: it asks for a client certificate, or for an API key. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import * as http2 from "node:http2"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"

/** An authority in a folder of its own, and what it has signed. */
export class Authority {
  readonly folder = mkdtempSync(join(tmpdir(), "mcpdeploy-tls-"))
  readonly certificate = join(this.folder, "ca.pem")

  constructor() {
    const subject = ["-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"]
    this.#openssl("req", "-x509", ...this.#newKey("ca"), "-days", "2", ...subject, "-out", this.certificate)
  }
  /** Paths of a certificate and its key. Signed for no day, it has expired when the second is over. */
  sign(name: string, days = 2): { readonly certificate: string; readonly key: string } {
    const certificate = join(this.folder, `${name}.pem`)
    const request = join(this.folder, `${name}.csr`)
    const names = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"]
    this.#openssl("req", ...this.#newKey(name), ...names, "-out", request)
    this.#openssl(
      ...["x509", "-req", "-in", request, "-CA", this.certificate, "-CAkey", join(this.folder, "ca.key")],
      ...["-CAcreateserial", "-copy_extensions", "copy", "-days", String(days), "-out", certificate]
    )
    return { certificate, key: join(this.folder, `${name}.key`) }
  }
  #newKey(name: string): ReadonlyArray<string> {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [...key, "-keyout", join(this.folder, `${name}.key`)]
  }
  #openssl(...args: ReadonlyArray<string>): void {
    execFileSync("openssl", args, { stdio: "ignore" })
  }
  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export const authority = Effect.acquireDisposable(Effect.sync(() => new Authority()))

/** gRPC's answer to a wrong API key. */
const unauthenticated = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-status": "16",
  "grpc-message": "Request unauthorized."
}

/** Hop-by-hop fields, which HTTP/2 makes anew. */
const forwarded = (headers: http2.IncomingHttpHeaders): http2.OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name !== ":authority" && name !== "host"))

/** Passes calls on to `upstream` (`host:port`); the result is its own address. Ends with its scope. */
export const tlsProxy = Effect.fn("tlsProxy")(function* (options: {
  readonly upstream: string
  readonly authority: Authority
  /** Demanded of every caller. */
  readonly require: "certificate" | { readonly apiKey: string }
}) {
  const { authority, require, upstream } = options
  const own = authority.sign("127.0.0.1")
  const server = http2.createSecureServer({
    key: readFileSync(own.key),
    cert: readFileSync(own.certificate),
    ca: readFileSync(authority.certificate),
    requestCert: require === "certificate",
    rejectUnauthorized: require === "certificate"
  })
  const session = http2.connect(`http://${upstream}`)
  session.on("error", () => undefined)
  const open = new Set<http2.ServerHttp2Session>()
  server.on("session", (opened) => {
    open.add(opened)
    opened.on("close", () => open.delete(opened)).on("error", () => undefined)
  })
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined)
    if (typeof require === "object" && headers.authorization !== `Bearer ${require.apiKey}`) {
      stream.respond(unauthenticated, { endStream: true })
      return
    }
    const call = session.request(forwarded(headers))
    call.on("error", () => stream.close())
    call.on("response", (answer, flags) => {
      const isOver = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0
      stream.respond(forwarded(answer), { endStream: isOver, waitForTrailers: !isOver })
      let trailers: http2.OutgoingHttpHeaders = {}
      call.on("trailers", (fields) => (trailers = forwarded(fields)))
      stream.on("wantTrailers", () => stream.sendTrailers(trailers))
      call.pipe(stream)
    })
    stream.pipe(call)
    stream.on("close", () => call.close(http2.constants.NGHTTP2_CANCEL))
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      for (const opened of open) opened.destroy()
      session.destroy()
    })
  )
  const port = yield* Effect.callback<number>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
  return `127.0.0.1:${port}`
})
