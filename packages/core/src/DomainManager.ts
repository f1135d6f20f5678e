/**
 * DomainManager: hosts of a service's own, beside its platform host. A host is claimed once in the whole region, checked
 * in the DNS before a certificate is asked for, and served when the certificate is there.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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

/** A DNS record that its owner has to set. */
export const DnsRecord = Schema.Struct({
  name: Schema.String,
  type: Schema.Literals(["A", "AAAA", "CNAME", "TXT", "CAA"]),
  value: Schema.String
})
export type DnsRecord = typeof DnsRecord.Type

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

/** The DNS does not say what it must. `set` are the records that mend it, `remove` the ones that stand in the way. */
export class DnsNotReady extends Schema.TaggedError<DnsNotReady>()("DnsNotReady", {
  host: DomainName,
  detail: Schema.String,
  set: Schema.Array(DnsRecord),
  remove: Schema.Array(DnsRecord)
}) {
  readonly retryable = true
  override get message(): string {
    const line = ({ name, type, value }: DnsRecord) => `${name} ${type} ${value}`
    return [
      `${this.host}: ${this.detail}`,
      ...this.set.map((record) => `set ${line(record)}`),
      ...this.remove.map((record) => `remove ${line(record)}`)
    ].join("; ")
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

export const DomainError = Schema.Union([
  DomainTaken,
  DomainReserved,
  DnsNotReady,
  CertificateFailed,
  DomainNotFound,
  DomainClusterFailed
])
export type DomainError = typeof DomainError.Type

/** Where a domain stands. */
export const DomainStatus = Schema.Struct({
  host: DomainName,
  target: ServiceTarget,
  /** `claimed`: the host is held, DNS or certificate are not there yet; `served`: it answers with its certificate. */
  state: Schema.Literals(["claimed", "issuing", "served"]),
  /** What stands in the way, where something does. */
  problem: Schema.optionalKey(DomainError),
  /** ISO 8601; of the certificate in use. */
  validUntil: Schema.optionalKey(Schema.String)
})
export type DomainStatus = typeof DomainStatus.Type

export class DomainManager extends Context.Service<
  DomainManager,
  {
    /** Claims the host, checks the DNS, and waits until it is served. Repeating it converges. */
    readonly add: (target: ServiceTarget, host: DomainName) => Effect.Effect<DomainStatus, DomainError>
    /** Removes all that `add` made. Removing what is not there succeeds. */
    readonly remove: (target: ServiceTarget, host: DomainName) => Effect.Effect<void, DomainError>
    readonly status: (target: ServiceTarget, host: DomainName) => Effect.Effect<DomainStatus, DomainError>
    /** The domains of a project. */
    readonly list: (owner: Owner) => Effect.Effect<ReadonlyArray<DomainStatus>, DomainError>
  }
>()("mcpdeploy/core/DomainManager") {}
