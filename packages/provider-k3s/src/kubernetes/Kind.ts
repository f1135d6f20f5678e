/** The kinds of objects that are used, and where the API server has them. */
import type { Manifest } from "../manifests/Manifest.ts"

/** A kind of object, as the API's paths name it. */
export interface Kind {
  readonly kind: string
  readonly apiVersion: string
  readonly plural: string
  readonly namespaced: boolean
}

const kind = (kind: string, apiVersion: string, plural: string, namespaced = true): Kind => ({
  kind,
  apiVersion,
  plural,
  namespaced
})

/** The kinds that are read or written here. */
export const kinds = {
  Namespace: kind("Namespace", "v1", "namespaces", false),
  ConfigMap: kind("ConfigMap", "v1", "configmaps"),
  Event: kind("Event", "v1", "events"),
  LimitRange: kind("LimitRange", "v1", "limitranges"),
  Pod: kind("Pod", "v1", "pods"),
  ResourceQuota: kind("ResourceQuota", "v1", "resourcequotas"),
  Secret: kind("Secret", "v1", "secrets"),
  Service: kind("Service", "v1", "services"),
  ServiceAccount: kind("ServiceAccount", "v1", "serviceaccounts"),
  Job: kind("Job", "batch/v1", "jobs"),
  CronJob: kind("CronJob", "batch/v1", "cronjobs"),
  Deployment: kind("Deployment", "apps/v1", "deployments"),
  ReplicaSet: kind("ReplicaSet", "apps/v1", "replicasets"),
  Ingress: kind("Ingress", "networking.k8s.io/v1", "ingresses"),
  EndpointSlice: kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
  NetworkPolicy: kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
  Certificate: kind("Certificate", "cert-manager.io/v1", "certificates"),
  CertificateRequest: kind("CertificateRequest", "cert-manager.io/v1", "certificaterequests"),
  Order: kind("Order", "acme.cert-manager.io/v1", "orders"),
  Challenge: kind("Challenge", "acme.cert-manager.io/v1", "challenges")
} as const

/** One object, or with an empty `name` all of a kind in a namespace. */
export interface ObjectRef {
  readonly kind: Kind
  readonly namespace: string | undefined
  readonly name: string
}

const byName: Readonly<Record<string, Kind>> = kinds

/** Fails only for a manifest of a kind that this package does not make. */
export const refOf = (manifest: Manifest): ObjectRef => {
  const kind = byName[manifest.kind]
  if (kind === undefined) throw new TypeError(`unknown kind ${manifest.kind}`)
  const namespace = manifest.metadata["namespace"]
  return {
    kind,
    namespace: kind.namespaced && typeof namespace === "string" ? namespace : undefined,
    name: manifest.metadata.name
  }
}

/** `Deployment web`, as people read it. */
export const nameOf = ({ kind, name }: ObjectRef): string =>
  name === "" ? kind.plural : `${kind.kind} ${name}`

/** The path of an object, or of all of a kind where it has no name. */
export const pathOf = ({ kind, name, namespace }: ObjectRef): string =>
  [
    kind.apiVersion.includes("/") ? "/apis" : "/api",
    kind.apiVersion,
    ...(namespace === undefined ? [] : ["namespaces", encodeURIComponent(namespace)]),
    kind.plural,
    ...(name === "" ? [] : [encodeURIComponent(name)])
  ].join("/")
