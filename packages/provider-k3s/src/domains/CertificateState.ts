/**
 * CertificateState: how far a certificate is, from what cert-manager says in four objects: Certificate, its newest
 * CertificateRequest, that one's Order, and the Order's Challenge. The innermost one knows the real cause.
 */
import * as Schema from "effect/Schema"

const Condition = Schema.Struct({
  type: Schema.String,
  status: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String)
})

const Conditions = Schema.optionalKey(Schema.Array(Condition))

export const Certificate = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, uid: Schema.String, creationTimestamp: Schema.String }),
  status: Schema.optionalKey(
    Schema.Struct({
      conditions: Conditions,
      notAfter: Schema.optionalKey(Schema.String),
      renewalTime: Schema.optionalKey(Schema.String),
      lastFailureTime: Schema.optionalKey(Schema.String)
    })
  )
})
export type Certificate = typeof Certificate.Type

const Metadata = Schema.Struct({
  name: Schema.String,
  creationTimestamp: Schema.String,
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  ownerReferences: Schema.optionalKey(
    Schema.Array(Schema.Struct({ kind: Schema.String, name: Schema.String }))
  )
})

export const CertificateRequest = Schema.Struct({
  metadata: Metadata,
  status: Schema.optionalKey(Schema.Struct({ conditions: Conditions }))
})
export type CertificateRequest = typeof CertificateRequest.Type

/** The status of an Order and of a Challenge: states of RFC 8555, 7.1.6, and `errored`. */
const AcmeStatus = Schema.optionalKey(
  Schema.Struct({ state: Schema.optionalKey(Schema.String), reason: Schema.optionalKey(Schema.String) })
)

export const Order = Schema.Struct({ metadata: Metadata, status: AcmeStatus })
export type Order = typeof Order.Type

export const Challenge = Schema.Struct({
  metadata: Metadata,
  spec: Schema.Struct({ dnsName: Schema.String }),
  status: AcmeStatus
})
export type Challenge = typeof Challenge.Type

export interface Issuance {
  readonly certificate: Certificate | undefined
  readonly requests: ReadonlyArray<CertificateRequest>
  readonly orders: ReadonlyArray<Order>
  readonly challenges: ReadonlyArray<Challenge>
}

export type CertificateState =
  /** `problem`: the next one, to renew it, fails. */
  | { readonly _tag: "Ready"; readonly notAfter: string | undefined; readonly problem: string | undefined }
  /** `waitingFor` is what cert-manager says it waits for. */
  | { readonly _tag: "Issuing"; readonly waitingFor: string | undefined }
  | { readonly _tag: "Failed"; readonly detail: string; readonly isValidation: boolean }
  | { readonly _tag: "Absent" }

const nameAnnotation = "cert-manager.io/certificate-name"

const conditionOf = (conditions: ReadonlyArray<typeof Condition.Type> | undefined, type: string) =>
  conditions?.find((condition) => condition.type === type)

const newest = <A extends { readonly metadata: { readonly creationTimestamp: string } }>(
  items: ReadonlyArray<A>
): A | undefined =>
  items.toSorted((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1))[0]

const isOwnedBy = (item: { readonly metadata: typeof Metadata.Type }, kind: string, name: string): boolean =>
  item.metadata.ownerReferences?.some((owner) => owner.kind === kind && owner.name === name) ?? false

const failedStates = new Set(["invalid", "errored", "expired"])

const isFailed = (item: Order | Challenge | undefined): boolean => failedStates.has(item?.status?.state ?? "")

const reasonOf = (item: Order | Challenge | undefined): string | undefined =>
  item?.status?.reason || undefined

const failureOf = (
  request: CertificateRequest | undefined,
  order: Order | undefined,
  challenge: Challenge | undefined
): CertificateState | undefined => {
  if (isFailed(challenge) || isFailed(order)) {
    const detail =
      reasonOf(challenge) ??
      reasonOf(order) ??
      `the order is ${order?.status?.state ?? challenge?.status?.state}`
    return { _tag: "Failed", detail, isValidation: true }
  }
  const conditions = request?.status?.conditions
  const refused = ["InvalidRequest", "Denied"]
    .map((type) => conditionOf(conditions, type))
    .find((condition) => condition?.status === "True")
  const ready = conditionOf(conditions, "Ready")
  const failed = refused ?? (ready?.reason === "Failed" ? ready : undefined)
  return failed === undefined
    ? undefined
    : { _tag: "Failed", detail: failed.message ?? "the request failed", isValidation: false }
}

/** Seconds in which cert-manager, and the authority, have done something where they run. */
const patience = 10
/** cert-manager begins a renewal at its time; an hour later it does not run. */
const renewalPatience = 3600

const secondsSince = (time: string, now: number): number => Math.round((now - Date.parse(time)) / 1000)

/** What nothing happens to, where an object that does not change is all that there is to see of an outage. */
const stalled = (
  { metadata, status }: Certificate,
  request: CertificateRequest | undefined,
  order: Order | undefined,
  now: number
): string | undefined => {
  const idle = (item: { readonly metadata: { readonly creationTimestamp: string } }) => {
    const seconds = secondsSince(item.metadata.creationTimestamp, now)
    return seconds > patience ? seconds : undefined
  }
  // A state, or a reason, comes with the authority's first answer.
  const orderIdle = order === undefined || order.status?.state || reasonOf(order) ? undefined : idle(order)
  if (orderIdle !== undefined)
    return `the certificate authority has not taken the order for ${orderIdle} s: it is down, refuses, or is not reached; cert-manager goes on trying`
  const isUntouched = request === undefined && (status?.conditions ?? []).length === 0
  const untouched = isUntouched ? idle({ metadata }) : undefined
  const unanswered =
    request !== undefined && order === undefined && request.status === undefined ? idle(request) : undefined
  const seconds = untouched ?? unanswered
  if (seconds !== undefined) return `cert-manager has done nothing for ${seconds} s: does it run?`
  const due = status?.renewalTime
  const isBegun = conditionOf(status?.conditions, "Issuing")?.status === "True"
  return due !== undefined && !isBegun && secondsSince(due, now) > renewalPatience
    ? `its renewal was due at ${due}, and cert-manager has not begun it: does it run?`
    : undefined
}

/** `now` in milliseconds since 1970. */
export const stateOf = (
  { certificate, challenges, orders, requests }: Issuance,
  now: number
): CertificateState => {
  if (certificate === undefined) return { _tag: "Absent" }
  const request = newest(
    requests.filter(
      ({ metadata: { annotations } }) => annotations?.[nameAnnotation] === certificate.metadata.name
    )
  )
  const order =
    request && newest(orders.filter((each) => isOwnedBy(each, "CertificateRequest", request.metadata.name)))
  const challenge =
    order && newest(challenges.filter((each) => isOwnedBy(each, "Order", order.metadata.name)))
  const failure = failureOf(request, order, challenge)
  const idle = stalled(certificate, request, order, now)
  const { conditions, notAfter } = certificate.status ?? {}
  const ready = conditionOf(conditions, "Ready")
  const issuing = conditionOf(conditions, "Issuing")
  if (ready?.status === "True")
    return {
      _tag: "Ready",
      notAfter,
      problem: failure?._tag === "Failed" ? failure.detail : idle
    }
  if (failure !== undefined) return failure
  if (issuing?.status === "False" && issuing.reason === "Failed")
    return { _tag: "Failed", detail: issuing.message ?? "the certificate failed", isValidation: true }
  const waitingFor =
    reasonOf(challenge) ??
    reasonOf(order) ??
    idle ??
    conditionOf(request?.status?.conditions, "Ready")?.message ??
    issuing?.message
  return { _tag: "Issuing", waitingFor }
}
