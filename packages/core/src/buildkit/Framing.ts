/**
 * The bytes around gRPC messages: length-prefixed frames (gRPC over HTTP/2) and the varints of protobuf.
 *
 * Control calls use `@grpc/grpc-js`; these are for the session's tunnel, where every file of a build context passes.
 */

/** Bytes of a frame's head: one for "compressed", four for the length. */
export const frameHeadLength = 5

/** What a peer may send in one message. BuildKit sends small ones: requests for files, for a secret, for credentials. */
const maxMessageLength = 64 * 1024 * 1024

/** The peer does not speak the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError"
}

/** Writes an unsigned integer (up to 2^53) as a varint and returns the offset behind it. */
export const writeVarint = (target: Buffer, offset: number, value: number): number => {
  let rest = value
  while (rest > 0x7f) {
    target[offset++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[offset++] = rest
  return offset
}

/**
 * Writes a varint of exactly `width` bytes. Protobuf readers accept a varint that is longer than it must be, so a length
 * can be written after the bytes that it counts, into a gap left for it.
 */
export const writePaddedVarint = (target: Buffer, offset: number, value: number, width: number): number => {
  let rest = value
  for (let index = 1; index < width; index++) {
    target[offset++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[offset++] = rest & 0x7f
  return offset
}

/** Reads protobuf fields from a message, in order. */
export class FieldReader {
  private readonly message: Buffer
  private offset = 0
  constructor(message: Buffer) {
    this.message = message
  }
  get done(): boolean {
    return this.offset >= this.message.length
  }
  varint(): number {
    let value = 0
    let scale = 1
    for (let length = 0; length < 10; length++) {
      const byte = this.message[this.offset++]
      if (byte === undefined) break
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new ProtocolError("a varint that does not end")
  }
  bytes(): Buffer {
    const length = this.varint()
    const end = this.offset + length
    if (end > this.message.length) throw new ProtocolError("a field longer than its message")
    const bytes = this.message.subarray(this.offset, end)
    this.offset = end
    return bytes
  }
  /** Passes over a field that is not used. */
  skip(wireType: number): void {
    if (wireType === 0) this.varint()
    else if (wireType === 1) this.offset += 8
    else if (wireType === 2) this.bytes()
    else if (wireType === 5) this.offset += 4
    else throw new ProtocolError(`wire type ${wireType}`)
  }
}

/** A message with gRPC's head. */
export const frame = (message: Uint8Array): Buffer => {
  const framed = Buffer.allocUnsafe(frameHeadLength + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, frameHeadLength)
  return framed
}

/** Cuts a stream of bytes into gRPC messages. Copies only where a message lies across chunks. */
export class Deframer {
  private pending: Array<Buffer> = []
  private pendingLength = 0
  private needed = frameHeadLength

  /** The messages that are complete with this chunk. They are views: valid until the chunk's memory is used again. */
  push(chunk: Buffer): Array<Buffer> {
    this.pending.push(chunk)
    this.pendingLength += chunk.length
    const messages: Array<Buffer> = []
    if (this.pendingLength < this.needed) return messages
    const bytes = this.pending.length === 1 ? chunk : Buffer.concat(this.pending, this.pendingLength)
    let offset = 0
    this.needed = frameHeadLength
    while (bytes.length - offset >= frameHeadLength) {
      if (bytes[offset] !== 0) throw new ProtocolError("a compressed message, which was not negotiated")
      const length = bytes.readUInt32BE(offset + 1)
      if (length > maxMessageLength) throw new ProtocolError(`a message of ${length} bytes`)
      const end = offset + frameHeadLength + length
      if (end > bytes.length) {
        this.needed = frameHeadLength + length
        break
      }
      messages.push(bytes.subarray(offset + frameHeadLength, end))
      offset = end
    }
    this.pending = offset < bytes.length ? [bytes.subarray(offset)] : []
    this.pendingLength = bytes.length - offset
    return messages
  }
}
