/** What deployer-server takes from its environment. Every mistake is named at once, in one line, and never a value. */
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { decodeRegionFile, type RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { type Environment, Reader, SettingsInvalid } from "@mcpdeploy/temporal-adapter/settings/Environment"
import {
  readTemporalSettings,
  type TemporalSettings,
  temporalVariables
} from "@mcpdeploy/temporal-adapter/settings/TemporalSettings"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { DeliveriesConfig } from "./Deliveries.ts"
import type { HttpConfig } from "./HttpServer.ts"

const variables = {
  ...temporalVariables,
  MCPDEPLOY_REGION: "path of the region file (JSON)",
  MCPDEPLOY_WEBHOOK_SECRETS:
    "absolute path of the folder with the webhooks' secrets (files gitea, github, github.{owner}.{repository})",
  MCPDEPLOY_GITHUB_URL: "where GitHub's repositories are, such as https://github.com",
  MCPDEPLOY_GITEA_URL:
    "where Gitea's repositories are cloned from, where that is not gitea.url of the region file",
  MCPDEPLOY_GITEA_TOKEN:
    "a secret's reference (env:NAME or file:/path) of a Gitea token that reads repositories",
  MCPDEPLOY_HTTP_HOST: "the address to listen on",
  MCPDEPLOY_HTTP_PORT: "the port to listen on (0: any free one)",
  MCPDEPLOY_BODY_LIMIT: "the largest body in bytes, 1000 to 100000000",
  MCPDEPLOY_BODY_SECONDS: "seconds that a request may take to arrive, 1 to 120",
  MCPDEPLOY_BUFFER_LIMIT: "bytes that all bodies together may take, not less than MCPDEPLOY_BODY_LIMIT",
  MCPDEPLOY_IN_FLIGHT: "deliveries that may wait for Temporal at once, 1 to 10000",
  MCPDEPLOY_SHUTDOWN_SECONDS: "seconds that a shutdown may take, 1 to 600"
} as const
type Variable = keyof typeof variables

export interface Settings {
  readonly temporal: TemporalSettings
  readonly region: RegionFile
  readonly secretsFolder: string
  readonly http: HttpConfig
  readonly deliveries: DeliveriesConfig
  /** Gitea's API, to tell forced pushes from others. */
  readonly gitea: { readonly url: string; readonly token: Redacted.Redacted } | undefined
  readonly shutdownSeconds: number
}

/** Answered within a second, of which some is the way there and back. */
const answerMs = 900

const isUrl = /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/
const isRef = Schema.is(SecretRef)

const regionOf = Effect.fnUntraced(function* (reader: Reader<Variable>) {
  reader.text("MCPDEPLOY_REGION", undefined)
  const text = yield* reader.file("MCPDEPLOY_REGION")
  if (text === undefined) return undefined
  return yield* decodeRegionFile(text).pipe(
    Effect.catch((error) =>
      Effect.sync(() => reader.wrong("MCPDEPLOY_REGION", `describes no region (${error.message})`))
    )
  )
})

/** The token is read at once: a wrong reference is to be known at start, not with the first push. */
const tokenOf = Effect.fnUntraced(function* (reader: Reader<Variable>, environment: Environment) {
  const ref = reader.optional("MCPDEPLOY_GITEA_TOKEN")
  if (ref === undefined) return undefined
  if (!isRef(ref)) return reader.wrong("MCPDEPLOY_GITEA_TOKEN", "is not right")
  return yield* SecretStore.use((secrets) => secrets.resolve(ref)).pipe(
    Effect.provide(SecretStore.layer(environment)),
    Effect.catch((error) => Effect.sync(() => reader.wrong("MCPDEPLOY_GITEA_TOKEN", `(${error.message})`)))
  )
})

export const readSettings = Effect.fn("readSettings")(function* (environment: Environment) {
  const reader = new Reader(environment, variables)
  const temporal = yield* readTemporalSettings(reader)
  const region = yield* regionOf(reader)
  const token = yield* tokenOf(reader, environment)
  const api = region?.gitea?.url
  if (token !== undefined && api === undefined) {
    reader.problems.push(
      "MCPDEPLOY_GITEA_TOKEN is set, but the region file names no gitea: add gitea.url, or unset it"
    )
  }
  const gitea = reader.text("MCPDEPLOY_GITEA_URL", api ?? "http://gitea.invalid", isUrl)
  const http = {
    host: reader.text("MCPDEPLOY_HTTP_HOST", "0.0.0.0"),
    port: reader.integer("MCPDEPLOY_HTTP_PORT", 8080, 0, 65_535),
    bodyLimitBytes: reader.integer("MCPDEPLOY_BODY_LIMIT", 25_000_000, 1000, 100_000_000),
    bufferBytes: reader.integer("MCPDEPLOY_BUFFER_LIMIT", 100_000_000, 1000, 10_000_000_000),
    bodySeconds: reader.integer("MCPDEPLOY_BODY_SECONDS", 10, 1, 120),
    answerMs
  }
  if (http.bufferBytes < http.bodyLimitBytes) reader.wrong("MCPDEPLOY_BUFFER_LIMIT", "is too small")
  const settings = {
    temporal,
    secretsFolder: reader.text("MCPDEPLOY_WEBHOOK_SECRETS", undefined, /^\//),
    http,
    deliveries: {
      urls: {
        github: [reader.text("MCPDEPLOY_GITHUB_URL", "https://github.com", isUrl)],
        gitea: [...new Set([gitea, ...(api === undefined ? [] : [api])])]
      },
      maxInFlight: reader.integer("MCPDEPLOY_IN_FLIGHT", 512, 1, 10_000)
    },
    gitea: token === undefined || api === undefined ? undefined : { url: api, token },
    shutdownSeconds: reader.integer("MCPDEPLOY_SHUTDOWN_SECONDS", 20, 1, 600)
  }
  yield* reader.done
  if (region === undefined) return yield* new SettingsInvalid({ problems: ["MCPDEPLOY_REGION is not set"] })
  return { ...settings, region } satisfies Settings
})
