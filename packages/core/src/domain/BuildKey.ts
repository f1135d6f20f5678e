/** BuildKey: equal for equal inputs of a build, so that a finished build is found again and nothing is built twice. */
import { createHash, createHmac } from "node:crypto"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CommitSha, DockerfilePath, GitRepository, RepositoryPath } from "./Source.ts"

/** 32 hexadecimal digits: the first half of a SHA-256. */
export const BuildKey = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[0-9a-f]{32}$/, { expected: "32 hexadecimal digits" })),
  Schema.brand("BuildKey")
)
export type BuildKey = typeof BuildKey.Type

/** Everything that can change what is in the image. */
export interface BuildInputs {
  /** Its credentials are not an input: the same commit has the same files whoever fetches them. */
  readonly repository: GitRepository
  readonly commit: CommitSha
  readonly rootDirectory: RepositoryPath
  readonly dockerfile: DockerfilePath
  readonly target?: string
  readonly args: Readonly<Record<string, string>>
  /** Values of the build's secrets, by id. */
  readonly secrets: Readonly<Record<string, Redacted.Redacted<Uint8Array>>>
  /** Names what builds, such as BuildKit's version: another builder may make another image. */
  readonly builderVersion: string
}

const sortedEntries = <A>(record: Readonly<Record<string, A>>): ReadonlyArray<readonly [string, A]> =>
  Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1))

/**
 * The key of a build. It is stored beside the workload, where others can read it: secrets enter it only through an HMAC
 * under `secretKey`, so that a short secret cannot be guessed from it. Keep `secretKey` for as long as keys are to match.
 */
export const buildKey = (inputs: BuildInputs, secretKey: Redacted.Redacted): BuildKey => {
  const digestOf = (value: Redacted.Redacted<Uint8Array>): string =>
    createHmac("sha256", Redacted.value(secretKey)).update(Redacted.value(value)).digest("hex")
  // An array has one order and JSON one way to quote: canonical as it stands.
  const canonical = JSON.stringify([
    "mcpdeploy build 1",
    new URL(inputs.repository.url).href,
    inputs.repository.submodules === true,
    inputs.repository.lfs === true,
    inputs.commit,
    inputs.rootDirectory,
    inputs.dockerfile,
    inputs.target ?? null,
    sortedEntries(inputs.args),
    sortedEntries(inputs.secrets).map(([id, value]) => [id, digestOf(value)]),
    inputs.builderVersion
  ])
  return BuildKey.make(createHash("sha256").update(canonical).digest("hex").slice(0, 32))
}
