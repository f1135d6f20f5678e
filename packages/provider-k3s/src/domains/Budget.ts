/**
 * Budget: the limits of Let's Encrypt, counted here so that no order is spent that would be refused, and one customer
 * cannot use up the region's account. https://letsencrypt.org/docs/rate-limits/ (June 2025) counts with token buckets; the
 * windows below are a little stricter. Counted are certificates that are asked for here; renewals are exempt from the limit
 * per registered domain.
 */
import { createHash } from "node:crypto"
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { CertificateLimited, type DomainName } from "@mcpdeploy/core/DomainManager"
import type { UserId } from "@mcpdeploy/core/domain/Identity"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import type { LiveObject } from "../kubernetes/LiveObject.ts"
import { fieldManager, labels, type Manifest } from "../manifests/Manifest.ts"
import { retryConflicts } from "../apply/Retry.ts"
import { registeredDomain } from "./HostPolicy.ts"

const hour = 3_600_000
const week = 7 * 24 * hour

export interface Limit {
  readonly count: number
  readonly millis: number
  readonly name: string
}

export const limits = {
  /** So that one customer leaves the others something of the account. */
  customer: { count: 50, millis: 3 * hour, name: "50 orders in 3 hours of one customer" },
  /** Of the account, which all customers share. */
  orders: { count: 300, millis: 3 * hour, name: "300 orders in 3 hours of the platform's account" },
  domain: { count: 50, millis: week, name: "50 certificates in 7 days for the registered domain" },
  host: { count: 5, millis: week, name: "5 certificates in 7 days for the same host" },
  failures: { count: 5, millis: hour, name: "5 failed validations in an hour for the host" }
} as const satisfies Record<string, Limit>

/** When things happened, in milliseconds since 1970. */
const Ledger = Schema.Struct({
  orders: Schema.Array(Schema.Struct({ host: Schema.String, at: Schema.Finite })),
  failures: Schema.Array(Schema.Struct({ host: Schema.String, at: Schema.Finite, detail: Schema.String }))
})
export type Ledger = typeof Ledger.Type

const empty: Ledger = { orders: [], failures: [] }

/** When the limit lets one more happen; undefined when it does now. */
export const openAt = (
  times: ReadonlyArray<number>,
  now: number,
  { count, millis }: Limit
): number | undefined => {
  const within = times.filter((at) => at > now - millis).toSorted((a, b) => a - b)
  const blocking = within.at(-count)
  return blocking === undefined ? undefined : blocking + millis
}

const pruned = ({ failures, orders }: Ledger, now: number): Ledger => ({
  orders: orders.filter(({ at }) => at > now - week),
  failures: failures.filter(({ at }) => at > now - week).slice(-50)
})

const dataKey = "ledger.json"
const LedgerObject = Schema.Struct({
  data: Schema.Struct({ [dataKey]: Schema.fromJsonString(Ledger) })
})
const decodeLedger = Schema.decodeUnknownEffect(LedgerObject)

/** A host has a dot and these names have none, so a claim never has one of them. */
const refOf = (namespace: string, subject: string): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace,
  name: `budget-${subject}`
})

const accountRef = (namespace: string) => refOf(namespace, "account")

const domainRef = (namespace: string, host: string) =>
  refOf(
    namespace,
    createHash("sha256")
      .update(registeredDomain(host) ?? host)
      .digest("hex")
      .slice(0, 20)
  )

interface Read {
  readonly live: LiveObject | undefined
  readonly ledger: Ledger
}

const read = Effect.fnUntraced(function* (
  api: KubernetesApi,
  ref: ObjectRef
): Effect.fn.Return<Read, Failure> {
  const live = yield* api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
  if (live === undefined) return { live, ledger: empty }
  const { data } = yield* decodeLedger(live).pipe(
    Effect.mapError((error) => new UnexpectedAnswer({ object: nameOf(ref), detail: error.message }))
  )
  return { live, ledger: data[dataKey] }
})

const write = (api: KubernetesApi, ref: ObjectRef, { live }: Read, ledger: Ledger, domain: string) => {
  const metadata = {
    name: ref.name,
    namespace: ref.namespace ?? "",
    labels: { [labels.managedBy]: fieldManager },
    annotations: { "mcpdeploy.dev/budget-of": domain }
  }
  const manifest: Manifest = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata:
      live === undefined
        ? metadata
        : { ...metadata, uid: live.metadata.uid, resourceVersion: live.metadata.resourceVersion },
    data: { [dataKey]: JSON.stringify(ledger) }
  }
  return live === undefined ? api.create(manifest, ref) : api.replace(manifest, ref)
}

/** Changes a ledger, unless `refuse` says until when it must not be. */
const change = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    ref: ObjectRef,
    domain: string,
    refuse: (ledger: Ledger, now: number) => CertificateLimited | undefined,
    next: (ledger: Ledger, now: number) => Ledger
  ): Effect.fn.Return<CertificateLimited | undefined, Failure> {
    const now = yield* Clock.currentTimeMillis
    const found = yield* read(api, ref)
    const refusal = refuse(found.ledger, now)
    if (refusal !== undefined) return refusal
    yield* write(api, ref, found, next(pruned(found.ledger, now), now), domain)
    return undefined
  },
  (effect, _api, ref) => retryConflicts(effect, nameOf(ref))
)

const limited = (host: DomainName, at: number | undefined, { name }: Limit) =>
  at === undefined
    ? undefined
    : new CertificateLimited({
        host,
        limit: `the limit of ${name} is used up`,
        retryAt: new Date(at).toISOString()
      })

const never = () => undefined

/** Takes one order off the budgets, or fails with the one that is used up and when it is not. */
export const reserve = Effect.fn("Budget.reserve")(function* (
  api: KubernetesApi,
  namespace: string,
  host: DomainName,
  user: UserId
): Effect.fn.Return<void, Failure | CertificateLimited> {
  const order = (ledger: Ledger, now: number): Ledger => ({
    ...ledger,
    orders: [...ledger.orders, { host, at: now }]
  })
  const ofDomain = ({ failures, orders }: Ledger, now: number) => {
    const ofHost = <A extends { readonly host: string; readonly at: number }>(entries: ReadonlyArray<A>) =>
      entries.filter((entry) => entry.host === host).map(({ at }) => at)
    const all = orders.map(({ at }) => at)
    return (
      limited(host, openAt(ofHost(failures), now, limits.failures), limits.failures) ??
      limited(host, openAt(ofHost(orders), now, limits.host), limits.host) ??
      limited(host, openAt(all, now, limits.domain), limits.domain)
    )
  }
  const within =
    (limit: Limit) =>
    ({ orders }: Ledger, now: number) =>
      limited(
        host,
        openAt(
          orders.map(({ at }) => at),
          now,
          limit
        ),
        limit
      )
  const short = (ledger: Ledger, now: number): Ledger => {
    const next = order(ledger, now)
    return { ...next, orders: next.orders.filter(({ at }) => at > now - limits.orders.millis) }
  }
  const domain = registeredDomain(host) ?? host
  const refusal =
    (yield* change(api, domainRef(namespace, host), domain, ofDomain, order)) ??
    (yield* change(api, refOf(namespace, `user-${user}`), user, within(limits.customer), short)) ??
    (yield* change(api, accountRef(namespace), "account", within(limits.orders), short))
  if (refusal !== undefined) return yield* refusal
})

/** Notes a failed validation. */
export const recordFailure = Effect.fn("Budget.recordFailure")(function* (
  api: KubernetesApi,
  namespace: string,
  host: DomainName,
  detail: string
): Effect.fn.Return<void, Failure> {
  yield* change(
    api,
    domainRef(namespace, host),
    registeredDomain(host) ?? host,
    never,
    (ledger, now): Ledger => ({
      ...ledger,
      failures: [...ledger.failures, { host, at: now, detail: detail.slice(0, 1000) }]
    })
  )
})

/** What the newest failed validation of the host said. */
export const lastFailure = (api: KubernetesApi, namespace: string, host: DomainName) =>
  Effect.map(
    read(api, domainRef(namespace, host)),
    ({ ledger }) => ledger.failures.findLast((failure) => failure.host === host)?.detail
  )
