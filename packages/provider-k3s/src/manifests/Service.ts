/** The other objects of a service: its name in the cluster's DNS, its host name, its secret values. */
import { createHmac } from "node:crypto"
import type { V1Ingress, V1Secret, V1Service } from "@kubernetes/client-node"
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import * as Redacted from "effect/Redacted"
import type { RegionConfig } from "../RegionConfig.ts"
import { deployment, secretKey } from "./Deployment.ts"
import { cronJobs } from "./Jobs.ts"
import { labels, type Manifest, serviceLabels } from "./Manifest.ts"

const metadata = (target: ServiceTarget) => ({
  name: target.service,
  namespace: target.namespace,
  labels: serviceLabels(target)
})

/** Traefik's Ingress provider does not read a port's `appProtocol` (3.6: kubernetes/ingress, getProtocol), but this. */
export const serversScheme = "traefik.ingress.kubernetes.io/service.serversscheme"

/** `{service}` resolves in the project, on the app's own port. */
export const service = ({ run, target }: Workload) => {
  const isH2c = run.protocol === "h2c"
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...metadata(target), ...(isH2c ? { annotations: { [serversScheme]: "h2c" } } : {}) },
    spec: {
      type: "ClusterIP",
      selector: { [labels.service]: target.service },
      ports: [
        {
          name: "http",
          port: run.port,
          protocol: "TCP",
          targetPort: run.port,
          ...(isH2c ? { appProtocol: "kubernetes.io/h2c" } : {})
        }
      ]
    }
  } satisfies V1Service
}

export const isPublic = ({ run }: Workload): boolean => run.public ?? true

export const ingress = ({ run, target }: Workload, region: RegionConfig) =>
  ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: metadata(target),
    spec: {
      ingressClassName: region.ingressClass,
      rules: [
        {
          host: platformHost(target, region.platformDomain),
          http: {
            paths: [
              {
                path: "/",
                pathType: "Prefix",
                backend: { service: { name: target.service, port: { number: run.port } } }
              }
            ]
          }
        }
      ]
    }
  }) satisfies V1Ingress

const sorted = (values: Workload["secrets"]): ReadonlyArray<readonly [string, string]> =>
  Object.entries(values)
    .map(([name, value]) => [name, Redacted.value(value)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

/**
 * `{service}-env-{hash}`: other values make another Secret, so that pods never see values change under them, and an
 * earlier deploy finds the values it had. The hash is keyed: the name alone must not let values be guessed.
 */
export const secretName = (
  { secrets, target }: Pick<Workload, "secrets" | "target">,
  key: Redacted.Redacted
): string =>
  `${target.service}-env-${createHmac("sha256", Redacted.value(key))
    .update(JSON.stringify(sorted(secrets)))
    .digest("hex")
    .slice(0, 16)}`

export const secret = ({ secrets, target }: Workload, name: string) =>
  ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { ...metadata(target), name },
    immutable: true,
    type: "Opaque",
    data: Object.fromEntries(
      sorted(secrets).map(([name, value]) => [secretKey(name), Buffer.from(value, "utf8").toString("base64")])
    )
  }) satisfies V1Secret

/** What a fence guards: the objects whose names stay the same from deploy to deploy. */
export const serviceManifests = (
  workload: Workload,
  region: RegionConfig,
  secret: string | undefined
): ReadonlyArray<Manifest> => [
  deployment(workload, region, secret),
  service(workload),
  ...(isPublic(workload) ? [ingress(workload, region)] : []),
  ...cronJobs(workload, region, secret)
]
