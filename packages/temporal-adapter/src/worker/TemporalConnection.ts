/** The worker's connection to Temporal, proven at start: address, credentials and namespace are right. */
import { NativeConnection } from "@temporalio/worker"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { TemporalSettings } from "./Settings.ts"

/** Temporal cannot be used as configured. */
export class TemporalRefused extends Schema.TaggedError<TemporalRefused>()("TemporalRefused", {
  address: Schema.String,
  problem: Schema.String,
  advice: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Temporal at ${this.address} ${this.problem}: ${this.advice}`
  }
}

const deadlineSeconds = 15

/** gRPC status codes. */
const codes = { notFound: 5, permissionDenied: 7, unauthenticated: 16 }

const codeOf = (error: unknown): number | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "number"
    ? error.code
    : undefined

const advice = {
  address:
    "check TEMPORAL_ADDRESS, and whether it speaks TLS (TEMPORAL_API_KEY, TEMPORAL_TLS_CERT and TEMPORAL_TLS_CA switch it on)",
  credentials:
    "set TEMPORAL_API_KEY, or TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY, to ones that are valid for the namespace",
  namespace: "set TEMPORAL_NAMESPACE to one that exists"
}

/** What went wrong, from the status code where there is one, else from what the SDK says. */
const refusalOf = ({ address, namespace }: TemporalSettings, error: unknown): TemporalRefused => {
  const text = error instanceof Error ? error.message : String(error)
  const code = codeOf(error)
  const refused = (problem: string, what: string) => new TemporalRefused({ address, problem, advice: what })
  if (code === codes.notFound || /namespace .*not found/i.test(text)) {
    return refused(`has no namespace ${namespace}`, advice.namespace)
  }
  const isCredentials =
    code === codes.unauthenticated ||
    code === codes.permissionDenied ||
    /unauthenticated|permission ?denied|unauthorized|jwt|api key|certificate ?(?:expired|required|unknown)|bad ?certificate/i.test(
      text
    )
  return isCredentials
    ? refused("refuses the credentials", advice.credentials)
    : refused(`cannot be reached (${text.replaceAll(/\s+/g, " ").slice(0, 200)})`, advice.address)
}

export const connect = Effect.fn("TemporalConnection.connect")(function* (settings: TemporalSettings) {
  const { address, apiKey, authority, clientCertificate, namespace } = settings
  const isTls = apiKey !== undefined || clientCertificate !== undefined || authority !== undefined
  const open = Effect.tryPromise({
    try: () =>
      NativeConnection.connect({
        address,
        ...(apiKey === undefined ? {} : { apiKey: Redacted.value(apiKey) }),
        ...(isTls
          ? {
              tls: {
                ...(authority === undefined ? {} : { serverRootCACertificate: Buffer.from(authority) }),
                ...(clientCertificate === undefined
                  ? {}
                  : {
                      clientCertPair: {
                        crt: Buffer.from(clientCertificate.certificate),
                        key: Buffer.from(Redacted.value(clientCertificate.key))
                      }
                    })
              }
            }
          : {})
      }),
    catch: (error) => refusalOf(settings, error)
  })
  const connection = yield* Effect.acquireRelease(
    open.pipe(
      Effect.timeoutOrElse({
        duration: `${deadlineSeconds} seconds`,
        orElse: () => Effect.fail(refusalOf(settings, `no answer within ${deadlineSeconds} s`))
      })
    ),
    (connection) => Effect.promise(() => connection.close().catch(() => undefined))
  )
  yield* Effect.tryPromise({
    try: () =>
      connection.withDeadline(Date.now() + deadlineSeconds * 1000, () =>
        connection.workflowService.describeNamespace({ namespace })
      ),
    catch: (error) => refusalOf(settings, error)
  })
  return connection
})
