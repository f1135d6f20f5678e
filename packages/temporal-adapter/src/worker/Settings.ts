/** What deployer-worker takes from its environment. Every mistake is named at once, in one line, and never a value. */
import { X509Certificate, createPrivateKey } from "node:crypto"
import { UserId } from "@mcpdeploy/core/domain/Identity"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { decodeRegionFile, type RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { parsePayloadKeys, type PayloadKey } from "@mcpdeploy/temporal-contract/codec"
import { queues } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** The process cannot start as it is configured. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return this.problems.join("; ").replaceAll(/\s*\n\s*/g, ", ")
  }
}

const variables = {
  TEMPORAL_ADDRESS: "host:port of Temporal's frontend, such as localhost:7233 or ns.acct.tmprl.cloud:7233",
  TEMPORAL_NAMESPACE: "the Temporal namespace, such as default or ns.acct",
  TEMPORAL_TASK_QUEUE: "the task queue's name",
  TEMPORAL_API_KEY: "an API key of Temporal Cloud",
  TEMPORAL_TLS_CERT: "path of the client certificate (PEM); set TEMPORAL_TLS_KEY too",
  TEMPORAL_TLS_KEY: "path of the client certificate's key (PEM); set TEMPORAL_TLS_CERT too",
  TEMPORAL_TLS_CA: "path of the authority (PEM) that signed the server's certificate",
  MCPDEPLOY_PAYLOAD_KEYS: "keys of the payload encryption, as id:base64,id:base64; the first one encrypts",
  MCPDEPLOY_REGION: "path of the region file (JSON)",
  MCPDEPLOY_BUILD_SECRET_KEY: "a random text of at least 32 characters, the same in all workers of a region",
  MCPDEPLOY_SECRET_PREFIX: "the prefix of environment variables that services may name as secrets",
  MCPDEPLOY_SECRET_FOLDERS: "absolute folders, separated by :, whose files services may name as secrets",
  MCPDEPLOY_CACHE: "absolute path of a folder for checkouts",
  MCPDEPLOY_WORKFLOW_BUNDLE: "path of a prebuilt workflow bundle",
  MCPDEPLOY_HTTP_HOST: "the address on which /healthz, /readyz and /metrics are served",
  MCPDEPLOY_HTTP_PORT: "the port on which /healthz, /readyz and /metrics are served (0: any free one)",
  MCPDEPLOY_RECONCILE_SECONDS: "seconds between two rounds of comparing branches, at least 10; 0 for none",
  MCPDEPLOY_RECONCILE_USERS: "the users, separated by commas, whose services alone are compared",
  MCPDEPLOY_SHUTDOWN_SECONDS: "seconds that a shutdown may take, 1 to 600",
  MCPDEPLOY_ACTIVITY_SLOTS: "activities at once, builds that wait for a slot included, 1 to 10000"
} as const
type Variable = keyof typeof variables
type Environment = Readonly<Record<string, string | undefined>>

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

export interface Settings {
  readonly temporal: TemporalSettings
  readonly region: RegionFile
  readonly buildSecretKey: Redacted.Redacted
  /** The part of the environment that services may name. */
  readonly secretEnvironment: Readonly<Record<string, string>>
  readonly secretFolders: ReadonlyArray<string>
  readonly cacheFolder: string
  readonly workflowBundle: string | undefined
  readonly http: { readonly host: string; readonly port: number }
  readonly reconcileSeconds: number
  /** Absent: everybody's services. */
  readonly reconcileUsers: ReadonlySet<string> | undefined
  readonly shutdownSeconds: number
  readonly activitySlots: number
}

/** Reads variables, and keeps every problem for the end. */
class Reader {
  readonly problems: Array<string> = []
  readonly #environment: Environment

  constructor(environment: Environment) {
    this.#environment = environment
  }
  wrong(name: Variable, problem: string): undefined {
    this.problems.push(`${name} ${problem}: set it to ${variables[name]}`)
    return undefined
  }
  optional(name: Variable): string | undefined {
    const value = this.#environment[name]
    return value === "" ? undefined : value
  }
  text(name: Variable, fallback: string | undefined, pattern = /\S/): string {
    const value = this.optional(name) ?? fallback
    if (value === undefined) this.wrong(name, "is not set")
    else if (!pattern.test(value)) this.wrong(name, "is not right")
    return value ?? ""
  }
  integer(name: Variable, fallback: number, min: number, max: number): number {
    const value = Number(this.optional(name) ?? fallback)
    if (!Number.isInteger(value) || value < min || value > max) this.wrong(name, "is not right")
    return value
  }
}

const payloadKeysOf = (reader: Reader): TemporalSettings["payloadKeys"] => {
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

const usersOf = (reader: Reader): Settings["reconcileUsers"] => {
  const text = reader.optional("MCPDEPLOY_RECONCILE_USERS")
  if (text === undefined) return undefined
  const users = text.split(",").map((user) => user.trim())
  return users.every(Schema.is(UserId))
    ? new Set(users)
    : reader.wrong("MCPDEPLOY_RECONCILE_USERS", "is not right")
}

/** Checks what can be known of a client certificate before it is used. */
const checkCertificate = (reader: Reader, certificate: string, key: string): void => {
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

export const readSettings = Effect.fn("readSettings")(function* (environment: Environment) {
  const fs = yield* FileSystem.FileSystem
  const reader = new Reader(environment)
  const file = (name: Variable) => {
    const path = reader.optional(name)
    return path === undefined
      ? Effect.undefined
      : fs
          .readFileString(path)
          .pipe(
            Effect.catch((error) =>
              Effect.sync(() => reader.wrong(name, `cannot be read (${error.reason._tag})`))
            )
          )
  }

  const address = reader.text("TEMPORAL_ADDRESS", undefined, /^[^\s/:]+:\d{1,5}$|^\[[0-9a-f:]+\]:\d{1,5}$/)
  const apiKey = reader.optional("TEMPORAL_API_KEY")
  const certificate = yield* file("TEMPORAL_TLS_CERT")
  const key = yield* file("TEMPORAL_TLS_KEY")
  const named = (name: Variable) => reader.optional(name) !== undefined
  if (named("TEMPORAL_TLS_CERT") !== named("TEMPORAL_TLS_KEY")) {
    reader.wrong(named("TEMPORAL_TLS_CERT") ? "TEMPORAL_TLS_KEY" : "TEMPORAL_TLS_CERT", "is not set")
  }
  if (certificate !== undefined && key !== undefined) checkCertificate(reader, certificate, key)
  if (apiKey !== undefined && named("TEMPORAL_TLS_CERT")) {
    reader.problems.push("TEMPORAL_API_KEY and TEMPORAL_TLS_CERT are both set: set one of them")
  }
  const temporal: TemporalSettings = {
    address,
    namespace: reader.text("TEMPORAL_NAMESPACE", "default"),
    taskQueue: reader.text("TEMPORAL_TASK_QUEUE", queues.k8sNative),
    apiKey: apiKey === undefined ? undefined : Redacted.make(apiKey),
    clientCertificate:
      certificate === undefined || key === undefined ? undefined : { certificate, key: Redacted.make(key) },
    authority: yield* file("TEMPORAL_TLS_CA"),
    payloadKeys: payloadKeysOf(reader)
  }

  reader.text("MCPDEPLOY_REGION", undefined)
  const regionText = yield* file("MCPDEPLOY_REGION")
  const region =
    regionText === undefined
      ? undefined
      : yield* decodeRegionFile(regionText).pipe(
          Effect.catch((error) =>
            Effect.sync(() => reader.wrong("MCPDEPLOY_REGION", `describes no region (${error.message})`))
          )
        )

  const prefix = reader.text("MCPDEPLOY_SECRET_PREFIX", "DEPLOY_SECRET_", /^[A-Za-z_][A-Za-z0-9_]*$/)
  const settings = {
    temporal,
    buildSecretKey: Redacted.make(reader.text("MCPDEPLOY_BUILD_SECRET_KEY", undefined, /^.{32,}$/s)),
    secretEnvironment: Object.fromEntries(
      Object.entries(environment).flatMap(([name, value]) =>
        value !== undefined && name.startsWith(prefix) ? [[name, value]] : []
      )
    ),
    secretFolders: reader
      .text("MCPDEPLOY_SECRET_FOLDERS", "", /^$|^\/[^:]+(?::\/[^:]+)*$/)
      .split(":")
      .filter((folder) => folder !== ""),
    cacheFolder: reader.text("MCPDEPLOY_CACHE", "/var/cache/mcpdeploy", /^\//),
    workflowBundle: reader.optional("MCPDEPLOY_WORKFLOW_BUNDLE"),
    http: {
      host: reader.text("MCPDEPLOY_HTTP_HOST", "0.0.0.0"),
      port: reader.integer("MCPDEPLOY_HTTP_PORT", 8080, 0, 65_535)
    },
    reconcileSeconds: reader.integer("MCPDEPLOY_RECONCILE_SECONDS", 300, 0, 86_400),
    reconcileUsers: usersOf(reader),
    shutdownSeconds: reader.integer("MCPDEPLOY_SHUTDOWN_SECONDS", 20, 1, 600),
    activitySlots: reader.integer("MCPDEPLOY_ACTIVITY_SLOTS", 1000, 1, 10_000)
  }
  if (settings.reconcileSeconds > 0 && settings.reconcileSeconds < 10) {
    reader.wrong("MCPDEPLOY_RECONCILE_SECONDS", "is not right")
  }
  const password = region?.registry.password
  if (password?.startsWith("env:") === true && environment[password.slice("env:".length)] === undefined) {
    reader.problems.push(
      `${password.slice("env:".length)} is not set: it is the password of ${internalRegistry}`
    )
  }

  const [first, ...others] = reader.problems
  if (first !== undefined) return yield* new SettingsInvalid({ problems: [first, ...others] })
  if (region === undefined) return yield* new SettingsInvalid({ problems: ["MCPDEPLOY_REGION is not set"] })
  return { ...settings, region } satisfies Settings
})
