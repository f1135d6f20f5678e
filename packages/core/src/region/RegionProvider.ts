/**
 * RegionProvider: how a vendor is plugged in. A package exports one as `regionProvider`; a region names the package, or a file, in
 * `region_providers`.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { YamlFileInvalid } from "../YamlFile.ts"
import type { Region } from "./Region.ts"
import { type RegionArea, type RegionPart, RegionProviderFailed } from "./RegionInfrastructure.ts"

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>

/** How a vendor is plugged into a region: what a module exports as `regionProvider`. */
export class RegionProvider {
  /** Under which the region's variables have its settings, and its changes are shown. */
  readonly name: string
  /** What of the ground it makes. What no provider of a region makes is for a person to do. */
  readonly areas: ReadonlyArray<RegionArea>
  /** Ansible roles that bring to the machines what it makes. */
  readonly roles: ReadonlyArray<string>
  /** Its part for a region, with secrets from the environment. Makes no request yet. */
  readonly part: (
    region: Region,
    env: Environment
  ) => Effect.Effect<RegionPart, RegionProviderFailed | YamlFileInvalid, Scope.Scope>

  constructor(provider: {
    readonly name: string
    readonly areas: ReadonlyArray<RegionArea>
    /** None when absent. */
    readonly roles?: ReadonlyArray<string>
    readonly part: RegionProvider["part"]
  }) {
    this.name = provider.name
    this.areas = provider.areas
    this.roles = provider.roles ?? []
    this.part = provider.part
  }
}

/** A secret of the environment. `needs` says in the error what it must be allowed to do. */
export const secretOf = (
  provider: string,
  env: Environment,
  variable: string,
  needs: string
): Effect.Effect<Redacted.Redacted, RegionProviderFailed> => {
  const value = env[variable]
  return value === undefined || value === ""
    ? Effect.fail(
        new RegionProviderFailed({
          provider,
          reason: "NoSecret",
          detail: `set ${variable} (${needs})`,
          retryable: false
        })
      )
    : Effect.succeed(Redacted.make(value))
}
