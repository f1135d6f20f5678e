/**
 * Fetches submodules as commits of their own, without git's submodule machinery: nothing that `.gitmodules` says reaches
 * a configuration file, a path on disk or a command line unchecked (CVE-2018-17456, CVE-2025-48384).
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { RepositoryPath, RepositoryUrl } from "../domain/Source.ts"
import type { CommitTree } from "./CommitTree.ts"
import { type FetchTarget, fetchCommit } from "./FetchCommit.ts"
import { git, type GitSettings } from "./GitCommand.ts"
import { type GitReason, SubmoduleRefused } from "./GitReason.ts"

/** Submodules of submodules, and so on, that are followed. */
const maxDepth = 5

/** URL of each submodule by its path, as `.gitmodules` says. */
const readGitmodules = Effect.fnUntraced(function* (target: FetchTarget) {
  const paths = new Map<string, string>()
  const urls = new Map<string, string>()
  yield* git({
    settings: target.settings,
    gitDir: target.gitDir,
    args: ["config", "--null", "--no-includes", `--blob=${target.commit}:.gitmodules`, "--list"],
    separator: "\u0000",
    onRecord: (record) => {
      const [, name, key, value] = /^submodule\.([^]*)\.(path|url)\n([^]*)$/.exec(record) ?? []
      if (name !== undefined && value !== undefined) (key === "path" ? paths : urls).set(name, value)
      return undefined
    },
    reasonOf: (stderr) =>
      new SubmoduleRefused({
        path: ".gitmodules",
        detail: `it cannot be read: ${stderr.trim().slice(0, 200)}`
      })
  })
  return new Map(
    [...paths].flatMap(([name, path]) => {
      const url = urls.get(name)
      return url === undefined ? [] : [[path, url] as const]
    })
  )
})

/** A submodule's URL, relative to its parent's, if it is on the same host by the same protocol. */
const submoduleUrl = (path: string, text: string, parent: URL): Effect.Effect<URL, SubmoduleRefused> => {
  const refuse = (detail: string) => new SubmoduleRefused({ path, detail })
  if (!/^https?:$/.test(parent.protocol)) return refuse("submodules are fetched by http(s) only")
  const relative = /^\.\.?\//.test(text)
  const absolute = relative
    ? Result.try({
        try: () => new URL(text, `${parent.href.replace(/\/*$/, "")}/`).href,
        catch: () => "not a URL"
      })
    : Result.succeed(text)
  const url = Result.flatMap(absolute, Schema.decodeUnknownResult(RepositoryUrl))
  if (Result.isFailure(url)) return refuse("its URL is not an https or http URL")
  const decoded = new URL(url.success)
  return decoded.origin === parent.origin
    ? Effect.succeed(decoded)
    : refuse(
        `its URL leads to ${decoded.origin}, and only ${parent.origin}, the repository's own host, is allowed`
      )
}

export const fetchSubmodules = Effect.fnUntraced(function* (
  target: FetchTarget,
  tree: CommitTree,
  /** Called for each submodule once its files are there; returns by how many bytes it made them grow. */
  complete: (target: FetchTarget, size: number) => Effect.Effect<number, GitReason>,
  depth = 1
): Effect.fn.Return<{ readonly size: number; readonly files: number }, GitReason> {
  let { size, files } = tree
  if (tree.submodules.size === 0) return { size, files }
  const urls = yield* readGitmodules(target)
  let number = 0
  for (const [path, commit] of tree.submodules) {
    const text = urls.get(path)
    if (text === undefined)
      return yield* new SubmoduleRefused({ path, detail: ".gitmodules has no URL for it" })
    if (path.includes("\ufffd")) return yield* new SubmoduleRefused({ path, detail: "its path is not UTF-8" })
    if (!Schema.is(RepositoryPath)(path))
      return yield* new SubmoduleRefused({ path, detail: "its path is hostile" })
    if (depth > maxDepth)
      return yield* new SubmoduleRefused({ path, detail: `it is nested deeper than ${maxDepth} levels` })
    const url = yield* submoduleUrl(path, text, target.settings.url)
    const settings: GitSettings = { ...target.settings, url }
    const own: FetchTarget = {
      ...target,
      settings,
      commit,
      gitDir: `${target.gitDir}-${number++}`,
      files: join(target.files, path),
      limits: {
        maxBytes: target.limits.maxBytes - size,
        maxFiles: target.limits.maxFiles - files
      }
    }
    const ownTree = yield* fetchCommit(own)
    size += yield* complete(own, ownTree.size)
    const total = yield* fetchSubmodules(own, ownTree, complete, depth + 1)
    size += total.size
    files += total.files
  }
  return { size, files }
})
