/** What deployer-worker takes from its environment. Every mistake is named at once, in one line, and never a value. */
import { UserId } from "@mcpdeploy/core/domain/Identity"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { decodeRegionFile, type RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type Environment, Reader, SettingsInvalid } from "../settings/Environment.ts"
import {
  readTemporalSettings,
  type TemporalSettings,
  temporalVariables
} from "../settings/TemporalSettings.ts"

const variables = {
  ...temporalVariables,
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
/** deployer-worker's environment, decoded. */
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

const usersOf = (reader: Reader<Variable>): Settings["reconcileUsers"] => {
  const text = reader.optional("MCPDEPLOY_RECONCILE_USERS")
  if (text === undefined) return undefined
  const users = text.split(",").map((user) => user.trim())
  return users.every(Schema.is(UserId))
    ? new Set(users)
    : reader.wrong("MCPDEPLOY_RECONCILE_USERS", "is not right")
}

/** deployer-worker's settings, or all that is wrong with its environment at once. */
export const readSettings = Effect.fn("readSettings")(function* (environment: Environment) {
  const reader = new Reader(environment, variables)
  const temporal = yield* readTemporalSettings(reader)

  reader.text("MCPDEPLOY_REGION", undefined)
  const regionText = yield* reader.file("MCPDEPLOY_REGION")
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

  yield* reader.done
  if (region === undefined) return yield* new SettingsInvalid({ problems: ["MCPDEPLOY_REGION is not set"] })
  return { ...settings, region } satisfies Settings
})
