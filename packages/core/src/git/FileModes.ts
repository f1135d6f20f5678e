/**
 * The modes that git keeps: a file may be executed or not, and no more. Whatever else a file system or a process adds (umask,
 * default ACL, the set-group-ID of a folder above) would end up in the image.
 */
import { chmodSync, lstatSync, readdirSync } from "node:fs"
import { setImmediate } from "node:timers/promises"
import * as Effect from "effect/Effect"
import { GitFailed, type GitReason } from "./GitReason.ts"

export const fileMode = 0o644
export const executableMode = 0o755
export const folderMode = 0o755

const settle = (path: Buffer, isFolder: boolean): void => {
  const mode = lstatSync(path).mode & 0o7777
  const wanted = isFolder ? folderMode : (mode & 0o100) === 0 ? fileMode : executableMode
  if (mode !== wanted) chmodSync(path, wanted)
}

/** Names are bytes: they need not be text. Synchronous in one folder, then others have their turn. */
const settleFolder = async (folder: Buffer): Promise<void> => {
  settle(folder, true)
  const folders: Array<Buffer> = []
  for (const entry of readdirSync(folder, { encoding: "buffer", withFileTypes: true })) {
    const path = Buffer.concat([folder, Buffer.from("/"), entry.name])
    if (entry.isDirectory()) folders.push(path)
    else if (entry.isFile()) settle(path, false)
  }
  await setImmediate()
  for (const one of folders) await settleFolder(one)
}

/** Gives a checkout's files and folders the modes that git keeps for them. Links have none, and are not followed. */
export const settleModes = (folder: string): Effect.Effect<void, GitReason> =>
  Effect.tryPromise({
    try: () => settleFolder(Buffer.from(folder)),
    catch: (error) => new GitFailed({ detail: `modes cannot be set: ${String(error)}` })
  })
