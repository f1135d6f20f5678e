/**
 * A process that checks out one commit: `node checkoutProcess.ts URL SHA CACHE [hold]`. Prints the checkout as JSON; with
 * "hold" it then keeps it until its standard input ends.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { GitSource } from "@mcpdeploy/core/GitSource"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import * as SystemGit from "@mcpdeploy/core/git/SystemGit"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { repositoryAt } from "./setup.ts"

const [url = "", commit = "", cacheFolder = "", hold = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const git = yield* GitSource
  const { path, files } = yield* git.checkout(repositoryAt(url), CommitSha.make(commit))
  process.stdout.write(`${JSON.stringify({ path, files })}\n`)
  if (hold !== "") yield* Effect.promise(() => process.stdin.resume().toArray())
}).pipe(Effect.scoped)

const layer = SystemGit.layer({ cacheFolder, privateHosts: ["127.0.0.1"] }).pipe(
  Layer.provide(SecretStore.layer({})),
  Layer.provide(NodeFileSystem.layer)
)

await Effect.runPromise(Effect.provide(program, layer))
