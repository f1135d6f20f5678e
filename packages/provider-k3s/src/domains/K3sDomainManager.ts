/**
 * K3sDomainManager: {@link DomainManager} on Kubernetes, with cert-manager and an ACME ClusterIssuer that solves HTTP-01
 * through the ingress.
 */
import type { ClusterConfigInvalid } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import {
  CertificateFailed,
  DnsNotReady,
  DomainClusterFailed,
  type DomainError,
  DomainManager,
  DomainName,
  DomainNotFound,
  type DomainStatus,
  DomainTaken,
  OwnershipUnproven,
  TooManyDomains
} from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import * as KubeConfig from "../kubernetes/KubeConfig.ts"
import * as KubernetesApi from "../kubernetes/KubernetesApi.ts"
import * as Project from "../apply/Project.ts"
import * as Record from "../apply/Record.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import * as Budget from "./Budget.ts"
import { certificateRef } from "./CertificateObjects.ts"
import * as Claim from "./Claim.ts"
import * as DnsCheck from "./DnsCheck.ts"
import * as DomainObjects from "./DomainObjects.ts"
import { type DomainSettings, domainSettings } from "./DomainsConfig.ts"
import { checkHost } from "./HostPolicy.ts"
import * as Issuance from "./Issuance.ts"
import * as NameServers from "./NameServers.ts"
import * as ServedCertificate from "./ServedCertificate.ts"

/** Where a proof of ownership stands. */
const proofName = (host: DomainName): string => `_mcpdeploy.${host}`

/** Statuses of a project that are read at the same time: each is some requests and lookups. */
const concurrency = 8

const domainTags = new Set([
  "DomainTaken",
  "DomainReserved",
  "OwnershipUnproven",
  "TooManyDomains",
  "DnsNotReady",
  "CertificateLimited",
  "CertificateFailed",
  "DomainNotFound",
  "DomainClusterFailed"
])

const isDomainError = (error: Failure | DomainError): error is DomainError => domainTags.has(error._tag)

/** What the cluster says, in the contract's words. */
const domainError = (error: Failure | DomainError): DomainError => {
  if (isDomainError(error)) return error
  const isRetryable = !("retryable" in error) || error.retryable
  return new DomainClusterFailed({ detail: error.message, retryable: isRetryable })
}

interface Parts {
  readonly api: KubernetesApi.KubernetesApi
  readonly settings: DomainSettings
  readonly servers: NameServers.NameServers
}

const isProven =
  ({ servers }: Parts, host: DomainName) =>
  (proof: string) =>
    servers.txt(proofName(host)).pipe(
      Effect.map((answer) => answer._tag === "Records" && answer.records.includes(proof)),
      Effect.catchTag("LookupFailed", ({ message, problem }) =>
        Effect.fail(
          new DnsNotReady({
            host,
            problem,
            detail: message,
            set: [{ name: proofName(host), type: "TXT", value: proof }],
            remove: []
          })
        )
      )
    )

const claim = Effect.fnUntraced(function* (
  parts: Parts,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<Claim.Claim, Failure | DomainError> {
  const { api, settings } = parts
  const { maxHosts: limit, namespace } = settings
  const current = yield* Claim.find(api, namespace, host)
  const isNew = current?.user !== target.owner.user || current.state === "released"
  if (isNew && (yield* Claim.countHeld(api, namespace, target.owner.user)) >= limit)
    return yield* new TooManyDomains({ host, limit })
  const acquired = yield* Claim.acquire(api, settings.namespace, host, target, isProven(parts, host))
  switch (acquired._tag) {
    case "Held":
      return acquired.claim
    case "Taken":
      return yield* new DomainTaken({ host })
    case "Unproven":
      return yield* new OwnershipUnproven({
        host,
        detail: acquired.because,
        set: { name: proofName(host), type: "TXT", value: acquired.proof }
      })
  }
})

/** The service's record: the owner of what is made for its hosts. */
const recordOf = Effect.fnUntraced(function* ({ api }: Parts, target: ServiceTarget) {
  const project = yield* Project.find(api, target.owner)
  const record = project === undefined ? undefined : yield* Record.read(api, target)
  return record === undefined ? yield* new DomainNotFound({ target }) : record
})

const endpointOf = ({ tlsEndpoint }: DomainSettings, host: DomainName): string => tlsEndpoint ?? `${host}:443`

const add = Effect.fnUntraced(function* (
  parts: Parts,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<DomainStatus, Failure | DomainError> {
  const { api, servers, settings } = parts
  yield* checkHost(host, settings)
  const record = yield* recordOf(parts, target)
  const held = yield* claim(parts, target, host)
  const before = yield* Issuance.read(api, target, host)
  // A certificate in use stays in use, whatever the DNS says now.
  if (before._tag !== "Ready") {
    yield* DnsCheck.check(servers, host, settings)
    yield* Claim.markVerified(api, settings.namespace, held)
    // cert-manager would wait for an hour before it tries again; nothing uses the failed one.
    if (before._tag === "Failed")
      yield* api
        .delete(certificateRef(target, host), { propagation: "Background" })
        .pipe(Effect.catchTag("NotFound", () => Effect.void))
    if (before._tag !== "Issuing") yield* Budget.reserve(api, settings.namespace, host, target.owner.user)
  }
  yield* DomainObjects.apply(api, settings, target, host, held, record)
  const state = yield* Issuance.follow(api, target, host, settings.issueSeconds)
  if (state._tag === "Failed") {
    if (state.isValidation) yield* Budget.recordFailure(api, settings.namespace, host, state.detail)
    return yield* new CertificateFailed({ host, detail: state.detail, retryable: true })
  }
  yield* ServedCertificate.awaitServed(api, target, host, endpointOf(settings, host))
  return {
    host,
    target,
    state: "served",
    ...(state.notAfter === undefined ? {} : { validUntil: state.notAfter }),
    ...(state.problem === undefined
      ? {}
      : { problem: new CertificateFailed({ host, detail: state.problem, retryable: true }) })
  }
})

const remove = Effect.fnUntraced(function* (
  { api, settings }: Parts,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<void, Failure> {
  const claim = yield* Claim.beginRemoval(api, settings.namespace, host, target)
  if (claim === undefined) return
  const project = yield* Project.find(api, target.owner).pipe(
    // Its objects go with the namespace.
    Effect.catchTag(["NamespaceTerminating", "NamespaceOwnedByOther"], () => Effect.undefined)
  )
  if (project !== undefined) {
    yield* DomainObjects.remove(api, target, host, claim.token)
    yield* DomainObjects.awaitGone(api, target, host)
  }
  yield* Claim.release(api, settings.namespace, claim)
})

/** What stands in the way, as a value. */
const problemOf = <A>(effect: Effect.Effect<A, Failure | DomainError>) =>
  effect.pipe(
    Effect.as(undefined),
    Effect.catch((error): Effect.Effect<DomainError | undefined> => Effect.succeed(domainError(error)))
  )

const statusOf = Effect.fnUntraced(function* (
  { api, servers, settings }: Parts,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<DomainStatus, Failure> {
  const [state, dns] = yield* Effect.all(
    [Issuance.read(api, target, host), problemOf(DnsCheck.check(servers, host, settings))],
    { concurrency: "unbounded" }
  )
  const withProblem = (problem: DomainError | undefined) => (problem === undefined ? {} : { problem })
  const failed = (detail: string) => new CertificateFailed({ host, detail, retryable: true })
  switch (state._tag) {
    case "Ready": {
      const unserved = yield* problemOf(
        ServedCertificate.check(api, target, host, endpointOf(settings, host))
      )
      const renewal = state.problem === undefined ? undefined : failed(state.problem)
      return {
        host,
        target,
        state: unserved === undefined ? "served" : "issuing",
        ...(state.notAfter === undefined ? {} : { validUntil: state.notAfter }),
        ...withProblem(unserved ?? dns ?? renewal)
      }
    }
    case "Failed": {
      const cause = yield* Budget.lastFailure(api, settings.namespace, host)
      return { host, target, state: "claimed", ...withProblem(dns ?? failed(cause ?? state.detail)) }
    }
    case "Issuing":
      return {
        host,
        target,
        state: "issuing",
        ...withProblem(dns ?? (state.waitingFor === undefined ? undefined : failed(state.waitingFor)))
      }
    case "Absent":
      return { host, target, state: "claimed", ...withProblem(dns) }
  }
})

const make = (parts: Parts): DomainManager["Service"] => {
  const { api, settings } = parts
  return DomainManager.of({
    add: Effect.fn("DomainManager.add")(
      (target: ServiceTarget, host: DomainName) => add(parts, target, host),
      Effect.mapError(domainError)
    ),
    remove: Effect.fn("DomainManager.remove")(
      (target: ServiceTarget, host: DomainName) => remove(parts, target, host),
      Effect.mapError(domainError)
    ),
    status: Effect.fn("DomainManager.status")(function* (target, host) {
      const claim = yield* Claim.find(api, settings.namespace, host)
      const isOurs = claim !== undefined && claim.state === "held" && Claim.targetOf(claim).key === target.key
      if (!isOurs) return yield* new DomainNotFound({ target, host })
      return yield* statusOf(parts, target, host)
    }, Effect.mapError(domainError)),
    list: Effect.fn("DomainManager.list")(function* (owner) {
      const claims = yield* Claim.listHeld(api, settings.namespace, owner)
      return yield* Effect.forEach(
        claims,
        (claim) => statusOf(parts, Claim.targetOf(claim), DomainName.make(claim.host)),
        { concurrency }
      )
    }, Effect.mapError(domainError))
  })
}

/** Connects with the first request. Fails only when no access to a cluster is configured. */
export const layer = (region: RegionConfig): Layer.Layer<DomainManager, ClusterConfigInvalid> =>
  Layer.effect(
    DomainManager,
    Effect.gen(function* () {
      const settings = domainSettings(region)
      const api = yield* KubernetesApi.make(yield* KubeConfig.load(region))
      return make({ api, settings, servers: NameServers.make(settings.nameServers) })
    })
  )
