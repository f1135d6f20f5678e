/**
 * A k3s region as one layer: everything that a deploy needs, chosen in one place. Processes, the command line and tests
 * compose only this.
 */
import * as BuildkitImageBuilder from "@mcpdeploy/core/buildkit/BuildkitImageBuilder"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import * as SystemGit from "@mcpdeploy/core/git/SystemGit"
import * as OciRegistry from "@mcpdeploy/core/oci/OciRegistry"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { DeploySteps, type DeployStepsConfig } from "@mcpdeploy/core/pipeline/DeploySteps"
import * as Layer from "effect/Layer"
import * as K3sClusterApplier from "./K3sClusterApplier.ts"
import type { RegionConfig } from "./RegionConfig.ts"

export interface K3sRegionConfig {
  readonly cluster: RegionConfig
  readonly buildkit: BuildkitImageBuilder.BuildkitConfig
  readonly git: SystemGit.SystemGitConfig
  /** The registry that images are named after, and where it is reached. */
  readonly registry: OciRegistry.RegistryAccess
  readonly pipeline: Pick<DeployStepsConfig, "buildSecretKey" | "buildTimeoutSeconds">
}

/** The services of a region: `GitSource`, `ImageBuilder`, `Registry`, `ClusterApplier`, and the pipeline over them. */
export const regionLayer = ({ buildkit, cluster, git, pipeline, registry }: K3sRegionConfig) =>
  DeployRunner.layer.pipe(
    Layer.provideMerge(DeploySteps.layer({ ...pipeline, registry: internalRegistry })),
    Layer.provideMerge(
      Layer.mergeAll(
        SystemGit.layer(git),
        BuildkitImageBuilder.layer(buildkit),
        OciRegistry.layer({ registries: { [internalRegistry]: registry } }),
        K3sClusterApplier.layer(cluster)
      )
    )
  )
