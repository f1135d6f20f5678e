/** The request that a build becomes. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import { createHash, randomBytes } from "node:crypto"
import { BuildArgReserved } from "../BuildFailure.ts"
import type { BuildRequest } from "../ImageBuilder.ts"
import type { SolveRequestSchema } from "./gen/buildkit_pb.ts"

/**
 * Names what of the daemon belongs to one service: its cache mounts, its transferred files, its finished builds. The image's
 * name alone does not: a namespace that was deleted can be made again by another customer (`a-b`+`c`, `a`+`b-c`).
 */
export const scopeOf = ({ image, tenant }: Pick<BuildRequest, "image" | "tenant">): string =>
  `${tenant}/${image.name}`

/** Begins the refs of all attempts at one build: the same for the same service and key, and for no other. */
export const refPrefix = (request: Pick<BuildRequest, "buildKey" | "image" | "tenant">): string =>
  createHash("sha256")
    .update(`${scopeOf(request)}\0${request.buildKey}`)
    .digest("hex")
    .slice(0, 40)

/** A ref is used once: the daemon refuses a second build under it while it remembers the first. */
export const newRef = (prefix: string): string => `${prefix}.${randomBytes(6).toString("hex")}`

const cacheTag = "buildcache"

/**
 * Layers are compressed by zstd (OCI image-spec 1.1, `application/vnd.oci.image.layer.v1.tar+zstd`): of 135 MB of packages
 * that takes 0.5 s, gzip 2.7 s, and nodes unpack it faster. Layers that come from elsewhere stay as they are.
 */
const compression = { compression: "zstd" }

const escapeRegex = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** Loopback, link-local with clouds' metadata, private and shared ranges as literals; names without a dot or for the cluster. */
const platformAddresses = [
  "localhost",
  "[^.:/?#@\\[]+",
  "[^:/?#@\\[]+[.](internal|local|localhost)",
  "0*(0|10|127)([.][0-9]+){0,3}",
  "0*100[.]0*(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])([.][0-9]+){1,2}",
  "0*169[.]0*254([.][0-9]+){1,2}",
  "0*172[.]0*(1[6-9]|2[0-9]|3[01])([.][0-9]+){1,2}",
  "0*192[.]0*168([.][0-9]+){1,2}",
  "\\[[^\\]]*\\]"
].join("|")

/** sourcepolicy.PolicyAction and MatchType. */
const allow = 0
const deny = 1
const regex = 2

/**
 * The daemon keeps one cache for all. What a RUN step makes is found there by its command, its environment and its files,
 * but not by its secrets: a stranger who repeats the step would get what a secret fetched. The names that a step's /etc/hosts
 * has are part of what it is found by. (So is the step's own host name, but a step with one of its own gets none of the
 * networks that the daemon keeps ready, and waits some 40 ms for a new one.)
 */
const tenantHost = (tenant: string): string =>
  `${createHash("sha256").update(tenant).digest("hex").slice(0, 12)}.tenant.invalid`

/**
 * One registry holds every tenant's images, and the daemon may read them all: a Dockerfile may only name those of its own
 * namespace. Git repositories are refused: the daemon serves a commit that it has to everybody, without credentials, from
 * any URL. An `ADD https://…` is refused where its text shows that it leads to the platform; a name or a redirection can
 * hide that, so the daemon's own network must not lead there either (README, "Fencing the daemon").
 */
const sourcePolicy = (image: BuildRequest["image"]) => {
  const rule = (action: number, identifier: string) => ({
    action,
    selector: { identifier, matchType: regex }
  })
  return {
    version: 1n,
    rules: [
      rule(deny, "^[a-z+-]+://[^/]+/dp-"),
      rule(allow, `^docker-image://${escapeRegex(image.registry)}/${escapeRegex(image.namespace)}/`),
      rule(deny, "^git://"),
      rule(
        deny,
        `(?i)^https?://([^/?#]*@)?${escapeRegex(image.registry.replace(/:\d+$/, ""))}[.]?([:/?#]|$)`
      ),
      rule(deny, `(?i)^https?://([^/?#]*@)?(${platformAddresses})[.]?([:/?#]|$)`)
    ]
  }
}

/**
 * Solves a Dockerfile and pushes the image by digest, with a cache of the service's own in the registry. No entitlement
 * is asked for, and no attestation, so that the digest is that of the one manifest that pods report.
 */
export const solveRequest = Effect.fnUntraced(function* (
  request: BuildRequest,
  /** From the folder that the session gives as "dockerfile". */
  dockerfile: string,
  ref: string,
  session: string
): Effect.fn.Return<MessageInitShape<typeof SolveRequestSchema>, BuildArgReserved> {
  const { args, image, target, tenant } = request
  const reserved = Object.keys(args).find((name) => name.startsWith("BUILDKIT_"))
  if (reserved !== undefined) return yield* new BuildArgReserved({ name: reserved })

  const cache = { ref: `${image.name}:${cacheTag}` }
  const cacheImport = { Type: "registry", Attrs: cache }
  return {
    Ref: ref,
    Session: session,
    Frontend: "dockerfile.v0",
    FrontendAttrs: {
      ...Object.fromEntries(Object.entries(args).map(([name, value]) => [`build-arg:${name}`, value])),
      filename: dockerfile,
      ...(target === undefined ? {} : { target }),
      // marks the frontend as chosen: a "# syntax=" line pulls no other, which could do anything to the build
      cmdline: "dockerfile.v0",
      "add-hosts": `${tenantHost(tenant)}=127.0.0.1`,
      // cache mounts (RUN --mount=type=cache) are the service's own
      "build-arg:BUILDKIT_CACHE_MOUNT_NS": scopeOf(request),
      // the frontend reads this one and ignores Cache.Imports, the daemon the other way round
      "cache-imports": JSON.stringify([cacheImport])
    },
    Cache: {
      Imports: [cacheImport],
      Exports: [
        {
          Type: "registry",
          Attrs: {
            ...cache,
            ...compression,
            mode: "max",
            "image-manifest": "true",
            "oci-mediatypes": "true",
            "ignore-error": "true"
          }
        }
      ]
    },
    Exporters: [
      {
        Type: "image",
        Attrs: {
          name: image.name,
          push: "true",
          "push-by-digest": "true",
          "oci-mediatypes": "true",
          ...compression
        }
      }
    ],
    SourcePolicy: sourcePolicy(image)
  }
})
