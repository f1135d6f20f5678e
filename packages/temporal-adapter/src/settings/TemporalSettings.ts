/** TemporalSettings: how a process reaches Temporal, from its environment. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { parsePayloadKeys, type PayloadKey } from "@mcpdeploy/temporal-contract/codec"
import { queues } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Reader } from "./Environment.ts"

/** The variables of the connection, and what each is. */
export const temporalVariables = {
  TEMPORAL_ADDRESS: "host:port of Temporal's frontend, such as localhost:7233 or ns.acct.tmprl.cloud:7233",
  TEMPORAL_NAMESPACE: "the Temporal namespace, such as default or ns.acct",
  TEMPORAL_TASK_QUEUE: "the task queue's name",
  TEMPORAL_API_KEY: "an API key of Temporal Cloud",
  TEMPORAL_TLS_CERT: "path of the client certificate (PEM); set TEMPORAL_TLS_KEY too",
  TEMPORAL_TLS_KEY: "path of the client certificate's key (PEM); set TEMPORAL_TLS_CERT too",
  TEMPORAL_TLS_CA: "path of the authority (PEM) that signed the server's certificate",
  MCPDEPLOY_PAYLOAD_KEYS: "keys of the payload encryption, as id:base64,id:base64; the first one encrypts"
} as const
/** The name of a variable of the connection. */
export type TemporalVariable = keyof typeof temporalVariables

/** Which Temporal, as whom, and how payloads are encrypted. */
export interface TemporalSettings {
  readonly address: string
  readonly namespace: string
  readonly taskQueue: string
  readonly apiKey: Redacted.Redacted | undefined
  readonly clientCertificate: { readonly certificate: string; readonly key: Redacted.Redacted } | undefined
  readonly authority: string | undefined
  /** Absent: nothing is encrypted (a dev server). */
  readonly payloadKeys: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>] | undefined
}

const payloadKeysOf = (reader: Reader<TemporalVariable>): TemporalSettings["payloadKeys"] => {
  const text = reader.optional("MCPDEPLOY_PAYLOAD_KEYS")
  if (text === undefined) return undefined
  try {
    return parsePayloadKeys(text)
  } catch (error) {
    return reader.wrong(
      "MCPDEPLOY_PAYLOAD_KEYS",
      error instanceof Error ? `(${error.message})` : "is not right"
    )
  }
}

/** Checks what can be known of a client certificate before it is used. */
const checkCertificate = (reader: Reader<TemporalVariable>, certificate: string, key: string): void => {
  try {
    const parsed = new X509Certificate(certificate)
    if (Date.parse(parsed.validTo) < Date.now()) {
      reader.wrong("TEMPORAL_TLS_CERT", `expired at ${parsed.validTo}`)
    }
    if (!parsed.checkPrivateKey(createPrivateKey(key))) {
      reader.wrong("TEMPORAL_TLS_KEY", "is not the key of the certificate")
    }
  } catch {
    reader.wrong("TEMPORAL_TLS_CERT", "or its key is not PEM")
  }
}

/** The connection's settings; what is wrong is kept by the reader, so that all of it is told at once. */
export const readTemporalSettings = Effect.fn("readTemporalSettings")(function* (
  reader: Reader<TemporalVariable>
) {
  const address = reader.text("TEMPORAL_ADDRESS", undefined, /^[^\s/:]+:\d{1,5}$|^\[[0-9a-f:]+\]:\d{1,5}$/)
  const apiKey = reader.optional("TEMPORAL_API_KEY")
  const certificate = yield* reader.file("TEMPORAL_TLS_CERT")
  const key = yield* reader.file("TEMPORAL_TLS_KEY")
  const named = (name: TemporalVariable) => reader.optional(name) !== undefined
  if (named("TEMPORAL_TLS_CERT") !== named("TEMPORAL_TLS_KEY")) {
    reader.wrong(named("TEMPORAL_TLS_CERT") ? "TEMPORAL_TLS_KEY" : "TEMPORAL_TLS_CERT", "is not set")
  }
  if (certificate !== undefined && key !== undefined) checkCertificate(reader, certificate, key)
  if (apiKey !== undefined && named("TEMPORAL_TLS_CERT")) {
    reader.problems.push("TEMPORAL_API_KEY and TEMPORAL_TLS_CERT are both set: set one of them")
  }
  return {
    address,
    namespace: reader.text("TEMPORAL_NAMESPACE", "default"),
    taskQueue: reader.text("TEMPORAL_TASK_QUEUE", queues.k8sNative),
    apiKey: apiKey === undefined ? undefined : Redacted.make(apiKey),
    clientCertificate:
      certificate === undefined || key === undefined ? undefined : { certificate, key: Redacted.make(key) },
    authority: yield* reader.file("TEMPORAL_TLS_CA"),
    payloadKeys: payloadKeysOf(reader)
  } satisfies TemporalSettings
})
