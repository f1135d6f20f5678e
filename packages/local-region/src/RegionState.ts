/** What a region's folder says about it: `region.json`, written when it is up, and the settings it was started with. */
import * as Schema from "effect/Schema"

const Port = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })))

/** Where a region is reached from this machine. */
export const RegionEndpoints = Schema.Struct({
  /** The folder that holds everything of this region. */
  dataFolder: Schema.String,
  /** Path of a kubeconfig with all rights. */
  kubeconfig: Schema.String,
  buildkit: Schema.Struct({
    /** `unix://…`, or whatever was given. */
    address: Schema.String
  }),
  registry: Schema.Struct({
    /** The name that images carry, and that BuildKit and the cluster know it by. */
    name: Schema.String,
    /** The same registry, from this machine: `http://127.0.0.1:PORT`. */
    endpoint: Schema.String
  }),
  ingress: Schema.Struct({
    http: Schema.String,
    https: Schema.String,
    className: Schema.String
  }),
  /** A Temporal dev server with the namespace `default`, where the region has it. */
  temporal: Schema.optionalKey(
    Schema.Struct({
      /** `127.0.0.1:PORT`, gRPC. */
      address: Schema.String
    })
  ),
  /** Gitea, where the region has it. */
  gitea: Schema.optionalKey(
    Schema.Struct({
      /** `http://127.0.0.1:PORT`, for its API and for Git. */
      url: Schema.String,
      /** Path of a file that holds an API token of its administrator; only its owner may read it. */
      tokenFile: Schema.String,
      /** Path of a file that holds the secret that the secrets of webhooks are derived from. */
      webhookSecretFile: Schema.String
    })
  ),
  /** Certificates from a local authority, where the region has it. */
  acme: Schema.optionalKey(
    Schema.Struct({
      /** The name server that stands for the public DNS, from this machine: `127.0.0.1:PORT` over UDP. */
      nameServer: Schema.String,
      /** Folder of its zone files, named `db.<zone>`. */
      zones: Schema.String,
      /** Path of the root certificate that signs, PEM. */
      root: Schema.String,
      issuer: Schema.String,
      cnameTarget: Schema.String,
      loadBalancer: Schema.String
    })
  ),
  /** Process id of the bundle's init as this machine sees it; 0 where the region is not ours. */
  pid: Schema.Int
})
export type RegionEndpoints = typeof RegionEndpoints.Type

/** Loopback ports of this machine; kept from one start to the next, as long as they are free. */
export const HostPorts = Schema.Struct({
  api: Port,
  registry: Port,
  http: Port,
  https: Port,
  dns: Schema.optionalKey(Port),
  temporal: Schema.optionalKey(Port),
  gitea: Schema.optionalKey(Port)
})
export type HostPorts = typeof HostPorts.Type

/** Parts that a region has only when asked for. */
export const OptionalPart = Schema.Literals(["temporal", "gitea", "acme"])
export type OptionalPart = typeof OptionalPart.Type
/** The parts that a region has only when asked for. */
export const optionalParts = OptionalPart.literals

/** Which servers are the bundle's own; the others exist elsewhere. */
export const Parts = Schema.Struct({
  buildkit: Schema.Boolean,
  registry: Schema.Boolean,
  cluster: Schema.Boolean,
  temporal: Schema.optionalKey(Schema.Boolean),
  gitea: Schema.optionalKey(Schema.Boolean),
  /** cert-manager, an ACME authority, and a name server that stands for the public DNS. */
  acme: Schema.optionalKey(Schema.Boolean)
})
export type Parts = typeof Parts.Type

/** What the supervisor inside the bundle is told. Paths are the same inside and outside. */
export const BundleSettings = Schema.Struct({
  dataFolder: Schema.String,
  parts: Parts,
  ports: HostPorts,
  /** The machine's own addresses, which nothing untrusted may reach. */
  machineAddresses: Schema.Array(Schema.String),
  /** One folder of each hierarchy, which everything of this region is under. */
  cgroup: Schema.String,
  /** Folder that holds a tool's programs, by the tool's name; it may appear later, while it is built. */
  tools: Schema.Record(Schema.String, Schema.String)
})
export type BundleSettings = typeof BundleSettings.Type

/** The text of `region.json`. */
export const RegionFile = Schema.fromJsonString(RegionEndpoints)
/** The text of `settings.json`. */
export const SettingsFile = Schema.fromJsonString(BundleSettings)
