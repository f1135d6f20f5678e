/**
 * What a customer's Ingress must and must not say. CEL.
 *
 * Which of two services has a host is decided by who claims it (DomainManager): a policy sees one object alone. It refuses
 * every name of the platform that is not a service's own platform host, and what leads Traefik anywhere but to a Service.
 */
import { maxLabelLength } from "@mcpdeploy/core/domain/Identity"
import { suffixLength } from "@mcpdeploy/core/domain/PlatformHost"
import type { RegionConfig } from "../RegionConfig.ts"
import { isChallenge, type Rule } from "./AdmissionPods.ts"

/** A platform host's label: as much of the service's name as there is room for, and the hash of its target. */
const longestName = maxLabelLength - suffixLength - "-".length
const hashLabel = `[a-z2-7]{${suffixLength}}`

/** Where and how Traefik listens; every other annotation adds middlewares, services or certificates of someone else's. */
const traefikAnnotations = {
  "traefik.ingress.kubernetes.io/router.entrypoints": ["web", "websecure", "web,websecure"],
  "traefik.ingress.kubernetes.io/router.tls": ["true"]
} as const

const quoted = (values: ReadonlyArray<string>): string =>
  `[${values.map((value) => `'${value}'`).join(", ")}]`

const allowedAnnotation = Object.entries(traefikAnnotations)
  .map(([name, values]) => `(name == '${name}' && object.metadata.annotations[name] in ${quoted(values)})`)
  .join(" || ")

const everyRule = (expression: string): string => `object.spec.?rules.orValue([]).all(r, ${expression})`

export const ingressRules = ({ ingressClass, platformDomain }: RegionConfig): ReadonlyArray<Rule> => [
  {
    expression: `object.spec.?ingressClassName.orValue('') == '${ingressClass}' || ${isChallenge}`,
    message: `ingressClassName is ${ingressClass}`
  },
  {
    expression: `${isChallenge} || object.metadata.?annotations.orValue({}).all(name, (!name.contains('traefik') && name != 'kubernetes.io/ingress.class') || ${allowedAnnotation})`,
    message: "annotations for Traefik may only name its own entry points"
  },
  {
    expression: "!has(object.spec.defaultBackend) && object.spec.?rules.orValue([]).size() > 0",
    message: "an ingress has rules, and no default backend"
  },
  {
    expression: everyRule("r.?host.orValue('') != '' && !r.host.contains('*')"),
    message: "every rule names one host"
  },
  {
    expression: everyRule(
      "r.?http.?paths.orValue([]).all(p, !has(p.backend.resource) && !p.?path.orValue('/').contains('`'))"
    ),
    message: "every path leads to a service, and has no backtick"
  },
  {
    expression: `${isChallenge} || ${everyRule(
      `(r.host != '${platformDomain}' && !r.host.endsWith('.${platformDomain}')) || (r.host.matches('^[a-z0-9-]+-${hashLabel}[.]${platformDomain.replaceAll(".", "[.]")}$') && (object.metadata.name.size() > ${longestName} || r.host.startsWith(object.metadata.name + '-')))`
    )}`,
    message: `under ${platformDomain} a service has its own platform host only`
  },
  {
    expression:
      "object.spec.?tls.orValue([]).all(t, t.?hosts.orValue([]).all(h, object.spec.?rules.orValue([]).exists(r, r.?host.orValue('') == h)))",
    message: "tls is for the hosts of the rules"
  }
]
