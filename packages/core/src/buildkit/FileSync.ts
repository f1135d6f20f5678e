/**
 * The sender of a build context: fsutil's DiffCopy protocol.
 *
 * It sends the metadata of every entry, the receiver asks for the files that it does not have, and gets their content.
 * Everything goes through two buffers that are used again and again, so memory does not grow with the context.
 */
import * as fs from "node:fs"
import { type FileStat, isRegular } from "./FileStat.ts"
import {
  type PacketSink,
  PacketWriter,
  bufferLength,
  dataHeadLength,
  decodePacket,
  packetType
} from "./Packets.ts"
import { BadPattern } from "./PatternMatcher.ts"
import { type WalkFilter, walk } from "./Walk.ts"

/** The receiver gave up. */
export class ReceiverFailed extends Error {
  override readonly name = "ReceiverFailed"
}

/** A file could not be read. */
export class FileUnreadable extends Error {
  override readonly name = "FileUnreadable"
  readonly path: string
  constructor(file: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.path = file
  }
}

/** Files up to this length are read synchronously: a turn of the event loop costs more than the read. */
const synchronousLength = 256 * 1024
/** Metadata is sent in portions of this length, so that the receiver can begin early. */
const statPortion = 64 * 1024
/** How much was sent. */
export interface Transfer {
  files: number
  bytes: number
}

/** Sends one folder to one receiver. */
export class FileSender {
  readonly transfer: Transfer = { files: 0, bytes: 0 }
  private readonly root: string
  private readonly filter: WalkFilter
  private readonly writer: PacketWriter
  /** Path of each regular file by its number in the walk, until it is asked for. */
  private readonly files = new Map<number, { readonly path: string; readonly size: number }>()
  private requests: Array<number> = []
  private finished = false
  private failure: Error | undefined
  private wake: () => void = () => {}

  constructor(root: string, filter: WalkFilter, sink: PacketSink) {
    this.root = root
    this.filter = filter
    this.writer = new PacketWriter(sink)
  }

  /** Takes a packet of the receiver. */
  receive(message: Buffer): void {
    const packet = decodePacket(message)
    if (packet.type === packetType.request) this.requests.push(packet.id)
    else if (packet.type === packetType.finish) this.finished = true
    else if (packet.type === packetType.error) this.fail(new ReceiverFailed(packet.data))
    this.wake()
  }

  /** Ends {@link run} with this error. */
  fail(error: Error): void {
    this.failure ??= error
    this.wake()
  }

  /** Sends the metadata, then what is asked for, until the receiver has enough. */
  async run(): Promise<void> {
    try {
      await this.sendStats()
      while (!this.finished || this.requests.length > 0) {
        this.throwIfFailed()
        const requests = this.requests
        this.requests = []
        if (requests.length === 0) {
          await this.writer.flush()
          if (!this.finished && this.requests.length === 0) await this.next()
        }
        for (const id of requests) await this.sendFile(id)
      }
      this.writer.finish()
      await this.writer.end()
    } catch (error) {
      if (error instanceof FileUnreadable) {
        this.writer.error(error.message)
        await this.writer.drain()
      }
      throw error
    }
  }

  private next(): Promise<void> {
    if (this.failure !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      this.wake = resolve
    })
  }

  private throwIfFailed(): void {
    if (this.failure !== undefined) throw this.failure
  }

  private async sendStats(): Promise<void> {
    let id = 0
    const entries = walk(this.root, this.filter)
    for (;;) {
      const entry = this.nextEntry(entries)
      if (entry === undefined) break
      if (isRegular(entry.mode)) this.files.set(id, { path: entry.path, size: entry.size })
      id++
      this.writer.stat(entry)
      if (this.writer.pending >= statPortion) {
        await this.writer.flush()
        // lets requests, and other builds, have their turn
        await new Promise(setImmediate)
        this.throwIfFailed()
      }
    }
    this.writer.stat(undefined)
    await this.writer.flush()
  }

  private nextEntry(entries: Generator<FileStat>): FileStat | undefined {
    try {
      const next = entries.next()
      return next.done === true ? undefined : next.value
    } catch (error) {
      throw new FileUnreadable(error instanceof BadPattern ? ".dockerignore" : (pathOf(error) ?? "."), error)
    }
  }

  private async sendFile(id: number): Promise<void> {
    const file = this.files.get(id)
    if (file === undefined) throw new ReceiverFailed(`it asked for file ${id}, which does not exist`)
    this.files.delete(id)
    if (this.writer.room < 2 * dataHeadLength + Math.min(file.size, bufferLength / 2))
      await this.writer.flush()
    let descriptor: number | undefined
    try {
      // O_NOFOLLOW: it was a regular file when it was listed, and must still be one
      descriptor = fs.openSync(`${this.root}/${file.path}`, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
      await this.sendContent(id, file.size, descriptor)
    } catch (error) {
      throw isSystemError(error) ? new FileUnreadable(file.path, error) : error
    } finally {
      if (descriptor !== undefined) fs.closeSync(descriptor)
    }
    if (this.writer.room < dataHeadLength) await this.writer.flush()
    this.writer.endOfFile(id)
    this.transfer.files++
  }

  private async sendContent(id: number, size: number, descriptor: number): Promise<void> {
    let rest = size
    while (rest > 0) {
      this.throwIfFailed()
      if (this.writer.room < dataHeadLength + Math.min(rest, bufferLength / 2)) await this.writer.flush()
      const content = this.writer.content()
      const wanted = Math.min(rest, content.length)
      const length =
        size <= synchronousLength
          ? fs.readSync(descriptor, content, 0, wanted, null)
          : await read(descriptor, content.subarray(0, wanted))
      if (length === 0) return // it became shorter
      this.writer.commitContent(id, length)
      this.transfer.bytes += length
      rest -= length
    }
  }
}

const read = (descriptor: number, target: Buffer): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.read(descriptor, target, 0, target.length, null, (error, length) =>
      error === null ? resolve(length) : reject(error)
    )
  })

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && "syscall" in error

const pathOf = (error: unknown): string | undefined =>
  error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : undefined
