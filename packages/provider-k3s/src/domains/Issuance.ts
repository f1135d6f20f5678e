/** Issuance: the objects of one certificate, read once or followed until it is decided. */
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import { CertificateFailed, type DomainName } from "@mcpdeploy/core/DomainManager"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { type Kind, kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"
import { certificateRef } from "./CertificateObjects.ts"
import {
  Certificate,
  CertificateRequest,
  type CertificateState,
  Challenge,
  type Issuance,
  Order,
  stateOf
} from "./CertificateState.ts"

const nothing: Issuance = { certificate: undefined, requests: [], orders: [], challenges: [] }

const allOf = (target: ServiceTarget, kind: Kind): ObjectRef => ({
  kind,
  namespace: target.namespace,
  name: ""
})

const listAs = <A>(api: KubernetesApi, ref: ObjectRef, schema: Schema.Decoder<A>) =>
  Effect.flatMap(api.list(ref), ({ items }) =>
    Effect.forEach(items, (live) =>
      Schema.decodeEffect(schema)(live).pipe(
        Effect.mapError((error) => new UnexpectedAnswer({ object: nameOf(ref), detail: error.message }))
      )
    )
  )

const ofHost =
  (host: DomainName) =>
  ({ spec }: Challenge): boolean =>
    spec.dnsName === host

export const read = Effect.fn("Issuance.read")(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<CertificateState, Failure> {
  const { name } = certificateRef(target, host)
  const [certificates, requests, orders, challenges] = yield* Effect.all(
    [
      listAs(api, allOf(target, kinds.Certificate), Certificate),
      listAs(api, allOf(target, kinds.CertificateRequest), CertificateRequest),
      listAs(api, allOf(target, kinds.Order), Order),
      listAs(api, allOf(target, kinds.Challenge), Challenge)
    ],
    { concurrency: "unbounded" }
  )
  const issuance: Issuance = {
    certificate: certificates.find(({ metadata }) => metadata.name === name),
    requests,
    orders,
    challenges: challenges.filter(ofHost(host))
  }
  return stateOf(issuance, yield* Clock.currentTimeMillis)
})

/** Follows the certificate until it is there, or has failed, or took longer than `seconds`. */
export const follow = Effect.fn("Issuance.follow")(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName,
  seconds: number
): Effect.fn.Return<Extract<CertificateState, { _tag: "Ready" | "Failed" }>, Failure | CertificateFailed> {
  const certificate = certificateRef(target, host)
  const byName = { field: `metadata.name=${certificate.name}` }
  let issuance = nothing
  /** A challenge is deleted as soon as its order has failed, and takes the cause with it. */
  let cause: string | undefined
  const follow = <A>(
    kind: Kind,
    schema: Schema.Decoder<A>,
    put: (items: ReadonlyArray<A>) => Partial<Issuance>,
    selector = {}
  ) =>
    Stream.map(watch(api, allOf(target, kind), schema, selector), (items) => {
      issuance = { ...issuance, ...put(items) }
    })
  const decided = yield* Stream.mergeAll(
    [
      follow(kinds.Certificate, Certificate, ([first]) => ({ certificate: first }), byName),
      follow(kinds.CertificateRequest, CertificateRequest, (requests) => ({ requests })),
      follow(kinds.Order, Order, (orders) => ({ orders })),
      follow(kinds.Challenge, Challenge, (all) => ({ challenges: all.filter(ofHost(host)) }))
    ],
    { concurrency: "unbounded" }
  ).pipe(
    Stream.mapEffect(() => Clock.currentTimeMillis),
    Stream.map((now) => {
      const state = stateOf(issuance, now)
      const [challenge] = issuance.challenges
      if (challenge?.status?.state === "invalid") cause = challenge.status.reason
      return state
    }),
    Stream.filter((state) => state._tag === "Ready" || state._tag === "Failed"),
    Stream.runHead,
    Effect.timeoutOrElse({
      duration: `${seconds} seconds`,
      orElse: () =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const state = stateOf(issuance, now)
          const waitingFor = state._tag === "Issuing" ? state.waitingFor : undefined
          const detail = `it is not there after ${seconds} seconds: ${waitingFor ?? "nothing is known of it (does cert-manager run?)"}`
          return Effect.fail(new CertificateFailed({ host, detail, retryable: true }))
        })
    })
  )
  if (decided._tag === "None")
    return yield* new UnexpectedAnswer({ object: nameOf(certificate), detail: "the watch has ended" })
  const state = decided.value
  return state._tag === "Failed" && cause !== undefined ? { ...state, detail: cause } : state
})
