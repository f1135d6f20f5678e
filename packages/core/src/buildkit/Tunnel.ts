/**
 * `Control/Session`: a gRPC call whose messages carry the bytes of a connection. Inside it, this side is an HTTP/2 server
 * and buildkitd the client.
 *
 * It runs on node:http2, which was measured faster than buildctl; @grpc/grpc-js was measured slower.
 */
import * as http2 from "node:http2"
import { Duplex } from "node:stream"
import type { Endpoint } from "./Address.ts"
import { Deframer, FieldReader, frameHeadLength, writePaddedVarint } from "./Framing.ts"

/** Bytes of a message's head in front of the payload: gRPC's, the field's tag, and its length. */
const headLength = frameHeadLength + 1 + 4
const initialStagingLength = 256 * 1024

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

/** The connection in the call. Destroying it ends the call and its TCP connection or socket. */
export class Tunnel extends Duplex {
  private readonly session: http2.ClientHttp2Session
  private readonly call: http2.ClientHttp2Stream
  private readonly deframer = new Deframer()
  private staging = Buffer.allocUnsafeSlow(initialStagingLength)

  constructor(endpoint: Endpoint, metadata: Readonly<Record<string, string | ReadonlyArray<string>>>) {
    super({ readableHighWaterMark: 256 * 1024, writableHighWaterMark: 256 * 1024 })
    this.session = http2.connect(`${endpoint.scheme}://buildkit`, {
      createConnection: endpoint.connect,
      settings: { enablePush: false }
    })
    this.session.on("error", (error) => this.destroy(error))
    this.call = this.session.request(
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
    const refused = (headers: http2.IncomingHttpHeaders): void => {
      const status = headers["grpc-status"]
      if (status === undefined || status === "0") return
      this.destroy(
        new TunnelRefused(decodeURIComponent(String(headers["grpc-message"] ?? `status ${status}`)))
      )
    }
    this.call.on("response", refused)
    this.call.on("trailers", refused)
    this.call.on("data", (chunk: Buffer) => this.receive(chunk))
    this.call.on("end", () => this.push(null))
    this.call.on("error", (error) => this.destroy(error))
    this.call.on("close", () => this.destroy())
  }

  private receive(chunk: Buffer): void {
    try {
      for (const message of this.deframer.push(chunk)) {
        const payload = payloadOf(message)
        if (payload.length > 0 && !this.push(payload)) this.call.pause()
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  override _read(): void {
    this.call.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.send([chunk], done)
  }

  override _writev(
    chunks: Array<{ chunk: Buffer; encoding: BufferEncoding }>,
    done: (error?: Error | null) => void
  ): void {
    this.send(
      chunks.map(({ chunk }) => chunk),
      done
    )
  }

  /** All chunks in one message. The staging buffer is free again when `done` is called, and only then is there more. */
  private send(chunks: ReadonlyArray<Buffer>, done: (error?: Error | null) => void): void {
    let length = 0
    for (const chunk of chunks) length += chunk.length
    if (this.staging.length < headLength + length) {
      this.staging = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(headLength + length)))
    }
    const { staging } = this
    staging[0] = 0
    staging.writeUInt32BE(headLength - frameHeadLength + length, 1)
    staging[frameHeadLength] = 0x0a
    let offset = writePaddedVarint(staging, frameHeadLength + 1, length, 4)
    for (const chunk of chunks) offset += chunk.copy(staging, offset)
    this.call.write(staging.subarray(0, offset), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.call.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.call.close(http2.constants.NGHTTP2_CANCEL)
    this.session.destroy()
    done(error)
  }
}
