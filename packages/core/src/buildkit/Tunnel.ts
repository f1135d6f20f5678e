/**
 * `Control/Session`: a gRPC call whose messages carry the bytes of a connection. Inside it, this side is an HTTP/2 server
 * and buildkitd the client.
 *
 * It runs on node:http2, which was measured faster than buildctl; @grpc/grpc-js was measured slower.
 */
import * as http2 from "node:http2"
import type * as net from "node:net"
import type { Endpoint } from "./Address.ts"
import { Deframer, FieldReader, frameHeadLength, writePaddedVarint } from "./Framing.ts"
import { socketPair } from "./SocketPair.ts"

/** Bytes of a message's head in front of the payload: gRPC's, the field's tag, and its length. */
const headLength = frameHeadLength + 1 + 4
/** Bytes of a message's payload, at most. */
const payloadLength = 256 * 1024

/** Payload of `BytesMessage { bytes data = 1 }`. */
const payloadOf = (message: Buffer): Buffer => {
  const reader = new FieldReader(message)
  let payload = message.subarray(0, 0)
  while (!reader.done) {
    const tag = reader.varint()
    if (tag === 0x0a) payload = reader.bytes()
    else reader.skip(tag & 7)
  }
  return payload
}

/** The server ended the call. */
export class TunnelRefused extends Error {
  override readonly name = "TunnelRefused"
}

/** Makes messages of what a socket reads, in two buffers: one is read into while the other is on its way. */
class Outgoing {
  private filling = Buffer.allocUnsafeSlow(headLength + payloadLength)
  private spare = Buffer.allocUnsafeSlow(headLength + payloadLength)
  private onTheirWay = 0
  private send: (message: Buffer, sent: () => void) => void = () => {}
  private readMore: () => void = () => {}

  readonly onread: net.OnReadOpts = {
    buffer: () => this.filling.subarray(headLength),
    callback: (length) => {
      const message = this.filling
      message[0] = 0
      message.writeUInt32BE(headLength - frameHeadLength + length, 1)
      message[frameHeadLength] = 0x0a
      writePaddedVarint(message, frameHeadLength + 1, length, 4)
      this.filling = this.spare
      this.spare = message
      this.onTheirWay++
      this.send(message.subarray(0, headLength + length), () => {
        if (this.onTheirWay-- === 2) this.readMore()
      })
      return this.onTheirWay < 2
    }
  }

  start(socket: net.Socket, call: http2.ClientHttp2Stream): void {
    this.send = (message, sent) => call.write(message, sent)
    this.readMore = () => socket.resume()
  }
}

/** The connection in the call. */
export interface Tunnel {
  /** This side's end of it. */
  readonly connection: net.Socket
  /** Ends the call, and its TCP connection or socket. */
  readonly destroy: () => void
}

/** Begins the call. `failed` is told why the tunnel has ended, unless it was by {@link Tunnel.destroy}. */
export const openTunnel = async (
  endpoint: Endpoint,
  metadata: Readonly<Record<string, string | ReadonlyArray<string>>>,
  failed: (error: Error) => void
): Promise<Tunnel> => {
  const outgoing = new Outgoing()
  const [inside, connection] = await socketPair(outgoing.onread)
  const session = http2.connect(`${endpoint.scheme}://buildkit`, {
    createConnection: endpoint.connect,
    settings: { enablePush: false }
  })
  const call = session.request(
    {
      ":method": "POST",
      ":path": "/moby.buildkit.v1.Control/Session",
      "content-type": "application/grpc",
      te: "trailers",
      ...Object.fromEntries(
        Object.entries(metadata).map(([name, value]) => [
          name,
          typeof value === "string" ? value : [...value]
        ])
      )
    },
    { endStream: false }
  )
  outgoing.start(inside, call)

  let destroyed = false
  const destroy = () => {
    if (destroyed) return
    destroyed = true
    call.close(http2.constants.NGHTTP2_CANCEL)
    session.destroy()
    inside.destroy()
    connection.destroy()
  }
  const fail = (error: Error) => {
    if (!destroyed) failed(error)
    destroy()
  }

  const refused = (headers: http2.IncomingHttpHeaders): void => {
    const status = headers["grpc-status"]
    if (status === undefined || status === "0") return
    fail(new TunnelRefused(decodeURIComponent(String(headers["grpc-message"] ?? `status ${status}`))))
  }
  const deframer = new Deframer()
  const receive = (chunk: Buffer): void => {
    try {
      for (const message of deframer.push(chunk)) {
        const payload = payloadOf(message)
        if (payload.length > 0 && !inside.write(payload)) call.pause()
      }
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)))
    }
  }
  for (const each of [session, call, inside, connection]) each.on("error", fail)
  call.on("response", refused)
  call.on("trailers", refused)
  call.on("data", receive)
  call.on("end", () => inside.end())
  call.on("close", destroy)
  inside.on("drain", () => call.resume())
  inside.on("end", () => call.end())
  return { connection, destroy }
}
