/**
 * What a build may ask of this side: the context's files, registry credentials, build secrets. Served through the
 * tunnel (Tunnel.ts); everything else answers UNIMPLEMENTED.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as http2 from "node:http2"
import { BuilderUnreachable } from "../BuildFailure.ts"
import type { Endpoint } from "./Address.ts"
import { FileSender, type Transfer } from "./FileSync.ts"
import { Deframer, frame } from "./Framing.ts"
import {
  CredentialsRequestSchema,
  CredentialsResponseSchema,
  GetSecretRequestSchema,
  GetSecretResponseSchema,
  HealthCheckResponseSchema
} from "./gen/buildkit_pb.ts"
import { openTunnel } from "./Tunnel.ts"
import type { WalkFilter } from "./Walk.ts"

/** What the daemon logs in with at a registry. */
export interface RegistryCredentials {
  readonly username: string
  readonly password: Redacted.Redacted
}

/** What one build may read. */
export interface SessionContent {
  /** Absolute, resolved paths by the name that the builder asks for. */
  readonly directories: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, Redacted.Redacted<Uint8Array>>>
  readonly credentials: (host: string) => Effect.Effect<RegistryCredentials | undefined>
  /** Two builds with one key may reuse each other's files: one key for one tenant's service. */
  readonly sharedKey: string
}

/** A session as the build sees it. */
export interface Session {
  readonly id: string
  /** What was sent so far. */
  readonly transfers: ReadonlyArray<Transfer>
  /** The first thing that went wrong on this side; the daemon's message tells less. */
  readonly failure: () => Error | undefined
}

/** gRPC status codes (google.rpc.Code). */
const code = { ok: 0, unknown: 2, notFound: 5, unimplemented: 12 } as const

class CallFailed extends Error {
  override readonly name = "CallFailed"
  readonly code: number
  constructor(status: number, message: string) {
    super(message)
    this.code = status
  }
}

type UnaryMethod = (request: Uint8Array) => Promise<Uint8Array>

const unaryMethods = (content: SessionContent): Readonly<Record<string, UnaryMethod>> => ({
  "/grpc.health.v1.Health/Check": () =>
    Promise.resolve(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status: 1 }))),
  "/moby.filesync.v1.Auth/Credentials": async (request) => {
    const { Host } = fromBinary(CredentialsRequestSchema, request)
    const found = await Effect.runPromise(content.credentials(Host))
    const response = create(
      CredentialsResponseSchema,
      found === undefined ? {} : { Username: found.username, Secret: Redacted.value(found.password) }
    )
    return toBinary(CredentialsResponseSchema, response)
  },
  "/moby.buildkit.secrets.v1.Secrets/GetSecret": (request) => {
    const { ID } = fromBinary(GetSecretRequestSchema, request)
    const secret = Object.hasOwn(content.secrets, ID) ? content.secrets[ID] : undefined
    if (secret === undefined) return Promise.reject(new CallFailed(code.notFound, `secret ${ID} not found`))
    const response = create(GetSecretResponseSchema, { data: Redacted.value(secret) })
    return Promise.resolve(toBinary(GetSecretResponseSchema, response))
  }
})
const diffCopy = "/moby.filesync.v1.FileSync/DiffCopy"

const grpcHead = { ":status": 200, "content-type": "application/grpc" } as const

const finish = (stream: http2.ServerHttp2Stream, status: number, message = ""): void => {
  if (stream.destroyed || stream.closed) return
  const trailers = {
    "grpc-status": String(status),
    ...(message === "" ? {} : { "grpc-message": encodeURIComponent(message) })
  }
  if (!stream.headersSent) {
    stream.respond({ ...grpcHead, ...trailers }, { endStream: true })
    return
  }
  stream.once("wantTrailers", () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(trailers)
  })
  stream.end()
}

/** The one message of a unary call. Reads to the end: leaving the stream earlier would reset it, and the answer with it. */
const readRequest = async (stream: http2.ServerHttp2Stream): Promise<Uint8Array> => {
  const deframer = new Deframer()
  let request: Uint8Array = new Uint8Array()
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    for (const message of deframer.push(chunk)) request = Buffer.from(message)
  }
  return request
}

/** All values of a header, in order: node joins repeated ones with commas, which a pattern may contain. */
const headerValues = (raw: ReadonlyArray<string>, name: string): ReadonlyArray<string> => {
  const valuesOf = (wanted: string): Array<string> => {
    const values: Array<string> = []
    for (let index = 0; index < raw.length; index += 2) {
      if (raw[index] === wanted) values.push(raw[index + 1] ?? "")
    }
    return values
  }
  const encoded = valuesOf(`${name}-encoded`)[0] === "1"
  const values = valuesOf(name)
  return encoded ? values.map((value) => decodeURIComponent(value.replaceAll("+", " "))) : values
}

const serveFiles = async (
  stream: http2.ServerHttp2Stream,
  raw: ReadonlyArray<string>,
  content: SessionContent,
  transfers: Array<Transfer>
): Promise<void> => {
  const name = headerValues(raw, "dir-name")[0] ?? ""
  const root = Object.hasOwn(content.directories, name) ? content.directories[name] : undefined
  if (root === undefined) throw new CallFailed(code.notFound, `no access allowed to dir "${name}"`)
  const filter: WalkFilter = {
    include: headerValues(raw, "include-patterns"),
    exclude: headerValues(raw, "exclude-patterns"),
    follow: headerValues(raw, "followpaths")
  }
  stream.respond(grpcHead, { waitForTrailers: true })
  const sender = new FileSender(root, filter, {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()))
      })
  })
  transfers.push(sender.transfer)
  const deframer = new Deframer()
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const message of deframer.push(chunk)) sender.receive(message)
    } catch (error) {
      sender.fail(error instanceof Error ? error : new Error(String(error)))
    }
  })
  stream.on("close", () => sender.fail(new Error("the builder closed the transfer")))
  await sender.run()
  finish(stream, code.ok)
}

const newSessionId = (): string => randomBytes(16).toString("hex")

/** An HTTP header carries ASCII; anything else is sent escaped, and said to be. */
const sharedKeyHeaders = (key: string): Readonly<Record<string, string>> =>
  /^[\x20-\x7e]*$/.test(key)
    ? { "x-docker-expose-session-sharedkey": key }
    : {
        "x-docker-expose-session-sharedkey": encodeURIComponent(key),
        "x-docker-expose-session-sharedkey-encoded": "1"
      }

/** Opens a session that lasts as long as the scope. Whether the daemon took it is seen by the build that names its id. */
export const openSession = (
  endpoint: Endpoint,
  content: SessionContent
): Effect.Effect<Session, BuilderUnreachable, Scope.Scope> =>
  Effect.gen(function* () {
    const id = newSessionId()
    const methods = unaryMethods(content)
    let failure: Error | undefined
    let closing = false
    const transfers: Array<Transfer> = []
    const failed = (error: unknown): void => {
      if (!closing) failure ??= error instanceof Error ? error : new Error(String(error))
    }

    const serve = async (
      stream: http2.ServerHttp2Stream,
      method: string,
      raw: ReadonlyArray<string>
    ): Promise<void> => {
      try {
        if (method === diffCopy) return await serveFiles(stream, raw, content, transfers)
        const unary = Object.hasOwn(methods, method) ? methods[method] : undefined
        if (unary === undefined) throw new CallFailed(code.unimplemented, `unknown method ${method}`)
        const response = await unary(await readRequest(stream))
        stream.respond(grpcHead, { waitForTrailers: true })
        stream.write(frame(response))
        finish(stream, code.ok)
      } catch (error) {
        const known = error instanceof CallFailed
        if (!known) failed(error)
        finish(stream, known ? error.code : code.unknown, error instanceof Error ? error.message : "failed")
      }
    }

    yield* Effect.acquireRelease(
      Effect.gen(function* () {
        const metadata = {
          "x-docker-expose-session-uuid": id,
          ...sharedKeyHeaders(content.sharedKey),
          "x-docker-expose-session-grpc-method": [...Object.keys(methods), diffCopy]
        }
        const tunnel = yield* Effect.tryPromise({
          try: () => openTunnel(endpoint, metadata, failed),
          catch: (cause) =>
            new BuilderUnreachable({
              address: endpoint.address,
              detail: `this machine has no loopback to reach it through (${String(cause)})`
            })
        })
        const server = http2.performServerHandshake(tunnel.connection, {
          // a pattern for each line of .dockerignore: node's default of 128 headers is not enough
          maxHeaderListPairs: 1 << 20,
          settings: { maxHeaderListSize: 16 * 1024 * 1024, enablePush: false }
        })
        server.on("error", failed)
        server.on("stream", (stream, headers, _flags, raw) => {
          stream.on("error", () => {}) // told by the write or read that fails
          serve(stream, headers[":path"] ?? "", raw).catch(failed)
        })
        return { tunnel, server }
      }),
      ({ server, tunnel }) =>
        Effect.sync(() => {
          closing = true
          server.destroy()
          tunnel.destroy()
        })
    )
    return { id, transfers, failure: () => failure }
  })
