/** A server's log: one file, and the one before it. */
import { createWriteStream, renameSync, statSync, type WriteStream } from "node:fs"
import * as Effect from "effect/Effect"

/** Bytes after which a log is begun anew; the old one is kept as `.1`. */
export const cap = 10 * 1024 * 1024
const keptLines = 30

export interface LogFile {
  readonly path: string
  readonly write: (chunk: Uint8Array) => Effect.Effect<void>
  readonly lastLines: Effect.Effect<string>
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

export const open = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let stream: WriteStream = createWriteStream(path, { flags: "a", mode: 0o600 })
      let size = sizeOf(path)
      let tail = ""
      return {
        log: {
          path,
          write: (chunk: Uint8Array) =>
            Effect.sync(() => {
              if (size + chunk.length > cap) {
                stream.end()
                renameSync(path, `${path}.1`)
                stream = createWriteStream(path, { flags: "a", mode: 0o600 })
                size = 0
              }
              size += chunk.length
              stream.write(chunk)
              tail = (tail + Buffer.from(chunk).toString("utf8")).slice(-16_384)
            }),
          lastLines: Effect.sync(() => tail.trimEnd().split("\n").slice(-keptLines).join("\n"))
        } satisfies LogFile,
        close: Effect.callback<void>((resume) => void stream.end(() => resume(Effect.void)))
      }
    }),
    ({ close }) => close
  ).pipe(Effect.map(({ log }) => log))
