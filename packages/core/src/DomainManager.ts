/**
 * DomainManager: hosts of a service's own, beside its platform host. A host is claimed once in the whole region, checked
 * in the DNS before a certificate is asked for, and served when the certificate is there.
 */
import { domainToASCII } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Owner, ServiceTarget } from "./domain/Identity.ts"

/** A fully qualified host name in lower case, without the dot at its end (RFC 1123, 2.1). At most 253 characters. */
export const DomainName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(
      /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/,
      {
        expected: "a host name such as www.example.com, in lower case (punycode where it is international)"
      }
    )
  ),
  Schema.brand("DomainName")
)
export type DomainName = typeof DomainName.Type

/** A DNS record that its owner has to set, or to remove. `name` and a CNAME's value have no dot at their end. */
export const DnsRecord = Schema.Struct({
  name: Schema.String,
  type: Schema.Literals(["A", "AAAA", "CNAME", "TXT", "CAA"]),
  value: Schema.String
})
export type DnsRecord = typeof DnsRecord.Type

const line = ({ name, type, value }: DnsRecord): string => `${name} ${type} ${value}`

/** What was given is no host name. */
export class DomainInvalid extends Schema.TaggedError<DomainInvalid>()("DomainInvalid", {
  input: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${JSON.stringify(this.input)} is no host name: ${this.detail}`
  }
}

/** The host is claimed by another service. Nothing was changed. */
export class DomainTaken extends Schema.TaggedError<DomainTaken>()("DomainTaken", { host: DomainName }) {
  readonly retryable = false
  override get message(): string {
    return `${this.host} belongs to another service: remove it there first`
  }
}

/** The host is one of the platform's own, or may not have a certificate. */
export class DomainReserved extends Schema.TaggedError<DomainReserved>()("DomainReserved", {
  host: DomainName,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.host} cannot be used: ${this.detail}`
  }
}

/**
 * Another customer has, or had, this host or one of the same registered domain, whose records may lead here; or holds the host
 * although its DNS never led here. The one who asks has to show that the DNS is theirs. Nothing was changed.
 */
export class OwnershipUnproven extends Schema.TaggedError<OwnershipUnproven>()("OwnershipUnproven", {
  host: DomainName,
  detail: Schema.String,
  set: DnsRecord
}) {
  readonly retryable = true
  override get message(): string {
    return `${this.host}: ${this.detail}; to show that it is yours, set ${line(this.set)}`
  }
}

/** What the DNS says wrongly. */
export const DnsProblem = Schema.Literals([
  /** The name does not exist (NXDOMAIN). */
  "NoSuchName",
  /** The name has no address. */
  "NoAddress",
  /** The name is an alias of another host than the platform's. */
  "WrongAlias",
  /** The alias leads to a name that does not exist. */
  "DanglingAlias",
  /** Aliases lead in a circle, or through too many names. */
  "AliasLoop",
  /** Every address is another one than the region's. */
  "WrongAddress",
  /** Some addresses are the region's and some are not. */
  "MixedAddresses",
  /** The IPv4 addresses are right, an IPv6 address leads elsewhere. The certificate authority prefers IPv6. */
  "StaleIpv6",
  /** A proxy answers in the region's place. */
  "Proxied",
  /** A CAA record forbids the certificate (RFC 8659). */
  "CaaForbids",
  /** The name servers fail (SERVFAIL, REFUSED): often broken DNSSEC. */
  "ServerFailure",
  /** The name servers do not answer. */
  "NoAnswer"
])
export type DnsProblem = typeof DnsProblem.Type

/** The DNS does not say what it must. `set` are the records that mend it, `remove` the ones that stand in the way. */
export class DnsNotReady extends Schema.TaggedError<DnsNotReady>()("DnsNotReady", {
  host: DomainName,
  problem: DnsProblem,
  detail: Schema.String,
  set: Schema.Array(DnsRecord),
  remove: Schema.Array(DnsRecord)
}) {
  readonly retryable = true
  override get message(): string {
    return [
      `${this.host}: ${this.detail}`,
      ...this.set.map((record) => `set ${line(record)}`),
      ...this.remove.map((record) => `remove ${line(record)}`)
    ].join("; ")
  }
}

/** The customer has as many hosts as one may have. Nothing was changed. */
export class TooManyDomains extends Schema.TaggedError<TooManyDomains>()("TooManyDomains", {
  host: DomainName,
  limit: Schema.Int
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.host} is one host too many: a customer may have ${this.limit}; remove one that is not needed`
  }
}

/** The certificate authority would refuse: one of its limits is used up. No order was made. */
export class CertificateLimited extends Schema.TaggedError<CertificateLimited>()("CertificateLimited", {
  host: DomainName,
  limit: Schema.String,
  /** ISO 8601: from when on it may be tried again. */
  retryAt: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `no certificate for ${this.host} now: ${this.limit}; try again after ${this.retryAt}`
  }
}

/** The certificate authority, or the way to it, refused. `detail` is its own cause. */
export class CertificateFailed extends Schema.TaggedError<CertificateFailed>()("CertificateFailed", {
  host: DomainName,
  detail: Schema.String,
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return `no certificate for ${this.host}: ${this.detail}`
  }
}

/** The service, or the domain, is not there. */
export class DomainNotFound extends Schema.TaggedError<DomainNotFound>()("DomainNotFound", {
  target: ServiceTarget,
  host: Schema.optionalKey(DomainName)
}) {
  readonly retryable = false
  override get message(): string {
    return this.host === undefined
      ? `${this.target} is not deployed here`
      : `${this.host} is no domain of ${this.target}`
  }
}

/** The cluster does not answer or refuses. `detail` is its own cause. */
export class DomainClusterFailed extends Schema.TaggedError<DomainClusterFailed>()("DomainClusterFailed", {
  detail: Schema.String,
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** Why a host cannot be had, or not yet. */
export const DomainError = Schema.Union([
  DomainTaken,
  DomainReserved,
  OwnershipUnproven,
  TooManyDomains,
  DnsNotReady,
  CertificateLimited,
  CertificateFailed,
  DomainNotFound,
  DomainClusterFailed
])
export type DomainError = typeof DomainError.Type

/** Where a domain stands. */
export const DomainStatus = Schema.Struct({
  host: DomainName,
  target: ServiceTarget,
  /**
   * `claimed`: the host is held, its DNS is not right yet; `issuing`: a certificate is asked for; `served`: the ingress
   * answers with the certificate.
   */
  state: Schema.Literals(["claimed", "issuing", "served"]),
  /** What stands in the way, where something does. A domain that is served may have one: its renewal fails. */
  problem: Schema.optionalKey(DomainError),
  /** ISO 8601; of the certificate in use. */
  validUntil: Schema.optionalKey(Schema.String)
})
export type DomainStatus = typeof DomainStatus.Type

const decodeName = Schema.decodeUnknownEffect(DomainName)

/**
 * The host that a person means: upper case, a dot at the end and international characters (UTS 46) are normalised, so
 * that two ways of writing one host are one {@link DomainName}. Wildcards, addresses and URLs are refused.
 */
export const parseDomainName = Effect.fnUntraced(function* (
  input: string
): Effect.fn.Return<DomainName, DomainInvalid> {
  const invalid = (detail: string) => new DomainInvalid({ input: input.slice(0, 300), detail })
  if (input.includes("*"))
    return yield* invalid("a wildcard cannot be validated over HTTP; name each host that is to be served")
  if (/[/:@?#\s%\\]/.test(input)) return yield* invalid("give the host alone, such as www.example.com")
  const ascii = domainToASCII(input).replace(/\.$/, "")
  return yield* decodeName(ascii).pipe(
    Effect.mapError(() => invalid("it must be a name with at least two labels, such as www.example.com"))
  )
})

/** Gives services hosts of their own, with certificates: one holder of a host in the whole region. */
export class DomainManager extends Context.Service<
  DomainManager,
  {
    /**
     * Claims the host, checks the DNS, asks for the certificate and waits until it is served. Repeating it converges; a
     * failure leaves the host claimed, so that it can be repeated after the DNS was mended.
     */
    readonly add: (target: ServiceTarget, host: DomainName) => Effect.Effect<DomainStatus, DomainError>
    /**
     * Removes all that `add` made. Removing what is not there succeeds. The host then needs a proof of ownership from any
     * other customer who wants it.
     */
    readonly remove: (target: ServiceTarget, host: DomainName) => Effect.Effect<void, DomainError>
    readonly status: (target: ServiceTarget, host: DomainName) => Effect.Effect<DomainStatus, DomainError>
    /** The domains of a project. */
    readonly list: (owner: Owner) => Effect.Effect<ReadonlyArray<DomainStatus>, DomainError>
  }
>()("mcpdeploy/core/DomainManager") {}
