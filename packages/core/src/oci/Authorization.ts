/** Basic and bearer authorization, as registries ask for it (RFC 7617; distribution's "Token authentication"). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Answer } from "./Exchange.ts"
import { MalformedAnswer, type RegistryReason, RegistryUnauthorized } from "./RegistryReason.ts"
import { reasonOf } from "./RegistryFailure.ts"

export interface RegistryCredentials {
  readonly username: string
  readonly password: Redacted.Redacted
}

export type Action = "pull" | "push" | "delete" | "*"

/** What a token is to allow. */
export interface TokenScope {
  readonly repository: string
  readonly actions: ReadonlyArray<Action>
}

export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

/** Reads `WWW-Authenticate` (RFC 9110, 11.6.1): several challenges, each with parameters, in one header. */
export const parseChallenges = (header: string): ReadonlyArray<Challenge> => {
  const challenges: Array<{ scheme: string; parameters: Record<string, string> }> = []
  const token = /[\s,]*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/y
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name = "", quoted, plain] = match
    const value = quoted?.replace(/\\(.)/g, "$1") ?? plain
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} })
    else Object.assign(challenges.at(-1)?.parameters ?? {}, { [name.toLowerCase()]: value })
  }
  return challenges
}

const TokenAnswer = Schema.fromJsonString(
  Schema.Struct({
    token: Schema.optionalKey(Schema.String),
    access_token: Schema.optionalKey(Schema.String),
    /** Seconds; 60 when absent. */
    expires_in: Schema.optionalKey(Schema.Finite)
  })
)

/** A token that expires in less than this is not used any more. */
const marginMillis = 5_000
const defaultLifetimeSeconds = 60

const basic = ({ username, password }: RegistryCredentials): string =>
  `Basic ${Buffer.from(`${username}:${Redacted.value(password)}`).toString("base64")}`

export interface BearerTokens {
  /** The `Authorization` header that served last time, while it is valid. */
  readonly known: (scope: TokenScope) => Effect.Effect<string | undefined>
  /** The `Authorization` header that a registry's challenges ask for; undefined when there is nothing to answer with. */
  readonly obtain: (
    scope: TokenScope,
    challenges: ReadonlyArray<Challenge>
  ) => Effect.Effect<string | undefined, RegistryReason>
}

export const makeTokens = (options: {
  readonly endpoint: URL
  readonly credentials: RegistryCredentials | undefined
  readonly get: (url: URL, headers: Readonly<Record<string, string>>) => Effect.Effect<Answer, RegistryReason>
}): BearerTokens => {
  const { endpoint, credentials } = options
  const headers = new Map<string, { readonly value: Redacted.Redacted; readonly expiresAt: number }>()
  const keyOf = ({ repository, actions }: TokenScope) => `${repository}:${actions.join(",")}`

  const malformed = (detail: string) => new MalformedAnswer({ endpoint: endpoint.origin, detail })

  const bearer = Effect.fnUntraced(function* (scope: TokenScope, { parameters }: Challenge) {
    const { realm = "", service, scope: asked } = parameters
    if (!URL.canParse(realm)) return yield* malformed("its token server (realm) is no URL")
    const url = new URL(realm)
    if (url.protocol !== "https:" && !(url.protocol === "http:" && endpoint.protocol === "http:"))
      return yield* malformed(`its token server ${url.origin} is not asked: credentials go by https only`)
    if (service !== undefined) url.searchParams.set("service", service)
    url.searchParams.set("scope", asked ?? `repository:${keyOf(scope)}`)
    const answer = yield* options.get(
      url,
      credentials === undefined ? {} : { authorization: basic(credentials) }
    )
    if (answer.status === 401 || answer.status === 403)
      return yield* new RegistryUnauthorized({
        endpoint: url.origin,
        withCredentials: credentials !== undefined
      })
    if (answer.status !== 200) return yield* reasonOf(url.origin, answer)
    const decoded = yield* Schema.decodeEffect(TokenAnswer)(answer.body.toString("utf8")).pipe(
      Effect.mapError(() => malformed(`its token server ${url.origin} does not answer with a token`))
    )
    const token = decoded.token ?? decoded.access_token
    if (token === undefined || !/^[\x21-\x7e]+$/.test(token))
      return yield* malformed(`its token server ${url.origin} does not answer with a token`)
    return { value: `Bearer ${token}`, lifetime: decoded.expires_in ?? defaultLifetimeSeconds }
  })

  return {
    known: (scope) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const header = headers.get(keyOf(scope))
        return header !== undefined && header.expiresAt > now ? Redacted.value(header.value) : undefined
      }),
    obtain: Effect.fnUntraced(function* (scope, challenges) {
      headers.delete(keyOf(scope))
      const challenge = challenges.find(({ scheme }) => scheme === "bearer" || scheme === "basic")
      if (challenge === undefined) return undefined
      if (challenge.scheme === "basic" && credentials === undefined) return undefined
      const { value, lifetime } =
        challenge.scheme === "basic" && credentials !== undefined
          ? { value: basic(credentials), lifetime: Infinity }
          : yield* bearer(scope, challenge)
      const now = yield* Clock.currentTimeMillis
      headers.set(keyOf(scope), {
        value: Redacted.make(value),
        expiresAt: now + lifetime * 1000 - marginMillis
      })
      return value
    })
  }
}
