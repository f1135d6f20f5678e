/**
 * A k3s region as one layer: everything that a deploy needs, chosen in one place. Processes, the command line and tests
 * compose only this.
 */
import { BuildSlots } from "@mcpdeploy/core/BuildSlots"
import * as BuildkitImageBuilder from "@mcpdeploy/core/buildkit/BuildkitImageBuilder"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import * as SystemGit from "@mcpdeploy/core/git/SystemGit"
import * as OciRegistry from "@mcpdeploy/core/oci/OciRegistry"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { DeploySteps, type DeployStepsConfig } from "@mcpdeploy/core/pipeline/DeploySteps"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as K3sDomainManager from "./domains/K3sDomainManager.ts"
import * as K3sCluster from "./K3sCluster.ts"
import * as K3sServiceCatalog from "./catalog/K3sServiceCatalog.ts"
import { RegionConfig } from "./RegionConfig.ts"
import type { RegionFile } from "./RegionFile.ts"

/** What a region is made of. */
export interface K3sRegionConfig {
  readonly cluster: RegionConfig
  /** `concurrency`: builds at once of this process; more wait, fairly between tenants. */
  readonly buildkit: BuildkitImageBuilder.BuildkitConfig & { readonly concurrency: number }
  readonly git: SystemGit.SystemGitConfig
  /** The registry that images are named after, and where it is reached. */
  readonly registry: OciRegistry.RegistryAccess
  readonly pipeline: Pick<DeployStepsConfig, "buildSecretKey" | "buildTimeoutSeconds">
}

/** What needs neither sources nor builds: `Registry`, `ClusterApplier`, `DomainManager`, `ServiceCatalog`. */
export const operationsLayer = ({ cluster, registry }: Pick<K3sRegionConfig, "cluster" | "registry">) =>
  Layer.mergeAll(
    OciRegistry.layer({ registries: { [internalRegistry]: registry } }),
    K3sCluster.layer(cluster),
    K3sDomainManager.layer(cluster),
    K3sServiceCatalog.layer(cluster)
  )

/** The services of a region: `GitSource`, `ImageBuilder`, `Registry`, `ClusterApplier`, `ServiceCatalog`, `BuildSlots`, and the pipeline over them. */
export const regionLayer = ({ buildkit, cluster, git, pipeline, registry }: K3sRegionConfig) =>
  DeployRunner.layer.pipe(
    Layer.provideMerge(DeploySteps.layer({ ...pipeline, registry: internalRegistry })),
    Layer.provideMerge(
      Layer.mergeAll(
        SystemGit.layer(git),
        BuildkitImageBuilder.layer(buildkit).pipe(Layer.provideMerge(BuildSlots.layer(buildkit.concurrency))),
        operationsLayer({ cluster, registry })
      )
    )
  )

/** What a process adds to the description of a region. */
export interface RegionProcess {
  /** Absolute path of the folder of checkouts. */
  readonly gitCacheFolder: string
  /** See `DeployStepsConfig`. */
  readonly buildSecretKey: Redacted.Redacted
}

const defaultConcurrency = 4
const defaultBuildTimeoutSeconds = 1800

/** The region's parts with the secrets and certificates that its file names. Fails when one cannot be read. */
export const partsOf = Effect.fn("partsOf")(function* ({ buildkit, cluster, registry }: RegionFile) {
  const fs = yield* FileSystem.FileSystem
  const secrets = yield* SecretStore
  const credentials =
    registry.password === undefined
      ? undefined
      : { username: registry.username ?? "", password: yield* secrets.resolve(registry.password) }
  const tls =
    buildkit.tls === undefined
      ? undefined
      : {
          ca: yield* fs.readFileString(buildkit.tls.ca),
          ...(buildkit.tls.certificate === undefined
            ? {}
            : { certificate: yield* fs.readFileString(buildkit.tls.certificate) }),
          ...(buildkit.tls.key === undefined
            ? {}
            : { key: Redacted.make(yield* fs.readFileString(buildkit.tls.key)) })
        }
  return {
    cluster: new RegionConfig(cluster),
    buildkit: { address: buildkit.address, ...(tls === undefined ? {} : { tls }) },
    registry: { url: registry.endpoint, ...(credentials === undefined ? {} : { credentials }) }
  }
})

/** The layer of the region that a file describes. Fails when a file or secret that it names cannot be read. */
export const regionOf = Effect.fn("regionOf")(function* (
  file: RegionFile,
  { buildSecretKey, gitCacheFolder }: RegionProcess
) {
  const { buildkit, cluster, registry } = yield* partsOf(file)
  const { credentials } = registry
  return regionLayer({
    cluster,
    buildkit: {
      ...buildkit,
      concurrency: file.buildkit.concurrency ?? defaultConcurrency,
      registryAuth: (host) => Effect.succeed(host === internalRegistry ? credentials : undefined)
    },
    git: { ...file.git, cacheFolder: gitCacheFolder },
    registry,
    pipeline: { buildTimeoutSeconds: defaultBuildTimeoutSeconds, buildSecretKey }
  })
})
