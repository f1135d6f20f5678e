/**
 * What of Hetzner's objects is read. Objects have more fields; those are not looked at. Read in the Cloud API's description
 * (https://docs.hetzner.cloud/cloud.spec.json, as kept by github.com/MaximilianKoestler/hcloud-openapi in 2026-02) and, for what came
 * later, in the types of github.com/hetznercloud/hcloud-go 2.47.0, hcloud/schema.
 */
import * as Schema from "effect/Schema"

export const Labels = Schema.Record(Schema.String, Schema.String)

export const Action = Schema.Struct({
  id: Schema.Int,
  status: Schema.Literals(["running", "success", "error"]),
  command: Schema.String,
  error: Schema.NullOr(Schema.Struct({ code: Schema.String, message: Schema.String }))
})
export type Action = typeof Action.Type

const common = { id: Schema.Int, name: Schema.String, labels: Labels }

export const Server = Schema.Struct({
  ...common,
  public_net: Schema.Struct({
    ipv4: Schema.NullOr(Schema.Struct({ ip: Schema.String })),
    ipv6: Schema.NullOr(Schema.Struct({ ip: Schema.String }))
  }),
  private_net: Schema.Array(Schema.Struct({ network: Schema.Int, ip: Schema.String })),
  server_type: Schema.Struct({ name: Schema.String })
})
export type Server = typeof Server.Type

/** After `unavailable_after` nothing can be made of it. */
const Deprecation = Schema.NullOr(
  Schema.Struct({ announced: Schema.String, unavailable_after: Schema.DateFromString })
)

/** What servers are made as. It is offered in the locations that it names, and orderable where it is `available` at the moment. */
export const ServerType = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  cores: Schema.Int,
  /** GB. */
  memory: Schema.Finite,
  /** `x86` or `arm`. */
  architecture: Schema.String,
  locations: Schema.Array(
    Schema.Struct({ name: Schema.String, available: Schema.Boolean, deprecation: Deprecation })
  )
})
export type ServerType = typeof ServerType.Type

/** It is offered where it has a price. */
export const LoadBalancerType = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  prices: Schema.Array(Schema.Struct({ location: Schema.String })),
  deprecation: Schema.optionalKey(Deprecation)
})
export type LoadBalancerType = typeof LoadBalancerType.Type

/** An image of Hetzner's own. */
export const Image = Schema.Struct({
  id: Schema.Int,
  name: Schema.NullOr(Schema.String),
  architecture: Schema.String,
  status: Schema.String
})
export type Image = typeof Image.Type

export const SshKey = Schema.Struct({ id: Schema.Int, name: Schema.String, public_key: Schema.String })
export type SshKey = typeof SshKey.Type

export const Subnet = Schema.Struct({
  type: Schema.String,
  ip_range: Schema.String,
  network_zone: Schema.String,
  vswitch_id: Schema.optionalKey(Schema.NullOr(Schema.Int))
})
export type Subnet = typeof Subnet.Type

export const Network = Schema.Struct({ ...common, ip_range: Schema.String, subnets: Schema.Array(Subnet) })
export type Network = typeof Network.Type

export const FirewallRule = Schema.Struct({
  direction: Schema.String,
  protocol: Schema.String,
  port: Schema.optionalKey(Schema.NullOr(Schema.String)),
  source_ips: Schema.Array(Schema.String),
  description: Schema.optionalKey(Schema.NullOr(Schema.String))
})
export type FirewallRule = typeof FirewallRule.Type

export const Firewall = Schema.Struct({
  ...common,
  rules: Schema.Array(FirewallRule),
  applied_to: Schema.Array(
    Schema.Struct({
      type: Schema.String,
      label_selector: Schema.optionalKey(Schema.NullOr(Schema.Struct({ selector: Schema.String })))
    })
  )
})
export type Firewall = typeof Firewall.Type

export const PlacementGroup = Schema.Struct({ ...common, type: Schema.String })
export type PlacementGroup = typeof PlacementGroup.Type

export const Target = Schema.Struct({
  type: Schema.String,
  server: Schema.optionalKey(Schema.NullOr(Schema.Struct({ id: Schema.Int }))),
  ip: Schema.optionalKey(Schema.NullOr(Schema.Struct({ ip: Schema.String }))),
  use_private_ip: Schema.optionalKey(Schema.Boolean)
})
export type Target = typeof Target.Type

export const LoadBalancerService = Schema.Struct({
  protocol: Schema.String,
  listen_port: Schema.Int,
  destination_port: Schema.Int,
  proxyprotocol: Schema.Boolean,
  health_check: Schema.Struct({
    protocol: Schema.String,
    port: Schema.Int,
    interval: Schema.Int,
    timeout: Schema.Int,
    retries: Schema.Int
  })
})
export type LoadBalancerService = typeof LoadBalancerService.Type

export const LoadBalancer = Schema.Struct({
  ...common,
  public_net: Schema.Struct({
    enabled: Schema.Boolean,
    ipv4: Schema.Struct({ ip: Schema.NullOr(Schema.String) }),
    ipv6: Schema.Struct({ ip: Schema.NullOr(Schema.String) })
  }),
  private_net: Schema.Array(Schema.Struct({ network: Schema.Int, ip: Schema.String })),
  load_balancer_type: Schema.Struct({ name: Schema.String }),
  location: Schema.Struct({ name: Schema.String }),
  services: Schema.Array(LoadBalancerService),
  targets: Schema.Array(Target)
})
export type LoadBalancer = typeof LoadBalancer.Type
