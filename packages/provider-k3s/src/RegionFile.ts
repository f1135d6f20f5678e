/** RegionFile: the file (JSON) that describes a region to a process. `K3sRegion.regionOf` makes the layer of it. */
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import * as Schema from "effect/Schema"
import { DomainsConfig } from "./domains/DomainsConfig.ts"

/** Paths are absolute or relative to the working directory. */
export const RegionFile = Schema.Struct({
  /** See `RegionConfig`. */
  cluster: Schema.Struct({
    kubeconfig: Schema.optionalKey(Schema.String),
    context: Schema.optionalKey(Schema.String),
    platformDomain: PlatformDomain,
    ingressEndpoint: Schema.optionalKey(Schema.String),
    domains: Schema.optionalKey(DomainsConfig)
  }),
  buildkit: Schema.Struct({
    address: Schema.String,
    /** PEM files, for `tcp://` with TLS. */
    tls: Schema.optionalKey(
      Schema.Struct({
        ca: Schema.String,
        certificate: Schema.optionalKey(Schema.String),
        key: Schema.optionalKey(Schema.String)
      })
    ),
    /** Builds at once of one process; 4 when absent. Processes that share a build pool share it out between them. */
    concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0)))
  }),
  registry: Schema.Struct({
    endpoint: Schema.String,
    username: Schema.optionalKey(Schema.String),
    password: Schema.optionalKey(SecretRef)
  }),
  /** Where mirrors are kept; see `@mcpdeploy/provider-gitea`. */
  gitea: Schema.optionalKey(
    Schema.Struct({
      url: Schema.String,
      /** An API token of an administrator. */
      token: SecretRef,
      /** deployer-server's `/webhooks/gitea`, as Gitea reaches it. */
      webhookUrl: Schema.String,
      /** The secrets of all mirrors' webhooks are derived from it. */
      webhookSecret: SecretRef
    })
  ),
  git: Schema.optionalKey(
    Schema.Struct({
      allowFile: Schema.optionalKey(Schema.Boolean),
      /** Hosts (`git.internal`, `127.0.0.1:3000`) that may be at an address which is not public, such as the region's Gitea. */
      privateHosts: Schema.optionalKey(Schema.Array(Schema.String)),
      /** PEM file with the authority that vouches for those hosts. Node itself is told of it by `NODE_EXTRA_CA_CERTS`. */
      privateCaFile: Schema.optionalKey(Schema.String)
    })
  )
})
export type RegionFile = typeof RegionFile.Type

/** Decodes the file's text. The error names every field that is wrong; a field that does not exist is an error too. */
export const decodeRegionFile = Schema.decodeUnknownEffect(Schema.fromJsonString(RegionFile), {
  errors: "all",
  onExcessProperty: "error"
})
