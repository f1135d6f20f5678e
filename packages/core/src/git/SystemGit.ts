/** GitSource on the system's git (2.37 or newer) and flock(1). */
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { GitRepository } from "../domain/Source.ts"
import { Checkout, GitSource, GitSourceError } from "../GitSource.ts"
import { SecretStore } from "../SecretStore.ts"
import * as CheckoutCache from "./CheckoutCache.ts"
import { commitChanges } from "./CommitChanges.ts"
import { fetchCommit, type FetchTarget } from "./FetchCommit.ts"
import { settleModes } from "./FileModes.ts"
import { checkGitVersion, type GitSettings } from "./GitCommand.ts"
import { GitFailed, GitTimedOut, type GitReason, RepositoryMoved } from "./GitReason.ts"
import { checkHost } from "./HostPolicy.ts"
import { fetchLfsObjects } from "./Lfs.ts"
import { isCommitSha, listBranches, resolveRef } from "./ResolveRef.ts"
import { fetchSubmodules } from "./Submodules.ts"

/** Where checkouts are kept, what may be fetched from where, and how much of it. */
export interface SystemGitConfig {
  /** Absolute path of a folder that this and other processes of the machine may share. Made where it is missing. */
  readonly cacheFolder: string
  /** Allows `file:///…` repositories. Only for local use: such a URL reads whatever this process may read. */
  readonly allowFile?: boolean
  /** Hosts (`git.internal` or `127.0.0.1:3000`) that may be at an address which is not public. None when absent. */
  readonly privateHosts?: ReadonlyArray<string>
  /**
   * Hosts beside the repository's own from which Git LFS objects may come, by https, such as
   * `github-cloud.githubusercontent.com`. None when absent.
   */
  readonly lfsHosts?: ReadonlyArray<string>
  /** Bytes of a commit's files, and of its download; 1 GiB when absent. */
  readonly maxBytes?: number
  /** Files of a commit; 100,000 when absent. */
  readonly maxFiles?: number
  /** Seconds for a checkout, waiting for another process that makes the same one included; 600 when absent. */
  readonly timeoutSeconds?: number
  /** Seconds to resolve a ref; 30 when absent. */
  readonly resolveTimeoutSeconds?: number
  /** Seconds to compare two commits; 60 when absent. */
  readonly compareTimeoutSeconds?: number
  /** Bytes on disk from which on unused checkouts are removed, least recently used first; 10 GiB when absent. */
  readonly maxCacheBytes?: number
  /** PEM file with the authorities that git trusts, instead of the system's. */
  readonly caFile?: string
  /** PEM file with the authority that git trusts for `privateHosts`, and for no other host. */
  readonly privateCaFile?: string
  /** Where git and flock are found; the process's own PATH when absent. */
  readonly path?: string
}

const gibibyte = 1024 ** 3

/** Another value makes every checkout anew. What versions before this one made has modes of their processes' umasks. */
const checkoutVersion = 2

/**
 * Equal for requests that may share a checkout: the same repository, asked for in the name of the same credentials (by
 * reference, so that a new token finds the old checkout), with the same parts. Who has no access to a private repository
 * does not get it from the cache either.
 */
const repositoryKey = ({ url, credentials, submodules = false, lfs = false }: GitRepository): string =>
  createHash("sha256")
    .update(
      JSON.stringify([
        checkoutVersion,
        new URL(url).href,
        credentials?.username,
        credentials?.password,
        submodules,
        lfs
      ])
    )
    .digest("hex")
    .slice(0, 32)

/** Many hosts redirect `…/repository` to `…/repository.git`. That stays on the host, so it is tried without a redirect. */
const withGitSuffix = (url: URL): URL | undefined =>
  url.pathname.endsWith(".git") ? undefined : new URL(`${url.href.replace(/\/+$/, "")}.git`)

/** {@link GitSource} by the system's git. Fails where git or flock is missing. */
export const layer = (
  config: SystemGitConfig
): Layer.Layer<GitSource, GitReason, FileSystem.FileSystem | SecretStore> =>
  Layer.effect(
    GitSource,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const secrets = yield* SecretStore
      const path = config.path ?? process.env["PATH"] ?? ""
      const limits = {
        maxBytes: config.maxBytes ?? gibibyte,
        maxFiles: config.maxFiles ?? 100_000
      }
      const policy = { allowFile: config.allowFile ?? false, privateHosts: config.privateHosts ?? [] }
      const { privateCaFile } = config
      const privateAuthority =
        privateCaFile === undefined
          ? []
          : policy.privateHosts.map((host) => ({ host, caFile: privateCaFile }))
      const cache = yield* CheckoutCache.make({
        folder: config.cacheFolder,
        maxBytes: config.maxCacheBytes ?? 10 * gibibyte
      })
      const versionChecked = yield* Effect.cached(checkGitVersion(path))

      const settingsFor = Effect.fnUntraced(function* (repository: GitRepository) {
        yield* versionChecked
        const url = new URL(repository.url)
        const pin = yield* checkHost(url, policy)
        const { credentials } = repository
        const settings: GitSettings = {
          path,
          home: config.cacheFolder,
          url,
          allowFile: policy.allowFile,
          pin,
          caFile: config.caFile,
          privateAuthority,
          credentials:
            credentials === undefined
              ? undefined
              : {
                  username: credentials.username ?? "x-access-token",
                  password: yield* secrets.resolve(credentials.password)
                }
        }
        return settings
      })

      const followingSuffix = <A>(
        settings: GitSettings,
        run: (settings: GitSettings) => Effect.Effect<A, GitReason>
      ): Effect.Effect<A, GitReason> =>
        run(settings).pipe(
          Effect.catchTag("RepositoryMoved", () => {
            const url = withGitSuffix(settings.url)
            return url === undefined ? new RepositoryMoved({}) : run({ ...settings, url })
          })
        )

      const within = (seconds: number) =>
        Effect.timeoutOrElse({
          duration: `${seconds} seconds`,
          orElse: () => Effect.fail(new GitTimedOut({ seconds }))
        })

      const resolveWithin = config.resolveTimeoutSeconds ?? 30
      const compareWithin = config.compareTimeoutSeconds ?? 60
      const checkoutWithin = config.timeoutSeconds ?? 600

      // Remnants of killed processes take space and nothing else: a failure to remove them stops nobody.
      yield* cache.sweep.pipe(
        Effect.catch((error) => Effect.logWarning(`the checkout cache was not swept: ${error.message}`))
      )

      return GitSource.of({
        resolve: Effect.fn("GitSource.resolve")(
          function* (repository, ref) {
            if (isCommitSha(ref)) return ref
            const settings = yield* settingsFor(repository)
            return yield* followingSuffix(settings, (settings) => resolveRef(settings, ref))
          },
          within(resolveWithin),
          (effect, { url }) =>
            Effect.mapError(effect, (reason) => new GitSourceError({ operation: "resolve", url, reason }))
        ),
        branches: Effect.fn("GitSource.branches")(
          function* (repository) {
            const settings = yield* settingsFor(repository)
            return yield* followingSuffix(settings, listBranches)
          },
          within(resolveWithin),
          (effect, { url }) =>
            Effect.mapError(effect, (reason) => new GitSourceError({ operation: "resolve", url, reason }))
        ),
        changes: Effect.fn("GitSource.changes")(
          function* (repository, from, commit) {
            const settings = yield* settingsFor(repository)
            return yield* followingSuffix(
              settings,
              Effect.fnUntraced(function* (settings) {
                const folder = yield* fs
                  .makeTempDirectoryScoped({ prefix: "mcpdeploy-compare-" })
                  .pipe(Effect.mapError(({ message }) => new GitFailed({ detail: message })))
                return yield* commitChanges({ settings, commit, gitDir: join(folder, "git"), limits }, from)
              }, Effect.scoped)
            )
          },
          within(compareWithin),
          (effect, { url }) =>
            Effect.mapError(effect, (reason) => new GitSourceError({ operation: "compare", url, reason }))
        ),
        checkout: Effect.fn("GitSource.checkout")(
          function* (repository, commit) {
            const { path, size, files } = yield* cache.get(
              repositoryKey(repository),
              commit,
              Effect.fnUntraced(function* ({ files, scratch, lock }) {
                const settings = yield* settingsFor(repository)
                return yield* followingSuffix(
                  settings,
                  Effect.fnUntraced(function* (settings) {
                    const gitDir = join(scratch, "git")
                    const target = { settings, commit, gitDir, files, limits, lock }
                    const tree = yield* fetchCommit(target)
                    const complete = (target: FetchTarget, size: number) =>
                      repository.lfs === true
                        ? fetchLfsObjects(target, size, policy, config.lfsHosts ?? [])
                        : Effect.succeed(0)
                    const grown = yield* complete(target, tree.size)
                    const total =
                      repository.submodules === true ? yield* fetchSubmodules(target, tree, complete) : tree
                    yield* settleModes(files)
                    return { size: total.size + grown, files: total.files }
                  })
                )
              })
            )
            return new Checkout({ commit, path, size, files })
          },
          within(checkoutWithin),
          (effect, { url }) =>
            Effect.mapError(effect, (reason) => new GitSourceError({ operation: "checkout", url, reason }))
        )
      })
    })
  )
