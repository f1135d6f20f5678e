/**
 * Doctor: what is wrong with a region here and now. Looks at everything that a deploy needs, writes nothing, and never fails:
 * what cannot be asked is a finding too.
 */
import * as Effect from "effect/Effect"
import type * as OciRegistry from "@mcpdeploy/core/oci/OciRegistry"
import type { BuildkitTls } from "@mcpdeploy/core/buildkit/Address"
import * as KubeConfig from "../kubernetes/KubeConfig.ts"
import * as KubernetesApi from "../kubernetes/KubernetesApi.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { clusterChecks } from "./ClusterChecks.ts"
import { type Check, failed, type Finding } from "./Finding.ts"
import { builder, gitea, ingress, registry } from "./PartChecks.ts"

/** The parts of a region, as its file names them. */
export interface Examined {
  readonly cluster: RegionConfig
  readonly buildkit: { readonly address: string; readonly tls?: BuildkitTls }
  readonly registry: OciRegistry.RegistryAccess
  /** URL of Gitea, where the region has it. */
  readonly gitea?: string
}

const clusterOf = (region: RegionConfig): Check =>
  Effect.gen(function* () {
    const api = yield* Effect.flatMap(KubeConfig.load(region), KubernetesApi.make)
    return (yield* Effect.all(clusterChecks(api, region), { concurrency: "unbounded" })).flat()
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed([
        failed("API server", error.message, "correct the kubeconfig that the region's file names")
      ])
    )
  )

/** All findings, in the order of the parts. Takes at most some 10 seconds. */
export const examine = Effect.fn("Doctor.examine")(function* ({
  buildkit,
  cluster,
  gitea: giteaUrl,
  registry: access
}: Examined): Effect.fn.Return<ReadonlyArray<Finding>> {
  const parts: ReadonlyArray<Check> = [
    clusterOf(cluster),
    builder(buildkit.address, buildkit.tls),
    registry(access),
    ...(cluster.ingressEndpoint === undefined ? [] : [ingress(cluster.ingressEndpoint)]),
    ...(giteaUrl === undefined ? [] : [gitea(giteaUrl)])
  ]
  return (yield* Effect.all(parts, { concurrency: "unbounded" })).flat()
})
