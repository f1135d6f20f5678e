/** Where buildkitd listens, and how it is reached: a unix socket, TCP, or TCP with TLS. */
import { type ChannelCredentials, credentials } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as net from "node:net"
import * as tls from "node:tls"
import { BuilderAddressInvalid } from "../BuildFailure.ts"

/** Certificates for `tcp://` with TLS, as PEM text. With `certificate` and `key` the client shows who it is (mTLS). */
export const BuildkitTls = Schema.Struct({
  ca: Schema.NonEmptyString,
  certificate: Schema.optionalKey(Schema.NonEmptyString),
  key: Schema.optionalKey(Schema.Redacted(Schema.NonEmptyString)),
  /** The name in the server's certificate, where it differs from the address. */
  serverName: Schema.optionalKey(Schema.NonEmptyString)
})
export type BuildkitTls = typeof BuildkitTls.Type

/** An address that can be dialled. */
export interface Endpoint {
  /** As configured, for messages. */
  readonly address: string
  /** As grpc-js names it. */
  readonly grpcTarget: string
  readonly grpcCredentials: () => ChannelCredentials
  readonly grpcOptions: Readonly<Record<string, string>>
  readonly connect: () => net.Socket
  readonly scheme: "http" | "https"
}

const tcpAddress = /^tcp:\/\/(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?<port>[0-9]{1,5})$/

/** Reads `unix:///path` or `tcp://host:port`. */
export const endpointOf = Effect.fnUntraced(function* (
  address: string,
  certificates: BuildkitTls | undefined
): Effect.fn.Return<Endpoint, BuilderAddressInvalid> {
  const unix = /^unix:\/\/(?<path>\/[^\0]+)$/.exec(address)?.groups?.["path"]
  if (unix !== undefined) {
    if (certificates !== undefined) {
      return yield* new BuilderAddressInvalid({ address, detail: "a unix socket has no TLS" })
    }
    return {
      address,
      grpcTarget: `unix:${unix}`,
      grpcCredentials: () => credentials.createInsecure(),
      // grpc-js would send the socket's path as authority, which HTTP/2 servers refuse
      grpcOptions: { "grpc.default_authority": "localhost" },
      connect: () => net.connect({ path: unix }),
      scheme: "http"
    }
  }
  const tcp = tcpAddress.exec(address)?.groups
  const host = tcp?.["host"]
  const port = Number(tcp?.["port"])
  if (host === undefined || port < 1 || port > 65535) {
    return yield* new BuilderAddressInvalid({ address, detail: "expected unix:///path or tcp://host:port" })
  }
  const dialled = host.replace(/^\[|\]$/g, "")
  if (certificates === undefined) {
    return {
      address,
      grpcTarget: `dns:${host}:${port}`,
      grpcCredentials: () => credentials.createInsecure(),
      grpcOptions: {},
      connect: () => net.connect({ host: dialled, port, noDelay: true }),
      scheme: "http"
    }
  }
  const { ca, certificate, key, serverName } = certificates
  if ((certificate === undefined) !== (key === undefined)) {
    return yield* new BuilderAddressInvalid({ address, detail: "a client certificate needs its key" })
  }
  const pem = key === undefined ? undefined : Redacted.value(key)
  const secureContext = yield* Effect.try({
    try: () =>
      tls.createSecureContext({
        ca,
        ...(certificate !== undefined && pem !== undefined ? { cert: certificate, key: pem } : {})
      }),
    catch: (cause) =>
      new BuilderAddressInvalid({
        address,
        detail: `its certificates cannot be read (${cause instanceof Error ? cause.message : "not PEM"})`
      })
  })
  const servername = serverName ?? dialled
  return {
    address,
    grpcTarget: `dns:${host}:${port}`,
    grpcCredentials: () => credentials.createFromSecureContext(secureContext),
    grpcOptions: serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName },
    connect: () =>
      tls.connect({
        host: dialled,
        port,
        secureContext,
        ALPNProtocols: ["h2"],
        // an address is not a name: SNI must not carry it
        ...(net.isIP(servername) === 0 ? { servername } : {})
      }),
    scheme: "https"
  }
})
