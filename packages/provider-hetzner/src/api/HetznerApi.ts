/** HetznerApi: the calls of Hetzner's Cloud API that a region needs. What begins an action returns when it has ended. */
import { mayCarrySecrets } from "@mcpdeploy/core/region/VendorHttp"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Agent } from "undici"
import { awaitActions, call, type Call, type ClientOptions, list } from "./HetznerClient.ts"
import { HetznerMalformed, type HetznerReason } from "./HetznerReason.ts"
import {
  Action,
  Firewall,
  Image,
  LoadBalancer,
  LoadBalancerType,
  Network,
  PlacementGroup,
  Server,
  ServerType,
  SshKey
} from "./Resources.ts"

export interface HetznerApiOptions {
  readonly token: Redacted.Redacted
  /** Another address than Hetzner's, for tests. Plain HTTP only on loopback. */
  readonly baseUrl?: string
  /** For one request; 30 when absent. */
  readonly timeoutSeconds?: number
  /** Further attempts after a failure that a retry can help; 6 when absent. */
  readonly retries?: number
  /** The first wait between attempts; 0.5 when absent. */
  readonly backoffSeconds?: number
  /** Between two looks at an action; 0.5 when absent. */
  readonly pollSeconds?: number
  /** How long an action may take; 300 when absent. */
  readonly actionSeconds?: number
}

/** Kinds of objects, as the API's paths name them. */
export type Kind = "servers" | "networks" | "firewalls" | "placement_groups" | "load_balancers" | "ssh_keys"

/** What of an answer begins actions: one, several, or none. */
const Begun = Schema.Struct({
  action: Schema.optionalKey(Schema.NullOr(Action)),
  actions: Schema.optionalKey(Schema.Array(Action)),
  next_actions: Schema.optionalKey(Schema.Array(Action))
})

type Get<A> = Effect.Effect<ReadonlyArray<A>, HetznerReason>

export class HetznerApi extends Context.Service<
  HetznerApi,
  {
    readonly servers: Get<Server>
    readonly networks: Get<Network>
    readonly firewalls: Get<Firewall>
    readonly placementGroups: Get<PlacementGroup>
    readonly loadBalancers: Get<LoadBalancer>
    readonly sshKeys: Get<SshKey>
    readonly serverTypes: Get<ServerType>
    readonly loadBalancerTypes: Get<LoadBalancerType>
    /** Hetzner's own; those that are deprecated are left out. */
    readonly images: Get<Image>
    /** `POST /{kind}`. */
    readonly create: (kind: Kind, fields: Schema.JsonObject) => Effect.Effect<void, HetznerReason>
    /** `POST /{kind}/{id}/actions/{action}`. */
    readonly act: (
      kind: Kind,
      id: number,
      action: string,
      fields: Schema.JsonObject
    ) => Effect.Effect<void, HetznerReason>
    /** Replaces all labels. */
    readonly label: (
      kind: Kind,
      id: number,
      labels: Readonly<Record<string, string>>
    ) => Effect.Effect<void, HetznerReason>
    readonly delete: (kind: Kind, id: number) => Effect.Effect<void, HetznerReason>
  }
>()("mcpdeploy/provider-hetzner/HetznerApi") {}

export const hetznerBaseUrl = "https://api.hetzner.cloud/v1"

export const layer = (options: HetznerApiOptions): Layer.Layer<HetznerApi, HetznerReason> =>
  Layer.effect(
    HetznerApi,
    Effect.gen(function* () {
      const { baseUrl = hetznerBaseUrl } = options
      if (!mayCarrySecrets(baseUrl))
        return yield* new HetznerMalformed({
          operation: "connect",
          detail: `${baseUrl} is no https URL, and the token is not sent in the clear`,
          retryable: false
        })
      const dispatcher = yield* Effect.acquireRelease(
        Effect.sync(() => new Agent()),
        (agent) => Effect.promise(() => agent.destroy())
      )
      const client: ClientOptions = {
        dispatcher,
        baseUrl,
        token: options.token,
        timeoutSeconds: options.timeoutSeconds ?? 30,
        retries: options.retries ?? 6,
        backoffSeconds: options.backoffSeconds ?? 0.5,
        pollSeconds: options.pollSeconds ?? 0.5,
        actionSeconds: options.actionSeconds ?? 300
      }
      const write = Effect.fn("Hetzner.write")(function* (request: Call) {
        const { action, actions = [], next_actions: next = [] } = yield* call(client, request, Begun)
        yield* awaitActions(client, [...(action == null ? [] : [action]), ...actions, ...next])
      })
      return HetznerApi.of({
        servers: list(client, "servers", Server),
        networks: list(client, "networks", Network),
        firewalls: list(client, "firewalls", Firewall),
        placementGroups: list(client, "placement_groups", PlacementGroup),
        loadBalancers: list(client, "load_balancers", LoadBalancer),
        sshKeys: list(client, "ssh_keys", SshKey),
        serverTypes: list(client, "server_types", ServerType),
        loadBalancerTypes: list(client, "load_balancer_types", LoadBalancerType),
        images: list(client, "images", Image, { type: "system" }),
        create: (kind, body) => write({ method: "POST", path: `/${kind}`, body }),
        act: (kind, id, action, body) =>
          write({ method: "POST", path: `/${kind}/${id}/actions/${action}`, body }),
        label: (kind, id, labels) => write({ method: "PUT", path: `/${kind}/${id}`, body: { labels } }),
        delete: (kind, id) =>
          write({ method: "DELETE", path: `/${kind}/${id}` }).pipe(
            Effect.catchTag("HetznerNotFound", () => Effect.void)
          )
      })
    })
  )
