/** DomainsConfig: what custom domains need to know of a region. */
import * as Schema from "effect/Schema"

const HostPort = Schema.String.pipe(
  Schema.check(Schema.isPattern(/^[^:\s]+:[0-9]{1,5}$/, { expected: "an address and a port: 127.0.0.1:443" }))
)

/** What a region says about custom domains. */
export const DomainsConfig = Schema.Struct({
  /** The ClusterIssuer that certificates come from. Default: `letsencrypt-prod`. */
  issuer: Schema.optionalKey(Schema.String),
  /** What the certificate authority calls itself in CAA records. Default: `letsencrypt.org`. */
  caaIdentity: Schema.optionalKey(Schema.String),
  /** The name that domains are aliases of. Default: `cname.{platformDomain}`. */
  cnameTarget: Schema.optionalKey(Schema.String),
  /** Public addresses of the region's TCP load balancer, both families. Without any, only the alias is accepted. */
  loadBalancerAddresses: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Name servers that are asked, with or without a port. Default: public resolvers that validate DNSSEC. */
  nameServers: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Domains that nobody may use, nor anything under them, besides the platform's own. */
  reserved: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Where claims and budgets are kept. Default: `mcpdeploy-domains`. */
  namespace: Schema.optionalKey(Schema.String),
  /** How many hosts one customer may hold. Default: 100. */
  maxHosts: Schema.optionalKey(Schema.Int),
  /** Where the ingress accepts TLS. Default: the first load balancer address, port 443; else the host itself. */
  tlsEndpoint: Schema.optionalKey(HostPort),
  /** How long a certificate may take. Default: 120. */
  issueSeconds: Schema.optionalKey(Schema.Finite)
})
export type DomainsConfig = typeof DomainsConfig.Type

/** A {@link DomainsConfig} with its defaults. */
export interface DomainSettings extends Required<Omit<DomainsConfig, "tlsEndpoint">> {
  readonly platformDomain: string
  readonly ingressClass: string
  readonly tlsEndpoint: string | undefined
}

/** What of a region's description custom domains depend on. */
interface DomainRegion extends Pick<DomainSettings, "ingressClass" | "platformDomain"> {
  readonly domains?: DomainsConfig
}

/** A region's settings of custom domains, with what it leaves open filled in. */
export const domainSettings = ({ domains, ingressClass, platformDomain }: DomainRegion): DomainSettings => {
  const addresses = domains?.loadBalancerAddresses ?? []
  const [first] = addresses
  return {
    issuer: "letsencrypt-prod",
    caaIdentity: "letsencrypt.org",
    cnameTarget: `cname.${platformDomain}`,
    loadBalancerAddresses: addresses,
    nameServers: ["1.1.1.1", "8.8.8.8"],
    reserved: [],
    namespace: "mcpdeploy-domains",
    issueSeconds: 120,
    maxHosts: 100,
    ...domains,
    tlsEndpoint: domains?.tlsEndpoint ?? (first === undefined ? undefined : `${first}:443`),
    ingressClass,
    platformDomain
  }
}
