/** The objects of a whole project, shared by its services: namespace, policies, limits, service account. */
import type { V1Namespace, V1ResourceQuota, V1ServiceAccount } from "@kubernetes/client-node"
import type { Owner } from "@mcpdeploy/core/domain/Identity"
import type { RegionConfig } from "../RegionConfig.ts"
import { type Manifest, projectLabels } from "./Manifest.ts"
import { networkPolicies } from "./NetworkPolicies.ts"
import { cpuQuantity, memoryQuantity, millicores, resourcesOf } from "./Quantity.ts"

/** Name of the project's ServiceAccount, ResourceQuota and LimitRange. */
export const projectObject = "workload"

/**
 * The project's namespace. Pod Security "baseline" refuses host access and privileged containers, and allows root and
 * the usual capabilities, which customer images need: gVisor is the security boundary.
 */
export const namespace = (owner: Owner) =>
  ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: owner.namespace,
      labels: {
        ...projectLabels(owner),
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/enforce-version": "latest"
      }
    }
  }) satisfies V1Namespace

const metadata = (owner: Owner) => ({
  name: projectObject,
  namespace: owner.namespace,
  labels: projectLabels(owner)
})

/** Pods use this account, and get no token of it. */
export const serviceAccount = (owner: Owner) =>
  ({
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: metadata(owner),
    automountServiceAccountToken: false
  }) satisfies V1ServiceAccount

export const resourceQuota = (owner: Owner, { quota }: RegionConfig) =>
  ({
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: metadata(owner),
    spec: {
      hard: {
        pods: String(quota.pods),
        services: String(quota.services),
        "services.nodeports": "0",
        "services.loadbalancers": "0",
        persistentvolumeclaims: "0",
        "limits.cpu": cpuQuantity(millicores(quota.cpu)),
        "limits.memory": memoryQuantity(quota.memory)
      }
    }
  }) satisfies V1ResourceQuota

// Not checked with `satisfies`: the library's type says `_default` for the API's `default`.
export const limitRange = (owner: Owner, { limits, reserved }: RegionConfig) => {
  const standard = resourcesOf(limits, reserved)
  return {
    apiVersion: "v1",
    kind: "LimitRange",
    metadata: metadata(owner),
    spec: {
      limits: [
        {
          type: "Container",
          default: standard.limits,
          defaultRequest: standard.requests,
          max: { cpu: cpuQuantity(millicores(limits.maxCpu)), memory: memoryQuantity(limits.maxMemory) }
        }
      ]
    }
  }
}

/** Everything of a project beside its namespace, in no particular order. */
export const projectManifests = (owner: Owner, region: RegionConfig): ReadonlyArray<Manifest> => [
  ...networkPolicies(owner, region),
  serviceAccount(owner),
  resourceQuota(owner, region),
  limitRange(owner, region)
]
