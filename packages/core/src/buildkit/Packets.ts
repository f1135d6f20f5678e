/** The packets of fsutil's DiffCopy protocol (`github.com/tonistiigi/fsutil/types`), written by hand: they are the hot path. */
import type { FileStat } from "./FileStat.ts"
import { FieldReader, frameHeadLength, writePaddedVarint, writeVarint } from "./Framing.ts"

export const packetType = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const

/** Where framed packets go. */
export interface PacketSink {
  /** Takes the bytes and resolves when they may be overwritten. */
  readonly write: (bytes: Buffer) => Promise<void>
}

export const bufferLength = 1024 * 1024
/** Head of a data packet: frame, type, id, and the content's length, each of fixed width. */
export const dataHeadLength = frameHeadLength + 2 + 1 + 5 + 1 + 4

/** Buffers that nobody uses now. New ones for each transfer would make V8 collect all garbage every few builds. */
const idle: Array<Buffer> = []
/** Of them are kept, at most. */
const keptIdle = 8
const takeBuffer = (): Buffer => idle.pop() ?? Buffer.allocUnsafeSlow(bufferLength)

/** Packs packets into a buffer, and sends one buffer while the other is filled. */
export class PacketWriter {
  private readonly sink: PacketSink
  private buffer = takeBuffer()
  private spare = takeBuffer()
  private sent: Promise<void> = Promise.resolve()
  private length = 0

  constructor(sink: PacketSink) {
    this.sink = sink
  }

  get pending(): number {
    return this.length
  }
  get room(): number {
    return bufferLength - this.length
  }

  /** Hands over what is packed. Waits while the buffer before it is still on its way. */
  async flush(): Promise<void> {
    if (this.length === 0) return
    await this.sent
    const full = this.buffer
    this.sent = this.sink.write(full.subarray(0, this.length))
    // a failure is seen by whoever waits for it next
    this.sent.catch(() => {})
    this.buffer = this.spare
    this.spare = full
    this.length = 0
  }

  /** Resolves when everything has been taken by the sink. */
  async drain(): Promise<void> {
    await this.flush()
    await this.sent
  }

  /** Sends what is packed, and gives the buffers back: nothing can be written after it. */
  async end(): Promise<void> {
    await this.drain()
    const own = [this.buffer, this.spare]
    this.length = bufferLength
    if (idle.length + own.length <= keptIdle) idle.push(...own)
  }

  stat(stat: FileStat | undefined): void {
    const head = this.length
    const { buffer } = this
    let offset = head + frameHeadLength
    if (stat !== undefined) {
      buffer[offset++] = 0x12 // field 2: stat
      const lengthAt = offset
      offset = encodeStat(buffer, offset + 3, stat)
      writePaddedVarint(buffer, lengthAt, offset - lengthAt - 3, 3)
    }
    this.frame(head, offset)
  }

  /** Where the content of a data packet goes; {@link commitContent} then writes its head. */
  content(): Buffer {
    return this.buffer.subarray(this.length + dataHeadLength)
  }
  commitContent(id: number, length: number): void {
    this.dataHead(id, length)
  }
  endOfFile(id: number): void {
    this.dataHead(id, 0)
  }

  private dataHead(id: number, length: number): void {
    const { buffer, length: head } = this
    let offset = head + frameHeadLength
    buffer[offset++] = 0x08 // field 1: type
    buffer[offset++] = packetType.data
    buffer[offset++] = 0x18 // field 3: id
    offset = writePaddedVarint(buffer, offset, id, 5)
    buffer[offset++] = 0x22 // field 4: data
    offset = writePaddedVarint(buffer, offset, length, 4)
    this.frame(head, offset + length)
  }

  finish(): void {
    const head = this.length
    this.buffer[head + frameHeadLength] = 0x08
    this.buffer[head + frameHeadLength + 1] = packetType.finish
    this.frame(head, head + frameHeadLength + 2)
  }

  error(message: string): void {
    const head = this.length
    const text = Buffer.from(message).subarray(0, 4096)
    let offset = head + frameHeadLength
    this.buffer[offset++] = 0x08
    this.buffer[offset++] = packetType.error
    this.buffer[offset++] = 0x22
    offset = writePaddedVarint(this.buffer, offset, text.length, 4)
    this.frame(head, offset + text.copy(this.buffer, offset))
  }

  private frame(head: number, end: number): void {
    this.buffer[head] = 0
    this.buffer.writeUInt32BE(end - head - frameHeadLength, head + 1)
    this.length = end
  }
}

/** Fields of fsutil's Stat; returns the offset behind them. */
const encodeStat = (buffer: Buffer, start: number, stat: FileStat): number => {
  let offset = start
  const text = (tag: number, value: string): void => {
    buffer[offset++] = tag
    const length = buffer.write(value, offset + 3)
    writePaddedVarint(buffer, offset, length, 3)
    offset += 3 + length
  }
  const number = (tag: number, value: number): void => {
    if (value === 0) return
    buffer[offset++] = tag
    offset = writeVarint(buffer, offset, value)
  }
  text(0x0a, stat.path)
  number(0x10, stat.mode)
  number(0x28, stat.size)
  if (stat.modifiedNs !== 0n) {
    buffer[offset++] = 0x30
    offset = writeInt64(buffer, offset, stat.modifiedNs)
  }
  if (stat.linkName !== "") text(0x3a, stat.linkName)
  number(0x40, stat.deviceMajor)
  number(0x48, stat.deviceMinor)
  return offset
}

/** An int64 as varint, without bigint arithmetic in the loop. */
const writeInt64 = (buffer: Buffer, start: number, value: bigint): number => {
  const bits = BigInt.asUintN(64, value)
  let low = Number(bits & 0xffff_ffffn)
  let high = Number(bits >> 32n)
  let offset = start
  while (high > 0 || low > 0x7f) {
    buffer[offset++] = (low & 0x7f) | 0x80
    low = ((low >>> 7) | ((high & 0x7f) << 25)) >>> 0
    high >>>= 7
  }
  buffer[offset++] = low
  return offset
}

export interface Packet {
  readonly type: number
  readonly id: number
  readonly data: string
}
export const decodePacket = (message: Buffer): Packet => {
  const reader = new FieldReader(message)
  let type = 0
  let id = 0
  let data = ""
  while (!reader.done) {
    const tag = reader.varint()
    if (tag === 0x08) type = reader.varint()
    else if (tag === 0x18) id = reader.varint()
    else if (tag === 0x22) data = reader.bytes().toString()
    else reader.skip(tag & 7)
  }
  return { type, id, data }
}
