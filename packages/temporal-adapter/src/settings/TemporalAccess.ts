/** TemporalAccess: a connection to Temporal, proven at start: address, credentials and namespace are right. */
import type { WorkflowService } from "@temporalio/client"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { TemporalSettings } from "./TemporalSettings.ts"

const advice = {
  address:
    "check TEMPORAL_ADDRESS, and whether it speaks TLS (TEMPORAL_API_KEY, TEMPORAL_TLS_CERT and TEMPORAL_TLS_CA switch it on)",
  credentials:
    "set TEMPORAL_API_KEY, or TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY, to ones that are valid for the namespace",
  authority: "set TEMPORAL_TLS_CA to the certificate of the authority that signed it",
  namespace: "set TEMPORAL_NAMESPACE to one that exists"
}

/** Temporal cannot be used as configured. */
export class TemporalRefused extends Schema.TaggedError<TemporalRefused>()("TemporalRefused", {
  address: Schema.String,
  /** Which of the settings is wrong. `address`: it may also be that Temporal is down for now. */
  setting: Schema.Literals(["address", "credentials", "authority", "namespace"]),
  problem: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `Temporal at ${this.address} ${this.problem}: ${advice[this.setting]}`
  }
}

const deadlineSeconds = 15

/** gRPC status codes. */
const codes = { notFound: 5, permissionDenied: 7, unauthenticated: 16 }

const codeOf = (error: unknown): number | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "number"
    ? error.code
    : undefined

/**
 * How a server that wants another client certificate, or any, ends the connection: with an alert (RFC 8446, 6.2), or
 * without a word.
 */
const endsHandshake =
  /received fatal alert|UnexpectedEof|BrokenPipe|ConnectionReset|"connection closed"|ECONNRESET|tlsv1[23]? alert/

const isTls = ({ apiKey, authority, clientCertificate }: TemporalSettings): boolean =>
  apiKey !== undefined || clientCertificate !== undefined || authority !== undefined

/** What went wrong, from the status code where there is one, else from what the SDK says. */
export const refusalOf = (settings: TemporalSettings, error: unknown): TemporalRefused => {
  const { address, namespace } = settings
  const text = error instanceof Error ? error.message : String(error)
  const code = codeOf(error)
  const refused = (setting: TemporalRefused["setting"], problem: string) =>
    new TemporalRefused({ address, setting, problem })
  if (code === codes.notFound || /namespace .*not found/i.test(text)) {
    return refused("namespace", `has no namespace ${namespace}`)
  }
  if (/invalid peer certificate|self.signed certificate|unable to (?:get|verify)/i.test(text)) {
    return refused("authority", "shows a certificate that is not trusted")
  }
  const isCredentials =
    code === codes.unauthenticated ||
    code === codes.permissionDenied ||
    /unauthenticated|permission ?denied|unauthorized|jwt|api key/i.test(text) ||
    (isTls(settings) && endsHandshake.test(text))
  return isCredentials
    ? refused("credentials", "refuses the credentials")
    : refused("address", `cannot be reached (${text.replaceAll(/\s+/g, " ").slice(0, 200)})`)
}

/** What both of the SDK's connections are opened with. */
export interface ConnectionSettings {
  readonly address: string
  readonly apiKey?: string
  readonly tls?: {
    readonly serverRootCACertificate?: Buffer
    readonly clientCertPair?: { readonly crt: Buffer; readonly key: Buffer }
  }
}

/** How Temporal is reached, as its SDKs take it. */
export const connectionSettings = (settings: TemporalSettings): ConnectionSettings => {
  const { address, apiKey, authority, clientCertificate } = settings
  return {
    address,
    ...(apiKey === undefined ? {} : { apiKey: Redacted.value(apiKey) }),
    ...(isTls(settings)
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
  }
}

/** What the SDK's two connections have in common. */
export interface TemporalConnection {
  readonly workflowService: Pick<WorkflowService, "describeNamespace">
  readonly withDeadline: <A>(deadline: number, run: () => Promise<A>) => Promise<A>
  readonly close: () => Promise<void>
}

/** Fails unless Temporal takes the credentials and has the namespace. */
export const prove = (
  connection: TemporalConnection,
  settings: TemporalSettings,
  seconds = deadlineSeconds
): Effect.Effect<void, TemporalRefused> =>
  Effect.tryPromise({
    try: () =>
      connection.withDeadline(Date.now() + seconds * 1000, () =>
        connection.workflowService.describeNamespace({ namespace: settings.namespace })
      ),
    catch: (error) => refusalOf(settings, error)
  })

/** Opens a connection for the scope, and proves it. */
export const connectWith = Effect.fn("TemporalAccess.connect")(function* <C extends TemporalConnection>(
  settings: TemporalSettings,
  open: (connection: ConnectionSettings) => Promise<C>
) {
  const connection = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () => open(connectionSettings(settings)),
      catch: (error) => refusalOf(settings, error)
    }).pipe(
      Effect.timeoutOrElse({
        duration: `${deadlineSeconds} seconds`,
        orElse: () => Effect.fail(refusalOf(settings, `no answer within ${deadlineSeconds} s`))
      })
    ),
    (connection) => Effect.promise(() => connection.close().catch(() => undefined))
  )
  yield* prove(connection, settings)
  return connection
})
