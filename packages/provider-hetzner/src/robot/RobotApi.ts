/**
 * RobotApi: what a region needs of Hetzner's webservice for dedicated servers. https://robot.hetzner.com/doc/webservice/en.html
 * Requests are forms, answers JSON; a login that is wrong is never tried again.
 */
import { mayCarrySecrets, type Retries, sendOnce, withRetries } from "@mcpdeploy/core/region/VendorHttp"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Agent } from "undici"
import { HetznerMalformed, type HetznerReason, HetznerUnavailable, wasNotDone } from "../api/HetznerReason.ts"
import { reasonOf } from "./RobotFailure.ts"

const Status = Schema.Literals(["ready", "in process", "failed"])

/** A dedicated server of the account. */
export const RobotServer = Schema.Struct({
  server_number: Schema.Int,
  server_name: Schema.NullOr(Schema.String),
  /** Its main IPv4 address; null where it has none. */
  server_ip: Schema.NullOr(Schema.String),
  cancelled: Schema.Boolean
})
export type RobotServer = typeof RobotServer.Type

/** A vSwitch in the account's list. */
export const VSwitchEntry = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  vlan: Schema.Int,
  cancelled: Schema.Boolean
})
export type VSwitchEntry = typeof VSwitchEntry.Type

/** A vSwitch, and the servers that it joins. */
export const VSwitch = Schema.Struct({
  ...VSwitchEntry.fields,
  server: Schema.Array(Schema.Struct({ server_number: Schema.Int, status: Status }))
})
export type VSwitch = typeof VSwitch.Type

const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
/** A rule of the stateless firewall at the switch port. What is null or absent matches everything. */
export const RobotRule = Schema.Struct({
  name: Text,
  ip_version: Text,
  src_ip: Text,
  dst_ip: Text,
  src_port: Text,
  dst_port: Text,
  protocol: Text,
  tcp_flags: Text,
  action: Schema.Literals(["accept", "discard"])
})
export type RobotRule = typeof RobotRule.Type

/** The firewall at a server's switch port. */
export const RobotFirewall = Schema.Struct({
  server_number: Schema.Int,
  status: Schema.Literals(["active", "disabled", "in process"]),
  filter_ipv6: Schema.optionalKey(Schema.Boolean),
  whitelist_hos: Schema.Boolean,
  port: Schema.optionalKey(Schema.String),
  rules: Schema.Struct({
    input: Schema.Array(RobotRule),
    output: Schema.optionalKey(Schema.Array(RobotRule))
  })
})
export type RobotFirewall = typeof RobotFirewall.Type

/** What a firewall is set to. */
export interface FirewallRules {
  readonly input: ReadonlyArray<RobotRule>
  readonly output: ReadonlyArray<RobotRule>
}

/** The login, and how patiently Robot is asked. */
export interface RobotApiOptions {
  /** Of the web service, not of the account. */
  readonly user: Redacted.Redacted
  readonly password: Redacted.Redacted
  /** Another address than Hetzner's, for tests. */
  readonly baseUrl?: string
  /** For one request, its answer's body included; 30 when absent. */
  readonly timeoutSeconds?: number
  /** Further attempts after a failure that a retry can help; 6 when absent. */
  readonly retries?: number
  /** The first wait between attempts; it doubles each time. 2 when absent. */
  readonly backoffSeconds?: number
}

/** The part of Robot's web service that a region needs. */
export class RobotApi extends Context.Service<
  RobotApi,
  {
    /** Of the whole account. */
    readonly servers: Effect.Effect<ReadonlyArray<RobotServer>, HetznerReason>
    /** Of the whole account, without their servers. */
    readonly vswitches: Effect.Effect<ReadonlyArray<VSwitchEntry>, HetznerReason>
    readonly vswitch: (id: number) => Effect.Effect<VSwitch, HetznerReason>
    readonly createVSwitch: (fields: {
      readonly name: string
      readonly vlan: number
    }) => Effect.Effect<void, HetznerReason>
    /** At once. It must have no servers. */
    readonly cancelVSwitch: (id: number) => Effect.Effect<void, HetznerReason>
    readonly addServers: (id: number, numbers: ReadonlyArray<number>) => Effect.Effect<void, HetznerReason>
    readonly removeServers: (id: number, numbers: ReadonlyArray<number>) => Effect.Effect<void, HetznerReason>
    readonly firewall: (server: number) => Effect.Effect<RobotFirewall, HetznerReason>
    /** Replaces all rules of a server, for IPv4. Robot then applies them, which takes it up to a minute. */
    readonly setFirewall: (server: number, rules: FirewallRules) => Effect.Effect<void, HetznerReason>
  }
>()("mcpdeploy/provider-hetzner/RobotApi") {}

/** Where Hetzner's web service is. */
export const robotBaseUrl = "https://robot-ws.your-server.de"

/** As much as an interval of one hour must not make it wait. */
const longestWaitSeconds = 120

interface RobotCall {
  readonly method: "GET" | "POST" | "DELETE"
  readonly path: string
  readonly form?: ReadonlyArray<readonly [string, string]>
}

const ruleFields = (list: "input" | "output", rules: ReadonlyArray<RobotRule>) =>
  rules.flatMap((rule, index) =>
    Object.entries(rule).flatMap(([field, value]) =>
      value == null ? [] : [[`rules[${list}][${index}][${field}]`, value] as const]
    )
  )

/** A request that may have been carried out is not sent again where a second one would do more: who sends it looks first. */
const mayRepeat = (method: RobotCall["method"], reason: HetznerReason): boolean =>
  method === "GET" ? reason.retryable : wasNotDone(reason)

/** {@link RobotApi} over HTTP. */
export const layer = (options: RobotApiOptions): Layer.Layer<RobotApi, HetznerReason> =>
  Layer.effect(
    RobotApi,
    Effect.gen(function* () {
      const { backoffSeconds = 2, baseUrl = robotBaseUrl, retries = 6, timeoutSeconds = 30 } = options
      if (!mayCarrySecrets(baseUrl))
        return yield* new HetznerMalformed({
          operation: "connect",
          detail: `${baseUrl} is no https URL, and the password is not sent in the clear`,
          retryable: false
        })
      const dispatcher = yield* Effect.acquireRelease(
        Effect.sync(() => new Agent()),
        (agent) => Effect.promise(() => agent.destroy())
      )
      const password = Redacted.value(options.password)
      const login = Buffer.from(`${Redacted.value(options.user)}:${password}`).toString("base64")

      const once = Effect.fnUntraced(function* <A, I>(
        { form, method, path }: RobotCall,
        schema: Schema.Codec<A, I>
      ): Effect.fn.Return<A, HetznerReason> {
        const operation = `${method} ${path}`
        const malformed = (retryable: boolean) => (error: { readonly message: string }) =>
          new HetznerMalformed({
            operation,
            detail: error.message.replaceAll(/\s+/g, " ").slice(0, 300),
            retryable
          })
        const answer = yield* sendOnce(
          { dispatcher, timeoutSeconds, secrets: [password, login] },
          {
            method,
            url: new URL(`${baseUrl}${path}`),
            headers: {
              accept: "application/json",
              authorization: `Basic ${login}`,
              "user-agent": "mcpdeploy-provider-hetzner",
              ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" })
            },
            ...(form === undefined
              ? {}
              : {
                  body: new URLSearchParams(
                    form.map(([name, value]): [string, string] => [name, value])
                  ).toString()
                })
          }
        ).pipe(
          Effect.mapError(({ detail, maybeDone }) => new HetznerUnavailable({ operation, detail, maybeDone }))
        )
        if (answer.status < 200 || answer.status >= 300) return yield* reasonOf(operation, answer)
        // A write may be answered with nothing.
        const json =
          method !== "GET" && answer.body.trim() === ""
            ? {}
            : yield* Schema.decodeEffect(Schema.fromJsonString(Schema.Json))(answer.body).pipe(
                Effect.mapError(malformed(true))
              )
        return yield* Schema.decodeUnknownEffect(schema)(json).pipe(Effect.mapError(malformed(false)))
      })
      const call = <A, I>(request: RobotCall, schema: Schema.Codec<A, I>): Effect.Effect<A, HetznerReason> =>
        withRetries(once(request, schema), {
          times: retries,
          backoffSeconds,
          longestWaitSeconds,
          mayRepeat: (reason) => mayRepeat(request.method, reason),
          askedSeconds: (reason) => (reason._tag === "HetznerThrottled" ? (reason.retryAfterSeconds ?? 1) : 0)
        } satisfies Retries<HetznerReason>)
      const write = (request: RobotCall) => Effect.asVoid(call(request, Schema.Json))
      const numbered = (numbers: ReadonlyArray<number>) =>
        numbers.map((number) => ["server[]", String(number)] as const)

      return RobotApi.of({
        servers: call(
          { method: "GET", path: "/server" },
          Schema.Array(Schema.Struct({ server: RobotServer }))
        ).pipe(
          Effect.map((found) => found.map(({ server }) => server)),
          // Of an account without a server.
          Effect.catchTag("HetznerNotFound", () => Effect.succeed([]))
        ),
        vswitches: call({ method: "GET", path: "/vswitch" }, Schema.Array(VSwitchEntry)),
        vswitch: (id) => call({ method: "GET", path: `/vswitch/${id}` }, VSwitch),
        createVSwitch: ({ name, vlan }) =>
          write({
            method: "POST",
            path: "/vswitch",
            form: [
              ["vlan", String(vlan)],
              ["name", name]
            ]
          }),
        cancelVSwitch: (id) =>
          write({ method: "DELETE", path: `/vswitch/${id}`, form: [["cancellation_date", "now"]] }),
        addServers: (id, numbers) =>
          write({ method: "POST", path: `/vswitch/${id}/server`, form: numbered(numbers) }),
        removeServers: (id, numbers) =>
          write({ method: "DELETE", path: `/vswitch/${id}/server`, form: numbered(numbers) }),
        firewall: (server) =>
          call(
            { method: "GET", path: `/firewall/${server}` },
            Schema.Struct({ firewall: RobotFirewall })
          ).pipe(Effect.map(({ firewall }) => firewall)),
        setFirewall: (server, { input, output }) =>
          write({
            method: "POST",
            path: `/firewall/${server}`,
            form: [
              ["status", "active"],
              ["filter_ipv6", "false"],
              ["whitelist_hos", "true"],
              ...ruleFields("input", input),
              ...ruleFields("output", output)
            ]
          })
      })
    })
  )
