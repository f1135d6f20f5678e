/** What of a registry is in use, and that nothing else goes: on trees of any shape, and on a folder. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import type { ServiceImages } from "@mcpdeploy/core/Projects"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import { isBusy, isCustomers, unusedBlobs, unusedLinks, unusedManifests } from "../src/gc/Mark.ts"
import { RegistryStorage, type StoredRepository } from "@mcpdeploy/core/gc/RegistryStorage"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const digest = (name: string | number) =>
  ImageDigest.make(`sha256:${createHash("sha256").update(String(name)).digest("hex")}`)

const times = { now: 1_000_000, graceMs: 1000 }
const old = times.now - times.graceMs
const young = old + 1

const repository = (
  manifests: Readonly<Record<string, { readonly names?: ReadonlyArray<string>; readonly at?: number }>>,
  more: {
    readonly tags?: Readonly<Record<string, string>>
    readonly links?: Readonly<Record<string, number>>
  } = {}
): StoredRepository => ({
  name: "dp-ann-shop/web",
  manifests: new Map(
    Object.entries(manifests).map(([name, { at = old, names = [] }]) => [
      digest(name),
      { digest: digest(name), writtenAt: at, names: new Set(names.map(digest)) }
    ])
  ),
  tags: new Map(Object.entries(more.tags ?? {}).map(([tag, name]) => [tag, digest(name)])),
  links: new Map(Object.entries(more.links ?? {}).map(([name, at]) => [digest(name), at]))
})

const service = (digests: ReadonlyArray<string>, more: Partial<ServiceImages> = {}): ServiceImages => ({
  repository: "dp-ann-shop/web",
  digests: digests.map(digest),
  ...more
})

describe("what of a repository is unused", () => {
  it("keeps what runs with what it names, the build cache, and what is young", () => {
    const stored = repository(
      {
        index: { names: ["amd64", "attestation"] },
        amd64: { names: ["layer"] },
        attestation: {},
        cache: { names: ["cached"] },
        fresh: { at: young },
        gone: { names: ["layer"] },
        tagged: {}
      },
      { tags: { buildcache: "cache", ["0".repeat(40)]: "tagged" } }
    )
    assert.deepStrictEqual(
      unusedManifests(stored, service(["index"]), times).toSorted(),
      [digest("gone"), digest("tagged")].toSorted()
    )
    assert.lengthOf(
      unusedManifests(stored, undefined, times),
      6,
      "of a service that is gone, all but what is young"
    )
  })

  it("a deploy is under way from its request to its receipt, and no longer than the grace", () => {
    const requested = Generation.make(7)
    const deployed = { generation: Generation.make(6), deployedAt: "" }
    assert.isTrue(isBusy(service([], { requested, requestedAt: young, deployed }), times))
    assert.isTrue(isBusy(service([], { requested, requestedAt: young }), times))
    assert.isFalse(isBusy(service([], { requested, requestedAt: old, deployed }), times), "it failed")
    assert.isFalse(
      isBusy(
        service([], { requested, requestedAt: young, deployed: { ...deployed, generation: requested } }),
        times
      )
    )
  })

  it("never the platform's own images, base images, or repositories of another depth", () => {
    assert.isTrue(isCustomers("dp-ann-shop/web"))
    for (const name of ["mcpdeploy/deployer", "library/node", "dp-ann-shop", "dp-ann-shop/web/more", "pause"])
      assert.isFalse(isCustomers(name), name)
  })

  const Small = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 9 })))
  const Node = Schema.Struct({ names: Schema.Array(Small), isYoung: Schema.Boolean, isRoot: Schema.Boolean })
  it.prop(
    "what is reachable from a root is never unused, whatever names what",
    [Schema.Array(Node)],
    ([nodes]) => {
      const stored = repository(
        Object.fromEntries(
          nodes.map(({ isYoung, names }, index) => [
            index,
            { names: names.map(String), at: isYoung ? young : old }
          ])
        ),
        { links: Object.fromEntries(nodes.map((_, index) => [`${index}`, old])) }
      )
      const roots = nodes.flatMap(({ isRoot }, index) => (isRoot ? [String(index)] : []))
      const unused = new Set(unusedManifests(stored, service(roots), times))
      const reachable = new Set<number>()
      const follow = (index: number): void => {
        if (reachable.has(index) || nodes[index] === undefined) return
        reachable.add(index)
        nodes[index].names.forEach(follow)
      }
      nodes.forEach(({ isRoot, isYoung }, index) => (isRoot || isYoung ? follow(index) : undefined))
      nodes.forEach((_, index) => assert.strictEqual(unused.has(digest(index)), !reachable.has(index)))
      const kept = nodes.flatMap(({ names }, index) => (reachable.has(index) ? names : []))
      const links = new Set(unusedLinks(stored, times, [...unused]))
      for (const name of kept) assert.isFalse(links.has(digest(name)))
    }
  )

  it("a blob goes when no repository holds it, none links it, and it is old", () => {
    const blobs = ["layer", "linked", "fresh", "loose", "index"].map((name) => ({
      digest: digest(name),
      bytes: 1,
      writtenAt: name === "fresh" ? young : old
    }))
    const stored = repository({ index: { names: ["layer"] } }, { links: { linked: old } })
    assert.deepStrictEqual(
      unusedBlobs(blobs, [stored], times).map((blob) => blob.digest),
      [digest("loose")]
    )
  })
})

describe("a registry's folder", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-registry-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const blobFolder = (root: string, one: ImageDigest) => {
    const hex = one.slice(7)
    return join(root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex)
  }
  const addBlob = (root: string, one: ImageDigest, text: string) => {
    mkdirSync(blobFolder(root, one), { recursive: true })
    writeFileSync(join(blobFolder(root, one), "data"), text)
  }

  it.effect("that is none is refused: an empty one would look as if nothing were in use", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(new RegistryStorage(yield* folder).check)
      assert.match(error.message, /name the registry's rootdirectory/)
    }).pipe(Effect.scoped)
  )

  it.effect("a blob that is hidden comes back whole; one that was pushed anew meanwhile stays", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const storage = new RegistryStorage(root)
      const [first, second] = [digest("first"), digest("second")]
      addBlob(root, first, "first")
      addBlob(root, second, "second")
      assert.isTrue(yield* storage.hide(first))
      assert.isTrue(yield* storage.hide(second))
      assert.isFalse(yield* storage.hide(digest("third")), "it is not there")
      assert.deepStrictEqual(yield* storage.blobs, [])
      assert.lengthOf(yield* storage.hidden, 2)
      addBlob(root, second, "second")
      yield* storage.restore(first)
      yield* storage.removeHidden(second)
      assert.deepStrictEqual(
        (yield* storage.blobs).map((blob) => blob.digest).toSorted(),
        [first, second].toSorted()
      )
      assert.deepStrictEqual(yield* storage.hidden, [])
      assert.deepStrictEqual(readdirSync(blobFolder(root, second)), ["data"])
    }).pipe(Effect.scoped)
  )

  it.effect("unlinking begins a blob's age anew", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const storage = new RegistryStorage(root)
      const layer = digest("layer")
      addBlob(root, layer, "layer")
      utimesSync(join(blobFolder(root, layer), "data"), 1, 1)
      const links = join(
        root,
        "docker/registry/v2/repositories/dp-ann-shop/web/_layers/sha256",
        layer.slice(7)
      )
      mkdirSync(links, { recursive: true })
      writeFileSync(join(links, "link"), layer)
      assert.isTrue((yield* storage.repository("dp-ann-shop/web")).links.has(layer))
      assert.deepStrictEqual(yield* storage.repositories, ["dp-ann-shop/web"])
      yield* storage.unlink("dp-ann-shop/web", layer)
      assert.isFalse((yield* storage.repository("dp-ann-shop/web")).links.has(layer))
      assert.isAbove((yield* storage.blobs)[0]?.writtenAt ?? 0, Date.now() - 60_000)
    }).pipe(Effect.scoped)
  )
})
