/** CertificateObjects: what is made in the service's namespace for one of its hosts. */
import { createHash } from "node:crypto"
import type { V1Ingress } from "@kubernetes/client-node"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { DomainName } from "@mcpdeploy/core/DomainManager"
import { kinds, type ObjectRef } from "../kubernetes/Kind.ts"
import { type Manifest, projectLabels } from "../manifests/Manifest.ts"
import type { DomainSettings } from "./DomainsConfig.ts"

/**
 * Instead of the label of a service's own objects: a deploy that wants no platform host removes the Ingresses that carry
 * that, and prunes Secrets.
 */
export const domainOfLabel = "mcpdeploy.dev/domain-of"
/** Of a host, which may be too long for a label. */
export const domainKeyLabel = "mcpdeploy.dev/domain"
export const hostAnnotation = "mcpdeploy.dev/host"

/** 64 bits of the host's hash: the objects of a host have this name in every namespace. */
export const domainKey = (host: DomainName): string =>
  createHash("sha256").update(host).digest("hex").slice(0, 16)

export const objectName = (host: DomainName): string => `domain-${domainKey(host)}`

const domainLabels = (target: ServiceTarget, host: DomainName) => ({
  ...projectLabels(target.owner),
  [domainOfLabel]: target.service,
  [domainKeyLabel]: domainKey(host)
})

const metadata = (target: ServiceTarget, host: DomainName) => ({
  name: objectName(host),
  namespace: target.namespace,
  labels: domainLabels(target, host),
  annotations: { [hostAnnotation]: host }
})

/** HTTP is served too: the challenge needs it, and until the certificate is there nothing else is. */
const ingress = (target: ServiceTarget, host: DomainName, { ingressClass }: DomainSettings) =>
  ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: metadata(target, host),
    spec: {
      ingressClassName: ingressClass,
      tls: [{ hosts: [host], secretName: objectName(host) }],
      rules: [
        {
          host,
          http: {
            paths: [
              {
                path: "/",
                pathType: "Prefix",
                backend: { service: { name: target.service, port: { name: "http" } } }
              }
            ]
          }
        }
      ]
    }
  }) satisfies V1Ingress

const certificate = (target: ServiceTarget, host: DomainName, { issuer }: DomainSettings) => ({
  apiVersion: "cert-manager.io/v1",
  kind: "Certificate",
  metadata: metadata(target, host),
  spec: {
    secretName: objectName(host),
    secretTemplate: { labels: domainLabels(target, host) },
    dnsNames: [host],
    issuerRef: { name: issuer, kind: "ClusterIssuer", group: "cert-manager.io" },
    privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
    revisionHistoryLimit: 1
  }
})

export const domainManifests = (
  target: ServiceTarget,
  host: DomainName,
  settings: DomainSettings
): ReadonlyArray<Manifest> => [ingress(target, host, settings), certificate(target, host, settings)]

export const certificateRef = (target: ServiceTarget, host: DomainName): ObjectRef => ({
  kind: kinds.Certificate,
  namespace: target.namespace,
  name: objectName(host)
})

export const secretRef = (target: ServiceTarget, host: DomainName): ObjectRef => ({
  ...certificateRef(target, host),
  kind: kinds.Secret
})

/** In the order in which they are removed: first what leads users to the host. */
export const objectRefs = (target: ServiceTarget, host: DomainName): ReadonlyArray<ObjectRef> => [
  { ...certificateRef(target, host), kind: kinds.Ingress },
  certificateRef(target, host),
  secretRef(target, host)
]
