/** The request that a build becomes. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import { createHash, randomBytes } from "node:crypto"
import { BuildArgReserved } from "../BuildFailure.ts"
import type { ImageRef } from "../domain/Image.ts"
import type { BuildRequest } from "../ImageBuilder.ts"
import type { SolveRequestSchema } from "./gen/buildkit_pb.ts"

/** Begins the refs of all attempts at one build: the same for the same image repository and key, and for no other. */
export const refPrefix = (image: ImageRef, buildKey: string): string =>
  createHash("sha256").update(`${image.name}\0${buildKey}`).digest("hex").slice(0, 40)

/** A ref is used once: the daemon refuses a second build under it while it remembers the first. */
export const newRef = (prefix: string): string => `${prefix}.${randomBytes(6).toString("hex")}`

const cacheTag = "buildcache"

const escapeRegex = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** sourcepolicy.PolicyAction and MatchType. */
const allow = 0
const deny = 1
const regex = 2

/**
 * One registry holds every tenant's images, and the daemon may read them all: a Dockerfile may only name those of its own
 * namespace. (What a RUN step reaches over the network is not decided here.)
 */
const sourcePolicy = (image: ImageRef) => {
  const rule = (action: number, identifier: string) => ({
    action,
    selector: { identifier, matchType: regex }
  })
  return {
    version: 1n,
    rules: [
      rule(deny, "^docker-image://[^/]+/dp-"),
      rule(allow, `^docker-image://${escapeRegex(image.registry)}/${escapeRegex(image.namespace)}/`),
      rule(deny, `^https?://${escapeRegex(image.registry)}(/|$)`)
    ]
  }
}

/**
 * Solves a Dockerfile and pushes the image by digest, with a cache of the service's own in the registry. No entitlement
 * is asked for, and no attestation, so that the digest is that of the one manifest that pods report.
 */
export const solveRequest = Effect.fnUntraced(function* (
  request: BuildRequest,
  ref: string,
  session: string
): Effect.fn.Return<MessageInitShape<typeof SolveRequestSchema>, BuildArgReserved> {
  const { args, dockerfile, image, target } = request
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
      // cache mounts (RUN --mount=type=cache) are the service's own
      "build-arg:BUILDKIT_CACHE_MOUNT_NS": image.name,
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
        Attrs: { name: image.name, push: "true", "push-by-digest": "true", "oci-mediatypes": "true" }
      }
    ],
    SourcePolicy: sourcePolicy(image)
  }
})
