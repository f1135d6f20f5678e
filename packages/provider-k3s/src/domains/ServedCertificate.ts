/** ServedCertificate: whether the ingress answers for a host with the certificate that was made for it. */
import { X509Certificate } from "node:crypto"
import { connect } from "node:tls"
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { CertificateFailed, type DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { nameOf } from "../kubernetes/Kind.ts"
import { secretRef } from "./CertificateObjects.ts"

/** One handshake; and how long the ingress may take to load a new certificate. */
const handshakeMillis = 5_000
const loadDeadline = "20 seconds"

const TlsSecret = Schema.Struct({ data: Schema.Struct({ "tls.crt": Schema.String }) })
const decodeSecret = Schema.decodeUnknownEffect(TlsSecret)

/** SHA-256 of the certificate in the Secret. The key beside it is not looked at. */
const storedFingerprint = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName
): Effect.fn.Return<string, Failure> {
  const ref = secretRef(target, host)
  const unreadable = () => new UnexpectedAnswer({ object: nameOf(ref), detail: "it holds no certificate" })
  // The decoder's message would hold the values.
  const { data } = yield* Effect.mapError(decodeSecret(yield* api.get(ref)), unreadable)
  return yield* Effect.try({
    try: () => new X509Certificate(Buffer.from(data["tls.crt"], "base64")).fingerprint256,
    catch: unreadable
  })
})

/** SHA-256 of the certificate that is served. Who signed it does not matter here: it is compared with ours. */
const servedFingerprint = (host: DomainName, endpoint: string) =>
  Effect.callback<string, string>((resume) => {
    const at = endpoint.lastIndexOf(":")
    const socket = connect({
      host: endpoint.slice(0, at),
      port: Number(endpoint.slice(at + 1)),
      servername: host,
      rejectUnauthorized: false,
      timeout: handshakeMillis
    })
    socket.once("secureConnect", () => {
      const { fingerprint256 } = socket.getPeerCertificate()
      resume(fingerprint256 ? Effect.succeed(fingerprint256) : Effect.fail("it shows no certificate"))
      socket.destroy()
    })
    socket.once("timeout", () => socket.destroy(new Error(`no handshake in ${handshakeMillis} ms`)))
    socket.once("error", (error) => resume(Effect.fail(error.message)))
    return Effect.sync(() => socket.destroy())
  })

/** Succeeds when the endpoint serves the host's certificate at this moment. */
export const check = Effect.fn("ServedCertificate.check")(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName,
  endpoint: string
): Effect.fn.Return<void, Failure | CertificateFailed> {
  const stored = yield* storedFingerprint(api, target, host)
  const failed = (detail: string) =>
    new CertificateFailed({
      host,
      detail: `the certificate was issued, but ${endpoint} does not serve it: ${detail}`,
      retryable: true
    })
  const served = yield* Effect.mapError(servedFingerprint(host, endpoint), failed)
  if (served !== stored) return yield* failed("it shows another certificate")
})

/** {@link check}, with patience: the ingress hears of a new Secret a moment later. */
export const awaitServed = (api: KubernetesApi, target: ServiceTarget, host: DomainName, endpoint: string) =>
  check(api, target, host, endpoint).pipe(
    Effect.retry({
      schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: loadDeadline })),
      while: (error) => error._tag === "CertificateFailed" || error._tag === "NotFound"
    })
  )
