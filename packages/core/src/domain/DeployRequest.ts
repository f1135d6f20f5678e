/** What is to be deployed: the one Schema that the service file, the library, webhooks and workflows share. */
import * as Schema from "effect/Schema"
import { Owner, ServiceName, ServiceTarget } from "./Identity.ts"
import { GitRef, GitRepository, RepositoryPath, SecretRef } from "./Source.ts"

/** Name of an environment variable (POSIX: letters, digits, `_`). */
export const EnvName = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[A-Za-z_][A-Za-z0-9_]*$/, { expected: "letters, digits and _" }))
)

const EnvValue = Schema.String.pipe(
  Schema.check(
    Schema.makeFilter((value) => (value.includes("\u0000") ? "text without NUL characters" : undefined))
  )
)

/** Id of a build secret, as in `RUN --mount=type=secret,id=…`. */
const BuildSecretId = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[A-Za-z0-9_.-]{1,128}$/, { expected: "letters, digits, _ . -" }))
)

/** CPU as Kubernetes writes it: `500m` or `2`. */
export const CpuQuantity = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^(?:[1-9][0-9]*m?|0?\.[0-9]+|[0-9]+\.[0-9]+)$/, { expected: "500m or 2" }))
)
/** Memory as Kubernetes writes it: `256Mi`, `2Gi`. */
export const MemoryQuantity = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[1-9][0-9]*(?:Ki|Mi|Gi)$/, { expected: "256Mi or 2Gi" }))
)

/** Where the code is. `ref` is resolved to a commit when the deploy starts. */
export class SourceSpec extends Schema.Class<SourceSpec>("mcpdeploy/core/SourceSpec")({
  repository: GitRepository,
  ref: GitRef,
  /** The folder that is the build's context. */
  rootDirectory: Schema.optionalKey(RepositoryPath)
}) {}

/** How the image is built. */
export class BuildSpec extends Schema.Class<BuildSpec>("mcpdeploy/core/BuildSpec")({
  /** Relative to the root directory; `Dockerfile` when absent. */
  dockerfile: Schema.optionalKey(RepositoryPath),
  target: Schema.optionalKey(Schema.NonEmptyString),
  /** Visible in the image's history: not for secrets. */
  args: Schema.optionalKey(Schema.Record(EnvName, EnvValue)),
  secrets: Schema.optionalKey(Schema.Record(BuildSecretId, SecretRef)),
  timeoutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7200 })))
}) {}

/** How Kubernetes asks the app whether it serves. Without it, the port must accept connections. */
export class HealthCheck extends Schema.Class<HealthCheck>("mcpdeploy/core/HealthCheck")({
  /** HTTP path that answers 200 to 399. */
  path: Schema.String.pipe(
    Schema.check(
      Schema.isPattern(/^\/[^\s]*$/, { expected: 'a path that begins with "/"' }),
      Schema.isMaxLength(1024)
    )
  )
}) {}

/** How the image is run. */
export class RunSpec extends Schema.Class<RunSpec>("mcpdeploy/core/RunSpec")({
  /** The port on which the app listens; also set as `PORT`. */
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65535 })),
  /** Instead of the image's entrypoint and command. */
  command: Schema.optionalKey(Schema.NonEmptyArray(EnvValue)),
  env: Schema.optionalKey(Schema.Record(EnvName, EnvValue)),
  secrets: Schema.optionalKey(Schema.Record(EnvName, SecretRef)),
  /** 1 when absent. */
  replicas: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))),
  cpu: Schema.optionalKey(CpuQuantity),
  memory: Schema.optionalKey(MemoryQuantity),
  healthCheck: Schema.optionalKey(HealthCheck),
  /** How long a rollout may take before it counts as failed; 300 when absent. */
  rolloutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 5, maximum: 3600 }))),
  /** false: reached only from the same project, no ingress. true when absent. */
  public: Schema.optionalKey(Schema.Boolean)
}) {}

/**
 * The order in which pushes happened: of two deploys of one service the one with the greater generation wins, whatever
 * the order in which they run. Milliseconds since the epoch at the push, unless the caller has something better.
 */
export const Generation = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.brand("Generation"))
export type Generation = typeof Generation.Type

export class DeployRequest extends Schema.Class<DeployRequest>("mcpdeploy/core/DeployRequest")({
  owner: Owner,
  service: ServiceName,
  source: SourceSpec,
  build: BuildSpec,
  run: RunSpec,
  generation: Generation
}) {
  get target(): ServiceTarget {
    return new ServiceTarget({ owner: this.owner, service: this.service })
  }
}
