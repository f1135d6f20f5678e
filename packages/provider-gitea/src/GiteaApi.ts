/** GiteaApi: the part of Gitea's API (v1, 1.26) that mirrors need. Every answer is decoded; the token is in no message. */
import { MirrorRefused, MirrorUnavailable } from "@mcpdeploy/core/GitMirror"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Agent, request as requestOver } from "undici"

/** A repository, as far as mirrors need it. */
export const Repository = Schema.Struct({
  full_name: Schema.String,
  clone_url: Schema.String,
  /** Where a mirror or a migrated repository comes from. */
  original_url: Schema.String,
  mirror: Schema.Boolean,
  mirror_interval: Schema.String,
  mirror_updated: Schema.optionalKey(Schema.String),
  private: Schema.Boolean
})
export type Repository = typeof Repository.Type

/** A webhook of a repository. */
export const Hook = Schema.Struct({
  id: Schema.Int,
  active: Schema.Boolean,
  branch_filter: Schema.optionalKey(Schema.String),
  events: Schema.Array(Schema.String),
  config: Schema.Record(Schema.String, Schema.String)
})
export type Hook = typeof Hook.Type

/** Why Gitea did not do what it was asked for. */
export type Failure = MirrorRefused | MirrorUnavailable

/** An answer, whatever its status. */
export interface Answer {
  readonly status: number
  readonly body: string
}

type Method = "GET" | "POST" | "PATCH" | "DELETE"

/** Gitea's largest page. */
const pageSize = 50
/** A first mirror is a whole clone, and Gitea answers after it. */
const migrateTimeout = 15 * 60_000
const answerTimeout = 30_000

const decodeProblem = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ message: Schema.String }))
)

/** What Gitea says, on one line and not for ever. */
const problemOf = ({ body, status }: Answer): string =>
  `${status} ${Option.match(decodeProblem(body), { onNone: () => body, onSome: ({ message }) => message })}`
    .replaceAll(/\s+/g, " ")
    .slice(0, 500)

/** The failure that an unexpected answer is. */
export const failureOf = (what: string, answer: Answer): MirrorRefused | MirrorUnavailable => {
  const detail = `Gitea, ${what}: ${problemOf(answer)}`
  if (answer.status === 401) {
    return new MirrorRefused({
      detail: `${detail} (its token is not accepted: renew what \`gitea.token\` names)`
    })
  }
  return answer.status === 429 || answer.status >= 500
    ? new MirrorUnavailable({ detail })
    : new MirrorRefused({ detail })
}

/** Requests below `url`. */
export const make = Effect.fnUntraced(function* (
  url: string,
  token: Redacted.Redacted
): Effect.fn.Return<GiteaApi, never, Scope.Scope> {
  const agent = yield* Effect.acquireRelease(
    Effect.sync(() => new Agent({ allowH2: false, connect: { timeout: 5_000 } })),
    (agent) => Effect.promise(() => agent.destroy())
  )
  const base = `${url.replace(/\/+$/, "")}/api/v1`
  const call = (method: Method, path: string, body?: Schema.Json, timeout = answerTimeout) =>
    Effect.tryPromise({
      try: async (signal): Promise<Answer> => {
        const answer = await requestOver(`${base}${path}`, {
          dispatcher: agent,
          method,
          signal,
          headersTimeout: timeout,
          bodyTimeout: answerTimeout,
          headers: {
            accept: "application/json",
            authorization: `token ${Redacted.value(token)}`,
            ...(body === undefined ? {} : { "content-type": "application/json" })
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        return { status: answer.statusCode, body: await answer.body.text() }
      },
      catch: (cause) =>
        new MirrorUnavailable({
          detail: `Gitea at ${url} does not answer: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`
        })
    })
  return { call }
})

/** Requests to one Gitea, as one of its users. */
export interface GiteaApi {
  readonly call: (
    method: Method,
    path: string,
    body?: Schema.Json,
    timeout?: number
  ) => Effect.Effect<Answer, MirrorUnavailable>
}

/** `undefined` where it does not exist. */
const found = <A>(
  what: string,
  answer: Answer,
  decode: (body: string) => Effect.Effect<A, Schema.SchemaError>
): Effect.Effect<A | undefined, MirrorRefused | MirrorUnavailable> => {
  if (answer.status === 404) return Effect.undefined
  if (answer.status >= 300) return Effect.fail(failureOf(what, answer))
  return decode(answer.body).pipe(
    Effect.mapError(
      (error) => new MirrorRefused({ detail: `Gitea, ${what}: an answer of another shape: ${error.message}` })
    )
  )
}

const decodeRepository = Schema.decodeEffect(Schema.fromJsonString(Repository))
const decodeHooks = Schema.decodeEffect(Schema.fromJsonString(Schema.Array(Hook)))

/** A repository by `owner/name`; undefined where there is none. */
export const repository = (api: GiteaApi, name: string) =>
  Effect.flatMap(api.call("GET", `/repos/${name}`), (answer) => found(name, answer, decodeRepository))

/** All webhooks of a repository, page by page. */
export const hooks = Effect.fnUntraced(function* (api: GiteaApi, name: string) {
  const all: Array<Hook> = []
  for (let page = 1; ; page++) {
    const answer = yield* api.call("GET", `/repos/${name}/hooks?page=${page}&limit=${pageSize}`)
    const some = (yield* found(`webhooks of ${name}`, answer, decodeHooks)) ?? []
    all.push(...some)
    if (some.length < pageSize) return all
  }
})

/** Sends; fails unless the answer is a success or one of `also`. */
export const send = Effect.fnUntraced(function* (
  api: GiteaApi,
  what: string,
  method: Method,
  path: string,
  options: {
    readonly body?: Schema.Json
    readonly also?: ReadonlyArray<number>
    readonly slow?: boolean
  } = {}
) {
  const answer = yield* api.call(
    method,
    path,
    options.body,
    options.slow === true ? migrateTimeout : answerTimeout
  )
  if (answer.status >= 300 && options.also?.includes(answer.status) !== true)
    return yield* failureOf(what, answer)
  return answer.status
})
