/**
 * Runs a program as a process group of its own, so that ending it ends its children too, also when this process is
 * killed; and lets it inherit an open file, whose lock then lasts as long as the program and its children.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import { GitFailed, type GitReason, ToolMissing } from "./GitReason.ts"

export interface ProcessOptions {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  /** Inherited as file descriptor 3. */
  readonly inherit?: number | undefined
  /** Called with each piece of output, in order. A reason that it returns ends the program, and is the failure. */
  readonly onStdout?: ((chunk: Buffer) => GitReason | undefined) | undefined
  readonly onStderr?: ((text: string) => void) | undefined
}

export interface ProcessResult {
  readonly exitCode: number
  /** The last 16 KiB. */
  readonly stderr: string
}

const keptStderr = 16 * 1024

/** What a shell exits with when there is no such program (POSIX, 2.8.2). */
const commandNotFound = 127

/**
 * What the program writes has the modes that it asks for, whatever this process's umask.
 *
 * A companion in the program's group waits for the end of standard input, which only this process holds open, and then
 * kills the group: kill -9 of this process ends the program as well, at once.
 */
const lifeline =
  'umask 022; exec 4<&0; (read -r _ <&4; kill -KILL 0) 3>&- >/dev/null 2>&1 & exec "$@" </dev/null 4<&-'

const endGroup = (child: ChildProcess): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // The group is already gone.
  }
}

/** Ends when the program and its pipes have. Interruption kills the whole group and returns when it is gone. */
export const runProcess = (options: ProcessOptions): Effect.Effect<ProcessResult, GitReason> =>
  Effect.callback((resume) => {
    const child = spawn("/bin/sh", ["-c", lifeline, "sh", options.command, ...options.args], {
      env: options.env,
      detached: true,
      stdio: ["pipe", "pipe", "pipe", options.inherit ?? "ignore"]
    })
    let closed = false
    let failure: GitReason | undefined
    let stderr = ""
    child.stdout?.on("data", (chunk: Buffer) => {
      if (failure !== undefined) return
      failure = options.onStdout?.(chunk)
      if (failure !== undefined) endGroup(child)
    })
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-keptStderr)
      options.onStderr?.(text)
    })
    child.once("error", (error) => {
      closed = true
      resume(new GitFailed({ detail: `${options.command} cannot be started: ${error.message}` }))
    })
    child.once("close", (code, signal) => {
      closed = true
      if (failure !== undefined) return resume(failure)
      if (code === null)
        return resume(new GitFailed({ detail: `${options.command} was ended by ${signal ?? "a signal"}` }))
      resume(
        code === commandNotFound
          ? new ToolMissing({ tool: options.command, detail: "it is not on PATH; install it" })
          : Effect.succeed({ exitCode: code, stderr })
      )
    })
    return Effect.callback<void>((done) => {
      if (closed) return done(Effect.void)
      child.once("close", () => done(Effect.void))
      child.once("error", () => done(Effect.void))
      endGroup(child)
    })
  })

/** Splits output into records that end with `separator`; a record that is not ended at the end of output is dropped. */
export const records = (
  separator: "\n" | "\u0000",
  onRecord: (record: string) => GitReason | undefined
): ((chunk: Buffer) => GitReason | undefined) => {
  const end = separator.charCodeAt(0)
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    let buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let index = buffer.indexOf(end); index !== -1; index = buffer.indexOf(end)) {
      const failure = onRecord(buffer.toString("utf8", 0, index))
      if (failure !== undefined) return failure
      buffer = buffer.subarray(index + 1)
    }
    if (buffer.length > 1024 * 1024) return new GitFailed({ detail: "git wrote a record of more than 1 MiB" })
    rest = buffer
    return undefined
  }
}
