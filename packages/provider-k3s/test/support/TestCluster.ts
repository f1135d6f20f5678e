/**
 * The cluster that tests run against: `MCPDEPLOY_TEST_KUBECONFIG`. An API server alone is enough for most; tests that run
 * pods also need `MCPDEPLOY_TEST_INGRESS` (Traefik) and `MCPDEPLOY_TEST_REGISTRY` (`host:port` of its registry, with
 * `library/busybox:latest`).
 */
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as K3sCluster from "@mcpdeploy/provider-k3s/K3sCluster"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { targetOf } from "./Sample.ts"

export const kubeconfig = process.env["MCPDEPLOY_TEST_KUBECONFIG"]
export const ingress = process.env["MCPDEPLOY_TEST_INGRESS"]
const registryHost = process.env["MCPDEPLOY_TEST_REGISTRY"]
export const registry = registryHost === undefined ? undefined : `http://${registryHost}`

/** A title that says what is missing, so that a skipped test is seen. */
export const titled = (title: string, isReady: boolean, needs: string): string =>
  isReady ? title : `${title} (SKIPPED: ${needs} not set)`

export const clusterRegion = new RegionConfig({
  ...(kubeconfig === undefined ? {} : { kubeconfig }),
  platformDomain: PlatformDomain.make("ml.ink"),
  serviceSyncMs: 200,
  ...(ingress === undefined ? {} : { ingressEndpoint: ingress })
})

export const clusterLayer = K3sCluster.layer(clusterRegion)

export const connect = Effect.flatMap(KubeConfig.load(clusterRegion), KubernetesApi.make)

const run = Date.now().toString(36)
let count = 0

/** A service in a project of its own; the project's namespace is deleted when the scope closes. */
export const freshTarget = (service = "web") =>
  Effect.acquireRelease(
    Effect.sync((): ServiceTarget => targetOf("test", `${run}-${count++}`, service)),
    (target) =>
      connect.pipe(
        Effect.flatMap((api) =>
          api.delete(
            { kind: kinds.Namespace, namespace: undefined, name: target.namespace },
            { propagation: "Background" }
          )
        ),
        Effect.scoped,
        Effect.ignore
      )
  )

/** Appliers as separate processes have them: each with connections of its own. */
export const separateApplier = Effect.map(Layer.build(Layer.fresh(clusterLayer)), (context) =>
  Effect.provideContext(ClusterApplier, context)
).pipe(Effect.flatten)
