/** What is to be deployed: the one Schema that the service file, the library, webhooks and workflows share. */
import * as Schema from "effect/Schema"
import { Owner, ServiceName, ServiceTarget } from "./Identity.ts"
import { isNotTooLarge } from "./RequestSize.ts"
import {
  DockerfilePath,
  dockerfileInRepository,
  dockerfileLeavesRepository,
  GitRef,
  GitRepository,
  RepositoryPath,
  SecretRef
} from "./Source.ts"

/**
 * Name of an environment variable, as Kubernetes takes it from 1.34 on (KEP-4369): Spring, Elasticsearch and
 * .NET read `discovery.type` and `app-mode`, which no shell can set.
 */
export const EnvName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[ -<>-~]{1,256}$/, {
      expected: "a variable's name: at most 256 printable ASCII characters without ="
    })
  )
)

/** Name of a build argument: what `ARG` of a Dockerfile can declare. A quote or a `$` would be read as the Dockerfile's own. */
const ArgName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^(?!--)[!#%&()*+,\-./0-9:;<>?@A-Z[\]^_a-z{|}~]{1,256}$/, {
      expected: "an argument's name: at most 256 printable ASCII characters, no spaces, quotes, =, $ or \\"
    })
  )
)

/** Linux, and gVisor, hand a process no single string of 128 KiB or more (MAX_ARG_STRLEN): a variable with its name, an argument. */
export const maxValueBytes = 130_000

const EnvValue = Schema.String.pipe(
  Schema.check(
    Schema.makeFilter((value) => {
      if (value.includes("\u0000")) return "Expected text without NUL characters"
      const bytes = Buffer.byteLength(value)
      return bytes > maxValueBytes
        ? `Expected at most ${maxValueBytes} bytes, not ${bytes}: put what is longer into a file of the image`
        : undefined
    })
  )
)

/** Id of a build secret, as in `RUN --mount=type=secret,id=…`. */
const BuildSecretId = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[A-Za-z0-9_.-]{1,128}$/, { expected: "a secret's id: letters, digits, _ . -" })
  )
)

/**
 * A record whose keys are checked. (`Schema.Record(Key, Value)` drops the entries whose key does not match without a
 * word.)
 */
const recordOf = <V extends Schema.Constraint>(key: Schema.Codec<string>, value: V) =>
  Schema.Record(Schema.String, value).check(Schema.isPropertyNames(key))

/** CPU as Kubernetes writes it: `500m` or `2`. */
export const CpuQuantity = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^(?=.*[1-9])(?:[0-9]{1,6}m|[0-9]{1,3}(?:\.[0-9]{1,3})?)$/, {
      expected: "CPU such as 500m, 0.5 or 2"
    })
  )
)
/** Memory as Kubernetes writes it: `256Mi`, `2Gi`. */
export const MemoryQuantity = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[1-9][0-9]{0,9}(?:Ki|Mi|Gi)$/, { expected: "memory such as 256Mi or 2Gi" }))
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
  /** Relative to the root directory, inside or outside of it; `Dockerfile` when absent. */
  dockerfile: Schema.optionalKey(DockerfilePath),
  target: Schema.optionalKey(Schema.NonEmptyString),
  /** Visible in the image's history: not for secrets. */
  args: Schema.optionalKey(recordOf(ArgName, EnvValue)),
  secrets: Schema.optionalKey(recordOf(BuildSecretId, SecretRef)),
  timeoutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7200 })))
}) {}

/** `run.healthCheck.periodSeconds` when absent. */
export const defaultPeriodSeconds = 10

/** How Kubernetes asks the app whether it serves. Without a path or a gRPC service, the port must accept connections. */
export class HealthCheck extends Schema.Class<HealthCheck>("mcpdeploy/core/HealthCheck")({
  /** HTTP path that answers 200 to 399. */
  path: Schema.optionalKey(
    Schema.String.pipe(
      Schema.check(
        Schema.isPattern(/^\/[^\s]*$/, { expected: 'a path that begins with "/"' }),
        Schema.isMaxLength(1024)
      )
    )
  ),
  /** The service whose status gRPC's health service tells (`grpc.health.v1.Health`); "" is the whole server. */
  grpcService: Schema.optionalKey(
    Schema.String.pipe(
      Schema.check(
        Schema.isPattern(/^[A-Za-z0-9_./-]{0,200}$/, {
          expected: "a gRPC service's name, such as shop.v1.Cart"
        })
      )
    )
  ),
  /** How often it is asked once it is ready; 10 when absent. Until then it is asked more often. */
  periodSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 })))
}) {}

/** Cron (POSIX crontab, 5 fields, or @hourly and the like); the API server knows the rest of its grammar. */
export const CronSchedule = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(
      /^(?:@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)|[0-9A-Za-z*?,/-]+(?: [0-9A-Za-z*?,/-]+){4})$/,
      { expected: 'a cron schedule of five fields, such as "*/15 * * * *"' }
    )
  )
)

/** A command that runs on a schedule, in the service's image with its environment. */
export class JobSpec extends Schema.Class<JobSpec>("mcpdeploy/core/JobSpec")({
  schedule: CronSchedule,
  /** Of the IANA time zone database; UTC when absent. */
  timeZone: Schema.optionalKey(
    Schema.String.pipe(
      Schema.check(
        Schema.isPattern(/^[A-Za-z0-9_+/-]{1,64}$/, { expected: "a time zone such as Europe/Berlin" })
      )
    )
  ),
  command: Schema.NonEmptyArray(EnvValue),
  /** How long one run may take; 3600 when absent. */
  deadlineSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 })))
}) {}

const JobName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?$/, {
      expected: "a job's name: at most 30 lower-case letters, digits and -"
    })
  )
)

const RunFields = Schema.Struct({
  /** The port on which the app listens; also set as `PORT`. */
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65535 })),
  /** What the app speaks on its port: HTTP/1.1, or HTTP/2 without TLS, as gRPC servers do. `http` when absent. */
  protocol: Schema.optionalKey(Schema.Literals(["http", "h2c"])),
  /** Instead of the image's entrypoint and command. */
  command: Schema.optionalKey(Schema.NonEmptyArray(EnvValue)),
  env: Schema.optionalKey(recordOf(EnvName, EnvValue)),
  secrets: Schema.optionalKey(recordOf(EnvName, SecretRef)),
  /** 1 when absent. */
  replicas: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))),
  cpu: Schema.optionalKey(CpuQuantity),
  memory: Schema.optionalKey(MemoryQuantity),
  healthCheck: Schema.optionalKey(HealthCheck),
  /** How long a rollout may take before it counts as failed; 300 when absent. */
  rolloutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 5, maximum: 3600 }))),
  /** false: reached only from the same project, no ingress. true when absent. */
  public: Schema.optionalKey(Schema.Boolean),
  /** Scheduled jobs, by name. */
  jobs: Schema.optionalKey(recordOf(JobName, JobSpec))
})

/** `PORT` is set from `port`, and a variable has one value: said here, so that no one wonders which one won. */
const variablesAreClear = Schema.makeFilter(({ env = {}, secrets = {} }: typeof RunFields.Type) => [
  ...[env, secrets].flatMap((record, index) =>
    "PORT" in record
      ? [
          {
            path: [index === 0 ? "env" : "secrets", "PORT"],
            issue: "Expected no PORT here: it is set from run.port"
          }
        ]
      : []
  ),
  ...Object.keys(env)
    .filter((name) => Object.hasOwn(secrets, name))
    .map((name) => ({ path: ["secrets", name], issue: "Expected a variable that is not in run.env as well" }))
])

/** Kubernetes asks a path by HTTP/1.1, which an h2c server does not speak, and gRPC's health service by HTTP/2. */
const healthCheckIsSpoken = Schema.makeFilter(({ healthCheck, protocol = "http" }: typeof RunFields.Type) => [
  ...(protocol === "h2c" && healthCheck?.path !== undefined
    ? [
        {
          path: ["healthCheck", "path"],
          issue: "Expected no path with run.protocol h2c: name run.healthCheck.grpcService, or nothing"
        }
      ]
    : []),
  ...(protocol === "http" && healthCheck?.grpcService !== undefined
    ? [{ path: ["healthCheck", "grpcService"], issue: "Expected run.protocol h2c with a gRPC service" }]
    : [])
])

/** How the image is run. */
export class RunSpec extends Schema.Class<RunSpec>("mcpdeploy/core/RunSpec")(
  RunFields.check(variablesAreClear, healthCheckIsSpoken)
) {}

/** Which pushes deploy by themselves. The branch is `source.ref`; without this, every push to it does. */
export class TriggerSpec extends Schema.Class<TriggerSpec>("mcpdeploy/core/TriggerSpec")({
  /** Only pushes that change one of these paths (globs as in `.gitignore`, from the repository's root). */
  paths: Schema.optionalKey(Schema.NonEmptyArray(Schema.NonEmptyString)),
  /** false: nothing deploys by itself. */
  enabled: Schema.optionalKey(Schema.Boolean)
}) {}

/** Makes a service a preview of another one: of one branch, for a while. */
export class PreviewSpec extends Schema.Class<PreviewSpec>("mcpdeploy/core/PreviewSpec")({
  /** The service that it is a preview of. */
  of: ServiceName,
  branch: GitRef,
  /** When it may be removed, in milliseconds since the epoch. */
  expiresAt: Schema.optionalKey(Schema.Int)
}) {}

/**
 * The order in which pushes happened: of two deploys of one service the one with the greater generation wins, whatever
 * the order in which they run. Milliseconds since the epoch at the push, unless the caller has something better.
 */
export const Generation = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.brand("Generation"))
export type Generation = typeof Generation.Type

/** The folder that is the build's context where the request does not say. */
export const defaultRootDirectory = RepositoryPath.make(".")
/** The Dockerfile where the request does not say, from the root directory. */
export const defaultDockerfile = DockerfilePath.make("Dockerfile")

/** The Dockerfile's path from the repository's root; undefined where it leads out of the repository. */
export const dockerfileOf = ({
  build,
  source
}: {
  readonly build: BuildSpec
  readonly source: SourceSpec
}): string | undefined =>
  dockerfileInRepository(source.rootDirectory ?? defaultRootDirectory, build.dockerfile ?? defaultDockerfile)

const DeployFields = Schema.Struct({
  owner: Owner,
  service: ServiceName,
  source: SourceSpec,
  build: BuildSpec,
  run: RunSpec,
  trigger: Schema.optionalKey(TriggerSpec),
  preview: Schema.optionalKey(PreviewSpec),
  generation: Generation
})

const dockerfileStaysInside = Schema.makeFilter((fields: typeof DeployFields.Type) =>
  dockerfileOf(fields) === undefined
    ? [{ path: ["build", "dockerfile"], issue: dockerfileLeavesRepository }]
    : []
)

/** What is asked for: whose service, from which source, built and run how. The one shape of every way in. */
export class DeployRequest extends Schema.Class<DeployRequest>("mcpdeploy/core/DeployRequest")(
  DeployFields.check(dockerfileStaysInside)
) {
  get target(): ServiceTarget {
    return new ServiceTarget({ owner: this.owner, service: this.service })
  }
}

/**
 * Decodes a request from outside, such as a file or a message. The error names every field that is wrong, where it is
 * and what was expected; a field that does not exist is an error too, so that a typing error is not ignored.
 */
export const decodeDeployRequest = Schema.decodeUnknownEffect(DeployRequest.check(isNotTooLarge), {
  errors: "all",
  onExcessProperty: "error"
})
