/** Fetches one commit's files into a folder: no history, no `.git`, within limits. */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { emit, StepProgress } from "../domain/DeployEvent.ts"
import type { CommitSha } from "../domain/Source.ts"
import { type CommitTree, readTree, type TreeLimits } from "./CommitTree.ts"
import { git, type GitSettings } from "./GitCommand.ts"
import { refusesBareCommit, saysDiskFull } from "./GitFailure.ts"
import { CommitNotFound, DiskFull, GitFailed, type GitReason, RepositoryTooLarge } from "./GitReason.ts"

/** Where objects are fetched to. */
export interface ObjectTarget {
  readonly settings: GitSettings
  readonly commit: CommitSha
  /** A folder that does not exist yet: git's own data while fetching. The caller removes it. */
  readonly gitDir: string
  readonly limits: TreeLimits
  /** An open file whose lock git holds as long as it runs. */
  readonly lock?: number
}

export interface FetchTarget extends ObjectTarget {
  /** An existing folder, for the commit's files. */
  readonly files: string
  readonly lock: number
}

/** Bytes of the files below a folder; what vanishes meanwhile counts as nothing. */
const folderSize = async (folder: string): Promise<number> => {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const sizes = await Promise.all(
    entries.map((entry) => {
      const path = join(folder, entry.name)
      return entry.isDirectory()
        ? folderSize(path)
        : stat(path).then(
            ({ size }) => size,
            () => 0
          )
    })
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** `Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s` */
const progressPattern = /([A-Z][a-z]+ [a-z]+):\s+(\d{1,3})% \(/g

/** Runs a call of git that writes to `gitDir`, reports its progress, and ends it when it writes too much. */
const watched = (
  target: ObjectTarget & { readonly files?: string },
  args: ReadonlyArray<string>,
  reasonOf?: (stderr: string) => GitReason | undefined
) => {
  let progress: { readonly message: string; readonly fraction: number } | undefined
  const call = git({
    settings: target.settings,
    args,
    gitDir: target.gitDir,
    ...(target.files === undefined ? {} : { workTree: target.files }),
    ...(target.lock === undefined ? {} : { lock: target.lock }),
    ...(reasonOf === undefined ? {} : { reasonOf }),
    onStderr: (text) => {
      for (const [, message = "", percent] of text.matchAll(progressPattern))
        progress = { message: message.toLowerCase(), fraction: Number(percent) / 100 }
    }
  })
  const watch = Effect.gen(function* () {
    for (;;) {
      yield* Effect.sleep("200 millis")
      if (progress !== undefined) yield* emit(StepProgress.make({ step: "clone", ...progress }))
      progress = undefined
      const size = yield* Effect.promise(() => folderSize(target.gitDir))
      if (size > target.limits.maxBytes)
        return yield* new RepositoryTooLarge({ limitBytes: target.limits.maxBytes })
    }
  })
  return Effect.raceFirst(call, watch)
}

interface FetchOptions {
  /** Of git itself, before the command. */
  readonly git?: ReadonlyArray<string>
  readonly fetch?: ReadonlyArray<string>
}

const fetch = (target: ObjectTarget, options: FetchOptions, refspecs: ReadonlyArray<string>) =>
  watched(
    target,
    [
      ...(options.git ?? []),
      "fetch",
      "--progress",
      "--no-tags",
      "--no-recurse-submodules",
      "--no-auto-maintenance",
      "--no-write-fetch-head",
      ...(options.fetch ?? []),
      "--end-of-options",
      target.settings.url.href,
      ...refspecs
    ],
    (stderr) => (refusesBareCommit(stderr) ? new CommitNotFound({ commit: target.commit }) : undefined)
  )

/** Branches and tags with their whole history, for hosts that give no commit by its name. */
const everything = ["+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*"]

/** The least that git takes for a repository (gitrepository-layout(5)); quicker than a call of `git init`. */
const makeGitDir = async (gitDir: string): Promise<void> => {
  await mkdir(join(gitDir, "objects"), { recursive: true })
  await mkdir(join(gitDir, "refs"), { recursive: true })
  await writeFile(join(gitDir, "HEAD"), "ref: refs/heads/main\n")
}

/** Fetches commits by their names. */
const fetchCommits = Effect.fnUntraced(function* (
  target: ObjectTarget,
  options: FetchOptions,
  commits: ReadonlyArray<CommitSha>
): Effect.fn.Return<void, GitReason> {
  yield* Effect.tryPromise({
    try: () => makeGitDir(target.gitDir),
    catch: (error) =>
      saysDiskFull(String(error))
        ? new DiskFull({ folder: target.settings.home })
        : new GitFailed({ detail: String(error) })
  })
  yield* fetch(target, { ...options, fetch: ["--depth=1", ...(options.fetch ?? [])] }, commits)
})

/**
 * Fetches commits and their trees only, from hosts that know a filter. They are compared and never written to disk, so fsck
 * is not asked: before version 2.45 git does not tell it in such a fetch what is only untidy.
 */
export const fetchTrees = (target: ObjectTarget, commits: ReadonlyArray<CommitSha>) =>
  fetchCommits(target, { git: ["-c", "fetch.fsckObjects=false"], fetch: ["--filter=blob:none"] }, commits)

const fetchObjects = (target: FetchTarget): Effect.Effect<void, GitReason> =>
  fetchCommits(target, {}, [target.commit]).pipe(
    Effect.catchTag("CommitNotFound", () => fetch(target, {}, everything))
  )

/** Leaves the commit's files in `files`, submodules as empty folders. Fails within the limits, never beyond them. */
export const fetchCommit = Effect.fnUntraced(function* (
  target: FetchTarget
): Effect.fn.Return<CommitTree, GitReason> {
  yield* fetchObjects(target)
  const tree = yield* readTree(target, target.commit, target.limits)
  yield* watched(target, [
    "checkout",
    "--progress",
    "--force",
    "--detach",
    "--no-recurse-submodules",
    target.commit
  ])
  return tree
})
