/**
 * One call of the system's git, in an environment of its own: no configuration, hook, helper, prompt or transport that
 * is not named here. Credentials travel in the environment of the git process only.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { GitFailed, type GitReason, ToolMissing } from "./GitReason.ts"
import { reasonOf } from "./GitFailure.ts"
import { type ProcessOptions, records, runProcess } from "./Process.ts"

/** What holds for every call about one repository. */
export interface GitSettings {
  /** PATH, on which git and its helpers are found. */
  readonly path: string
  /** An existing folder. */
  readonly home: string
  readonly url: URL
  readonly allowFile: boolean
  /** See `http.curloptResolve` in git-config(1). */
  readonly pin?: string | undefined
  readonly caFile?: string | undefined
  /** Hosts (`host` or `host:port`) whose certificates another authority signs. */
  readonly privateAuthority?: ReadonlyArray<{ readonly host: string; readonly caFile: string }>
  readonly credentials?: { readonly username: string; readonly password: Redacted.Redacted } | undefined
}

/** Seconds without at least 1,000 bytes a second after which a transfer counts as dead. */
const stalledSeconds = 30

/**
 * What fsck finds (git-fsck(1), "FSCK MESSAGES") and what does no harm: hosts serve such commits
 * every day, and nobody can change them. Refused stay those that name or reach what they must not (`.git`, `..`,
 * `.gitmodules`), NUL bytes, damage, and unsorted trees, in which git overlooks a link and a folder of one name.
 */
const untidy = [
  // Who made a commit, and when: nothing here reads it.
  "badDate",
  "badDateOverflow",
  "badEmail",
  "badName",
  "badTimezone",
  "missingAuthor",
  "missingCommitter",
  "missingEmail",
  "missingNameBeforeEmail",
  "missingSpaceBeforeDate",
  "missingSpaceBeforeEmail",
  "multipleAuthors",
  "zeroPaddedDate",
  // Git reads the same mode.
  "zeroPaddedFilemode",
  // Git leaves out the lines, or all of it.
  "gitattributesBlob",
  "gitattributesLineLength"
] as const

const configuration = (settings: GitSettings): ReadonlyArray<readonly [string, string]> => [
  ["protocol.allow", "never"],
  ["protocol.https.allow", "always"],
  ["protocol.http.allow", "always"],
  ["protocol.file.allow", settings.allowFile ? "always" : "never"],
  ["http.followRedirects", "false"],
  ["http.lowSpeedLimit", "1000"],
  ["http.lowSpeedTime", String(stalledSeconds)],
  ["transfer.bundleURI", "false"],
  ["transfer.fsckObjects", "true"],
  ...untidy.map((finding) => [`fetch.fsck.${finding}`, "ignore"] as const),
  // Larger blobs are streamed: a small download that unpacks to a huge blob must not fill the memory.
  ["core.bigFileThreshold", "16m"],
  ["core.hooksPath", "/dev/null"],
  ["core.attributesFile", "/dev/null"],
  ["core.excludesFile", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.protectHFS", "true"],
  ["core.protectNTFS", "true"],
  ["core.autocrlf", "false"],
  ["core.symlinks", "true"],
  // The object store lives as long as the fetch.
  ["core.fsync", "none"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["submodule.recurse", "false"],
  ["credential.helper", ""],
  ...(settings.pin === undefined ? [] : [["http.curloptResolve", settings.pin] as const]),
  ...(settings.caFile === undefined ? [] : [["http.sslCAInfo", settings.caFile] as const]),
  ...(settings.privateAuthority ?? []).map(
    ({ caFile, host }) => [`http.https://${host}/.sslCAInfo`, caFile] as const
  ),
  ...(settings.credentials === undefined || settings.url.protocol === "file:"
    ? []
    : // Only requests to this origin carry it.
      [
        [
          `http.${settings.url.origin}/.extraHeader`,
          `Authorization: ${authorization(settings.credentials)}`
        ] as const
      ])
]

/** The value of an `Authorization` header (RFC 7617). */
export const authorization = (credentials: NonNullable<GitSettings["credentials"]>): string =>
  `Basic ${Buffer.from(`${credentials.username}:${Redacted.value(credentials.password)}`).toString("base64")}`

/** The whole environment of a git process. */
export const environment = (settings: GitSettings): Readonly<Record<string, string>> => {
  const entries = configuration(settings)
  return {
    PATH: settings.path,
    HOME: settings.home,
    LC_ALL: "C",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_ALLOW_PROTOCOL: settings.allowFile ? "https:http:file" : "https:http",
    GIT_PROTOCOL_FROM_USER: "0",
    GIT_OPTIONAL_LOCKS: "0",
    GIT_CONFIG_COUNT: String(entries.length),
    ...Object.fromEntries(
      entries.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value]
      ])
    )
  }
}

export interface GitCall {
  readonly args: ReadonlyArray<string>
  readonly settings: GitSettings
  /** `GIT_DIR` and `GIT_WORK_TREE`, for calls that need a repository. */
  readonly gitDir?: string
  readonly workTree?: string
  /** An open file whose lock git is to hold as long as it runs. */
  readonly lock?: number
  readonly separator?: "\n" | "\u0000"
  readonly onRecord?: (record: string) => GitReason | undefined
  readonly onStderr?: (text: string) => void
  /** A failure that means something of its own to this call. */
  readonly reasonOf?: (stderr: string) => GitReason | undefined
}

const processOptions = (call: GitCall): ProcessOptions => ({
  command: "git",
  args: call.args,
  env: {
    ...environment(call.settings),
    ...(call.gitDir === undefined ? {} : { GIT_DIR: call.gitDir }),
    ...(call.workTree === undefined ? {} : { GIT_WORK_TREE: call.workTree })
  },
  inherit: call.lock,
  onStdout: call.onRecord === undefined ? undefined : records(call.separator ?? "\n", call.onRecord),
  onStderr: call.onStderr
})

/** Runs git; a failure's reason is read from what git says. */
export const git = Effect.fnUntraced(function* (call: GitCall): Effect.fn.Return<void, GitReason> {
  const { exitCode, stderr } = yield* runProcess(processOptions(call))
  if (exitCode === 0) return
  return yield* (
    call.reasonOf?.(stderr) ??
    reasonOf({
      stderr,
      exitCode,
      withCredentials: call.settings.credentials !== undefined,
      folder: call.settings.home
    })
  )
})

/** The first version that knows `http.curloptResolve`, which older ones ignore without a word. */
const oldestGit = [2, 37] as const

/** Fails unless a git is there that does what is asked of it. */
export const checkGitVersion = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, GitReason> {
  let version = ""
  yield* runProcess({
    command: "git",
    args: ["version"],
    env: { PATH: path, LC_ALL: "C" },
    onStdout: (chunk) => {
      version += chunk.toString()
      return undefined
    }
  }).pipe(
    Effect.catchTag("ToolMissing", () =>
      Effect.fail(new ToolMissing({ tool: "git", detail: "install it (apt-get install git)" }))
    )
  )
  const [, major, minor] = /^git version (\d+)\.(\d+)/.exec(version) ?? []
  if (major === undefined || minor === undefined)
    return yield* new GitFailed({ detail: `git does not tell its version: ${version}` })
  const newEnough =
    Number(major) > oldestGit[0] || (Number(major) === oldestGit[0] && Number(minor) >= oldestGit[1])
  if (!newEnough) {
    return yield* new ToolMissing({
      tool: "git",
      detail: `version ${oldestGit.join(".")} or newer; this is ${version.trim()}`
    })
  }
})
