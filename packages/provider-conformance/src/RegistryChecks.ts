/** What every Registry promises. */
import type { ImageDigest } from "@mcpdeploy/core/domain/Image"
import { type ImageRepository, Registry, type RegistryError } from "@mcpdeploy/core/Registry"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Check, check } from "./Check.ts"

/** What the suite needs to know of a registry. */
export interface RegistryConformance {
  /** A repository of one's own, with two manifests and no tag; `longest`: with the longest path that the registry takes. */
  readonly repository: (
    longest: boolean
  ) => Effect.Effect<
    { readonly repository: ImageRepository; readonly digests: readonly [ImageDigest, ImageDigest] },
    never,
    Scope.Scope
  >
}

/** A tag has at most 128 characters (OCI distribution spec 1.1, "Pulling manifests"). */
const longestTag = `t${"0".repeat(127)}`
const absentDigest = `sha256:${"0123456789abcdef".repeat(4)}`
const tagOf = ({ reason }: RegistryError): string => reason._tag

/** What every Registry promises of tags and manifests. */
export const registryChecks = (of: RegistryConformance): ReadonlyArray<Check<Registry>> => [
  check("publishing the same again succeeds and changes nothing", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const { digests, repository } = yield* of.repository(false)
      const publish = expect.succeeds(registry.publish(repository, "v1", digests[0]), "publish")
      yield* expect.equal((yield* publish).changed, true, "changed, the first time")
      yield* expect.equal((yield* publish).changed, false, "changed, the second time")
      yield* expect.equal(
        yield* expect.succeeds(registry.resolve(repository, "v1"), "resolve"),
        digests[0],
        "the tag's digest"
      )
    })
  ),
  check("publishing another digest moves the tag, and the first manifest stays", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const { digests, repository } = yield* of.repository(false)
      for (const digest of digests)
        yield* expect.succeeds(registry.publish(repository, "v1", digest), "publish")
      yield* expect.equal(
        yield* expect.succeeds(registry.resolve(repository, "v1"), "resolve"),
        digests[1],
        "the tag's digest"
      )
      yield* expect.equal(
        yield* expect.succeeds(registry.resolve(repository, digests[0]), "resolve the first by digest"),
        digests[0],
        "the first digest"
      )
    })
  ),
  check("what is not there: a typed error to resolve, none to list, success to delete", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const { digests, repository } = yield* of.repository(false)
      yield* expect.failsWith(
        registry.resolve(repository, "unknown"),
        ["ImageNotFound"],
        tagOf,
        "resolve of an unknown tag"
      )
      const nowhere = { ...repository, repository: `${repository.repository}x` }
      yield* expect.equal(yield* expect.succeeds(registry.list(nowhere), "list"), [], "tags of no repository")
      yield* expect.succeeds(registry.delete(nowhere, "unknown"), "delete in no repository")
      yield* expect.succeeds(registry.publish(repository, "v1", digests[0]), "publish")
      yield* expect.succeeds(registry.delete(repository, digests[0]), "delete")
      yield* expect.succeeds(registry.delete(repository, digests[0]), "delete again")
      yield* expect.equal(yield* expect.succeeds(registry.list(repository), "list"), [], "tags afterwards")
    })
  ),
  check("a digest that is not in the repository is not found", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const one = yield* of.repository(false)
      yield* expect.failsWith(
        registry.resolve(one.repository, absentDigest),
        ["ImageNotFound"],
        tagOf,
        "resolve of an unknown digest"
      )
    })
  ),
  check("the longest names work", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const { digests, repository } = yield* of.repository(true)
      yield* expect.succeeds(registry.publish(repository, longestTag, digests[0]), "publish")
      yield* expect.equal(
        yield* expect.succeeds(registry.list(repository), "list"),
        [longestTag],
        "the repository's tags"
      )
    })
  ),
  check("many at once, and one that is interrupted, leave what one does", (expect) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const { digests, repository } = yield* of.repository(false)
      const publish = registry.publish(repository, "v1", digests[0])
      yield* Effect.ignore(Effect.timeoutOption(publish, "1 millis"))
      yield* Effect.all(
        Array.from({ length: 10 }, () => expect.succeeds(publish, "publish")),
        { concurrency: 10, discard: true }
      )
      yield* expect.equal(yield* expect.succeeds(registry.list(repository), "list"), ["v1"], "tags")
      yield* expect.equal(
        yield* expect.succeeds(registry.resolve(repository, "v1"), "resolve"),
        digests[0],
        "the tag's digest"
      )
    })
  )
]
