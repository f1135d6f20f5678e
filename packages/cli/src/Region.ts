/**
 * Which region a command talks to: the one whose file `--region` (or `MCPDEPLOY_REGION`) names, else the local one.
 *
 * What talks to BuildKit and Kubernetes is imported only when a command needs it, so that `--help` is quick and needs no
 * configuration.
 */
import * as Config from "effect/Config"
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { dataFolder, defaultCacheFolder, defaultDataFolder } from "@mcpdeploy/local-region/DataFolder"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { join } from "node:path"
import { CommandFailed, exitCodes } from "./ExitCode.ts"
import { root, usage } from "./commands/Root.ts"

/** The file that describes a region to the command line. Paths are absolute or relative to the working directory. */
export const RegionFile = Schema.Struct({
  /** See `RegionConfig` of the k3s provider. */
  cluster: Schema.Struct({
    kubeconfig: Schema.optionalKey(Schema.String),
    context: Schema.optionalKey(Schema.String),
    platformDomain: PlatformDomain,
    ingressEndpoint: Schema.optionalKey(Schema.String)
  }),
  buildkit: Schema.Struct({
    address: Schema.String,
    /** PEM files, for `tcp://` with TLS. */
    tls: Schema.optionalKey(
      Schema.Struct({
        ca: Schema.String,
        certificate: Schema.optionalKey(Schema.String),
        key: Schema.optionalKey(Schema.String)
      })
    ),
    concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0)))
  }),
  registry: Schema.Struct({
    endpoint: Schema.String,
    username: Schema.optionalKey(Schema.String),
    password: Schema.optionalKey(SecretRef)
  }),
  git: Schema.optionalKey(
    Schema.Struct({
      allowFile: Schema.optionalKey(Schema.Boolean),
      privateHosts: Schema.optionalKey(Schema.Array(Schema.String))
    })
  )
})
export type RegionFile = typeof RegionFile.Type

const decodeRegionFile = Schema.decodeUnknownEffect(Schema.fromJsonString(RegionFile), {
  errors: "all",
  onExcessProperty: "error"
})
const decodeEndpoints = Schema.decodeUnknownEffect(Schema.fromJsonString(RegionEndpoints))

/** The folder of the local region. */
export const localFolder = Config.String("MCPDEPLOY_LOCAL_DATA").pipe(
  Config.withDefault(defaultDataFolder(process.env)),
  Effect.map(dataFolder)
)

/** The local region, as if a region file described it. Repositories may be folders of this machine. */
const localRegion: Effect.Effect<RegionFile, CommandFailed, FileSystem.FileSystem> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* usage(localFolder)
  const text = yield* fs.readFileString(folder.region).pipe(
    Effect.mapError(
      () =>
        new CommandFailed({
          exitCode: exitCodes.unavailable,
          detail: "no local region is up: `mcpdeploy local up` starts one, `--region FILE` names another"
        })
    )
  )
  const { buildkit, ingress, kubeconfig, registry } = yield* usage(decodeEndpoints(text))
  return {
    cluster: { kubeconfig, platformDomain: PlatformDomain.make("localhost"), ingressEndpoint: ingress.http },
    buildkit,
    registry: { endpoint: registry.endpoint },
    git: { allowFile: true }
  }
})

const regionFile = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { region } = yield* root
  return Option.isNone(region)
    ? yield* localRegion
    : yield* usage(Effect.flatMap(fs.readFileString(region.value), decodeRegionFile))
})

const secretStore = SecretStore.layer(process.env)

/** Keys the hash of build secrets; kept on this machine so that a build with secrets is found again. */
const buildSecretKey = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = defaultCacheFolder(process.env)
  const path = join(folder, "build-secret-key")
  yield* fs.makeDirectory(folder, { recursive: true })
  yield* fs
    .writeFileString(path, Crypto.randomBytes(32).toString("hex"), { flag: "wx", mode: 0o600 })
    .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
  return Redacted.make(yield* fs.readFileString(path))
})

/** Only the cluster: for commands that neither fetch nor build. */
export const clusterLayer = Layer.unwrap(
  Effect.gen(function* () {
    const { cluster } = yield* regionFile
    const [{ RegionConfig }, K3sClusterApplier] = yield* Effect.promise(() =>
      Promise.all([
        import("@mcpdeploy/provider-k3s/RegionConfig"),
        import("@mcpdeploy/provider-k3s/K3sClusterApplier")
      ])
    )
    return K3sClusterApplier.layer(new RegionConfig(cluster))
  })
)

/** Everything that a deploy needs. */
export const pipelineLayer = Layer.unwrap(
  Effect.gen(function* () {
    const { buildkit, cluster, git, registry } = yield* regionFile
    const fs = yield* FileSystem.FileSystem
    const [{ RegionConfig }, { regionLayer }] = yield* Effect.promise(() =>
      Promise.all([
        import("@mcpdeploy/provider-k3s/RegionConfig"),
        import("@mcpdeploy/provider-k3s/K3sRegion")
      ])
    )
    const secrets = yield* SecretStore
    const credentials =
      registry.password === undefined
        ? undefined
        : { username: registry.username ?? "", password: yield* usage(secrets.resolve(registry.password)) }
    const read = (path: string) => usage(fs.readFileString(path))
    const tls =
      buildkit.tls === undefined
        ? undefined
        : {
            ca: yield* read(buildkit.tls.ca),
            ...(buildkit.tls.certificate === undefined
              ? {}
              : { certificate: yield* read(buildkit.tls.certificate) }),
            ...(buildkit.tls.key === undefined ? {} : { key: Redacted.make(yield* read(buildkit.tls.key)) })
          }
    return regionLayer({
      cluster: new RegionConfig(cluster),
      buildkit: {
        address: buildkit.address,
        concurrency: buildkit.concurrency ?? 4,
        registryAuth: (host) => Effect.succeed(host === internalRegistry ? credentials : undefined),
        ...(tls === undefined ? {} : { tls })
      },
      git: { ...git, cacheFolder: join(defaultCacheFolder(process.env), "git") },
      registry: { url: registry.endpoint, ...(credentials === undefined ? {} : { credentials }) },
      pipeline: { buildTimeoutSeconds: 1800, buildSecretKey: yield* usage(buildSecretKey) }
    })
  })
).pipe(Layer.provideMerge(secretStore))
