import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { endpointOf } from "@mcpdeploy/core/buildkit/Address"
import { Deframer, frame } from "../../src/buildkit/Framing.ts"
import {
  BytesMessageSchema,
  CredentialsRequestSchema,
  CredentialsResponseSchema,
  GetSecretRequestSchema,
  GetSecretResponseSchema,
  HealthCheckResponseSchema
} from "../../src/buildkit/gen/buildkit_pb.ts"
import { type SessionContent, openSession } from "@mcpdeploy/core/buildkit/Session"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as http2 from "node:http2"
import * as path from "node:path"
import { Duplex } from "node:stream"
import { folder } from "./daemon.ts"

interface Daemon {
  readonly address: string
  /** Headers of the Session call, and an HTTP/2 client of what is served through it. */
  readonly session: Promise<{
    readonly headers: http2.IncomingHttpHeaders
    readonly client: http2.ClientHttp2Session
  }>
}

/** The daemon's side of a session: the call's messages as a connection. */
const connectionIn = (call: http2.ServerHttp2Stream): Duplex => {
  const deframer = new Deframer()
  const connection = new Duplex({
    read: () => call.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      call.write(frame(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data: chunk }))), done)
    }
  })
  call.on("data", (chunk: Buffer) => {
    for (const message of deframer.push(chunk))
      connection.push(Buffer.from(fromBinary(BytesMessageSchema, message).data))
  })
  call.on("close", () => connection.destroy())
  return connection
}

const fakeDaemon: Effect.Effect<Daemon, never, Scope.Scope> = Effect.gen(function* () {
  const home = yield* folder({})
  const socket = path.join(home, "socket")
  const server = http2.createServer()
  const session: Daemon["session"] = new Promise((resolve) => {
    server.once("stream", (call, headers) => {
      call.on("error", () => {})
      call.respond({ ":status": 200, "content-type": "application/grpc" })
      const client = http2.connect("http://session", { createConnection: () => connectionIn(call) })
      client.on("error", () => {})
      resolve({ headers, client })
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(socket, () => resume(Effect.void))),
    () => Effect.sync(() => server.close())
  )
  return { address: `unix://${socket}`, session }
})

interface Answer {
  readonly status: string
  readonly message: Buffer | undefined
}

/** A call whose request and its end arrive apart, as they may on a real connection. */
const call = (
  client: http2.ClientHttp2Session,
  method: string,
  request: Uint8Array,
  more: http2.OutgoingHttpHeaders = {}
) =>
  Effect.promise(
    () =>
      new Promise<Answer>((resolve, reject) => {
        const stream = client.request({
          ":method": "POST",
          ":path": method,
          "content-type": "application/grpc",
          ...more
        })
        const deframer = new Deframer()
        let message: Buffer | undefined
        let status = ""
        const take = (headers: http2.IncomingHttpHeaders): void => {
          status = String(headers["grpc-status"] ?? status)
        }
        stream.on("response", take)
        stream.on("trailers", take)
        stream.on("data", (chunk: Buffer) => {
          for (const one of deframer.push(chunk)) message = Buffer.from(one)
        })
        stream.on("error", reject)
        stream.on("close", () => resolve({ status, message }))
        stream.write(frame(request))
        setTimeout(() => stream.end(), 50)
      })
  )

const content: SessionContent = {
  directories: {},
  secrets: { token: Redacted.make(Buffer.from("s3cret")) },
  credentials: (host) =>
    Effect.succeed(host === "r.example" ? { username: "ann", password: Redacted.make("pw") } : undefined),
  sharedKey: "registry.internal:5000/dp-ann-shop/wéb"
}

const openedWith = Effect.fnUntraced(function* (content: SessionContent) {
  const { address, session } = yield* fakeDaemon
  const { id } = yield* openSession(yield* endpointOf(address, undefined), content)
  return { id, ...(yield* Effect.promise(() => session)) }
})
const opened = openedWith(content)

const secretOf = (client: http2.ClientHttp2Session, ID: string) =>
  call(
    client,
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    toBinary(GetSecretRequestSchema, create(GetSecretRequestSchema, { ID }))
  )
const bytesIn = ({ message }: Answer) =>
  Buffer.from(fromBinary(GetSecretResponseSchema, message ?? new Uint8Array()).data)

describe("a session", () => {
  it.live("says what it is and what it serves", () =>
    Effect.gen(function* () {
      const { headers, id } = yield* opened
      assert.strictEqual(headers["x-docker-expose-session-uuid"], id)
      assert.strictEqual(headers["x-docker-expose-session-sharedkey-encoded"], "1")
      assert.strictEqual(headers["x-docker-expose-session-sharedkey"], encodeURIComponent(content.sharedKey))
      assert.include(
        String(headers["x-docker-expose-session-grpc-method"]),
        "/moby.filesync.v1.FileSync/DiffCopy"
      )
    }).pipe(Effect.scoped)
  )

  it.live("answers for secrets, credentials and its health", () =>
    Effect.gen(function* () {
      const { client } = yield* opened
      const found = yield* secretOf(client, "token")
      assert.strictEqual(found.status, "0")
      assert.strictEqual(bytesIn(found).toString(), "s3cret")
      assert.strictEqual((yield* secretOf(client, "other")).status, "5")
      assert.strictEqual((yield* secretOf(client, "__proto__")).status, "5")

      const credentials = (Host: string) =>
        call(
          client,
          "/moby.filesync.v1.Auth/Credentials",
          toBinary(CredentialsRequestSchema, create(CredentialsRequestSchema, { Host }))
        ).pipe(
          Effect.map(({ message }) => fromBinary(CredentialsResponseSchema, message ?? new Uint8Array()))
        )
      assert.deepInclude(yield* credentials("r.example"), { Username: "ann", Secret: "pw" })
      assert.deepInclude(yield* credentials("elsewhere.example"), { Username: "", Secret: "" })

      const health = yield* call(client, "/grpc.health.v1.Health/Check", new Uint8Array())
      assert.strictEqual(fromBinary(HealthCheckResponseSchema, health.message ?? new Uint8Array()).status, 1)
    }).pipe(Effect.scoped)
  )

  it.live.prop(
    "gives a secret's file byte for byte",
    [Schema.Uint8Array],
    ([bytes]) =>
      Effect.gen(function* () {
        const file = path.join(yield* folder({}), "secret")
        fs.writeFileSync(file, bytes)
        const store = SecretStore.layer({}).pipe(Layer.provide(NodeFileSystem.layer))
        const secrets = yield* SecretStore.use((store) =>
          store.readAll({ file: SecretRef.make(`file:${file}`) })
        ).pipe(Effect.provide(store))
        const { client } = yield* openedWith({ ...content, secrets })
        assert.isTrue(bytesIn(yield* secretOf(client, "file")).equals(bytes))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 30 } }
  )

  it.live("refuses other folders and other methods", () =>
    Effect.gen(function* () {
      const { client } = yield* opened
      const copy = "/moby.filesync.v1.FileSync/DiffCopy"
      assert.strictEqual((yield* call(client, copy, new Uint8Array(), { "dir-name": "/etc" })).status, "5")
      assert.strictEqual(
        (yield* call(client, "/moby.sshforward.v1.SSH/ForwardAgent", new Uint8Array())).status,
        "12"
      )
    }).pipe(Effect.scoped)
  )
})
