/** What the tests of GitSource share. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import * as SystemGit from "@mcpdeploy/core/git/SystemGit"
import { GitSource } from "@mcpdeploy/core/GitSource"
import { GitRepository, RepositoryUrl, SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** A folder that is removed with the scope. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-git-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** A GitSource of its own, with repositories from loopback allowed. */
export const makeGitSource = (
  config: SystemGit.SystemGitConfig,
  environment: Readonly<Record<string, string>> = {}
) =>
  Layer.build(
    SystemGit.layer({ privateHosts: ["127.0.0.1", "localhost"], ...config }).pipe(
      Layer.provide(SecretStore.layer(environment)),
      Layer.provide(NodeFileSystem.layer)
    )
  ).pipe(Effect.map(Context.get(GitSource)))

export const repositoryAt = (
  url: string,
  options: {
    readonly token?: string
    readonly username?: string
    readonly submodules?: boolean
    readonly lfs?: boolean
  } = {}
): GitRepository =>
  new GitRepository({
    url: RepositoryUrl.make(url),
    ...(options.token === undefined
      ? {}
      : {
          credentials: {
            password: SecretRef.make(options.token),
            ...(options.username === undefined ? {} : { username: options.username })
          }
        }),
    ...(options.submodules === undefined ? {} : { submodules: options.submodules }),
    ...(options.lfs === undefined ? {} : { lfs: options.lfs })
  })
