/** The registry's garbage is collected while deploys push into it. */
import { createHash, randomBytes } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { ImageDigest, internalRegistry } from "@mcpdeploy/core/domain/Image"
import type { Namespace } from "@mcpdeploy/core/domain/Identity"
import { type Collected, collect } from "@mcpdeploy/core/gc/GarbageCollection"
import { RegistryStorage } from "@mcpdeploy/core/gc/RegistryStorage"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { Projects } from "@mcpdeploy/core/Projects"
import { Registry } from "@mcpdeploy/core/Registry"
import { Effect, Fiber } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { mcpdeploy, regionFile, Repository, smallApp } from "./harness.ts"
import { endpoints, makeRuntime, requestOf, targetOf } from "./runtime.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const services = isFull ? 20 : 4
const storageFolder = join(dirname(regionFile ?? ""), "state/registry")
const isHere = regionFile !== undefined && existsSync(storageFolder)
const why = isHere
  ? ""
  : " (SKIPPED: MCPDEPLOY_TEST_REGION names no region whose registry is on this machine's disk)"

const digestOf = (bytes: Uint8Array) =>
  ImageDigest.make(`sha256:${createHash("sha256").update(bytes).digest("hex")}`)

describe.skipIf(!isHere)(`the registry's garbage${why}`, () => {
  const cache = mkdtempSync(join(tmpdir(), "mcpdeploy-gc-"))
  const runtime = makeRuntime(cache, 3)
  const storage = new RegistryStorage(storageFolder)
  const project = `gc-${Date.now().toString(36)}`
  const names = Array.from({ length: services }, (_, index) => `s${index}`)
  const graceSeconds = 600
  let repository: Repository
  let url = ""

  beforeAll(() => {
    repository = new Repository()
    url = endpoints().registry.endpoint
  })
  afterAll(async () => {
    await runtime.runPromise(
      Effect.forEach(
        names,
        (name) => ClusterApplier.use((cluster) => Effect.ignore(cluster.delete(targetOf(project, name)))),
        { concurrency: 4 }
      )
    )
    await runtime.dispose()
    repository[Symbol.dispose]()
    rmSync(cache, { recursive: true, force: true })
  })

  const repositoryOf = (name: string) => `${targetOf(project, name).namespace}/${name}`

  /** The region's proxy resets a connection that it has just found idle; asking again is harmless here. */
  const again = async <A>(ask: () => Promise<A>): Promise<A> => ask().catch(() => ask())

  const upload = async (name: string, bytes: Uint8Array) => {
    const begun = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: "POST" })
    const location = new URL(begun.headers.get("location") ?? "", url)
    location.searchParams.set("digest", digestOf(bytes))
    const done = await fetch(location, {
      method: "PUT",
      body: new Uint8Array(bytes),
      headers: { "content-type": "application/octet-stream" }
    })
    assert.strictEqual(done.status, 201)
  }
  const hasBlob = (name: string, digest: string) =>
    again(async () => (await fetch(`${url}/v2/${name}/blobs/${digest}`, { method: "HEAD" })).status === 200)

  /** An image that nobody deployed, with a layer of its own. */
  const pushGarbage = async (name: string, layer: Uint8Array) => {
    const config = Buffer.from("{}")
    await upload(name, config)
    await upload(name, layer)
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(config), size: 2 },
        layers: [
          {
            mediaType: "application/vnd.oci.image.layer.v1.tar",
            digest: digestOf(layer),
            size: layer.length
          }
        ]
      })
    )
    const put = await fetch(`${url}/v2/${name}/manifests/${digestOf(manifest)}`, {
      method: "PUT",
      body: new Uint8Array(manifest),
      headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" }
    })
    assert.strictEqual(put.status, 201)
    return { manifest: digestOf(manifest), layer: digestOf(layer) }
  }

  const blobFolder = (digest: string) =>
    join(storageFolder, "docker/registry/v2/blobs/sha256", digest.slice(7, 9), digest.slice(7))
  /** Makes what was pushed long past. */
  const age = (name: string, { layer, manifest }: { readonly layer: string; readonly manifest: string }) => {
    const folder = join(storageFolder, "docker/registry/v2/repositories", name)
    for (const file of [
      join(folder, "_manifests/revisions/sha256", manifest.slice(7), "link"),
      join(folder, "_layers/sha256", layer.slice(7), "link"),
      join(blobFolder(layer), "data"),
      join(blobFolder(manifest), "data")
    ])
      if (existsSync(file)) utimesSync(file, 1, 1)
  }

  const gc = (namespace: Namespace, dryRun = false) => collect({ storage, graceSeconds, dryRun, namespace })

  const deployAll = (ref: string, generation: number) =>
    DeployRunner.use((runner) =>
      Effect.forEach(
        names,
        (name) => runner.deploy(requestOf(repository, project, name, { ref, generation, replicas: 1 })),
        { concurrency: "unbounded" }
      )
    )

  it(`goes while ${services} deploys run: none fails, nothing that is needed is missed, and the disk is freed`, async () => {
    const first = repository.write(smallApp({ text: "first" })).commit()
    const started = Date.now()
    await runtime.runPromise(deployAll(first, started))
    const { namespace } = targetOf(project, "s0")
    let lastLayer = randomBytes(1)
    const garbage: Array<{ readonly name: string; readonly manifest: string; readonly layer: string }> = []
    for (const name of [...names, ...names].map(repositoryOf)) {
      lastLayer = randomBytes(500_000)
      const pushed = await again(() => pushGarbage(name, lastLayer))
      age(name, pushed)
      garbage.push({ name, ...pushed })
    }
    const young = await again(() => pushGarbage(repositoryOf("s0"), randomBytes(1000)))

    const dry = await runtime.runPromise(gc(namespace, true))
    assert.lengthOf(dry.manifests, garbage.length)
    assert.isTrue((await Promise.all(garbage.map(({ layer, name }) => hasBlob(name, layer)))).every(Boolean))

    const second = repository.write(smallApp({ text: "second" })).commit()
    const runs: Array<Collected> = []
    const outcomes = await runtime.runPromise(
      Effect.gen(function* () {
        const collecting = yield* gc(namespace).pipe(
          Effect.tap((collected) => Effect.sync(() => runs.push(collected))),
          Effect.forever,
          Effect.forkChild
        )
        const deployed = yield* deployAll(second, started + 1)
        yield* Fiber.interrupt(collecting)
        return deployed
      })
    )
    for (const outcome of outcomes) assert.strictEqual(outcome._tag, "Deployed", JSON.stringify(outcome))
    process.stdout.write(`${runs.length} collections while ${services} deploys ran\n`)

    const last = await runtime.runPromise(gc(namespace))
    const removed = [...runs, last].flatMap(({ manifests }) => manifests)
    // A run that was interrupted has removed some without saying so.
    assert.includeMembers(
      garbage.map(({ manifest, name }) => `${name}@${manifest}`),
      removed
    )
    const stored = new Map(
      await runtime.runPromise(
        Effect.forEach(names.map(repositoryOf), (name) =>
          Effect.map(storage.repository(name), (found) => [name, found.manifests] as const)
        )
      )
    )
    for (const { manifest, name } of garbage)
      assert.isFalse(stored.get(name)?.has(ImageDigest.make(manifest)), `${name}@${manifest}`)
    for (const { layer, name } of garbage) {
      assert.isFalse(await hasBlob(name, layer), "a push is told that it has to send the layer")
      assert.isTrue(
        existsSync(join(blobFolder(layer), "data")),
        "and the layer's bytes go only after the grace"
      )
      age(name, { layer, manifest: layer })
    }
    for (const { manifest, name } of garbage) age(name, { layer: manifest, manifest })
    const swept = await runtime.runPromise(gc(namespace))
    assert.isAtLeast(swept.bytes, garbage.length * 500_000)
    for (const { layer, manifest } of garbage)
      for (const digest of [layer, manifest]) assert.isFalse(existsSync(join(blobFolder(digest), "data")))

    // Whatever a restart, a pull or a rollback asks for.
    const needed = await runtime.runPromise(Projects.use((projects) => projects.images(namespace)))
    // There may be more: containerd names an image of the same digest by any of its repositories.
    assert.includeMembers(
      needed.map((one) => one.repository),
      names.map(repositoryOf)
    )
    for (const { digests, repository: name } of needed.filter((one) =>
      one.repository.startsWith(namespace)
    )) {
      assert.isAtLeast(digests.length, 2)
      for (const digest of digests) {
        const read = (reference: string) =>
          runtime.runPromise(
            Registry.use((registry) =>
              registry.read({ registry: internalRegistry, repository: name }, reference)
            )
          )
        const { blobs, manifests } = await read(digest)
        const inner = await Promise.all(manifests.map((one) => read(one.digest)))
        for (const blob of [...blobs, ...inner.flatMap((one) => one.blobs)])
          assert.isTrue(await hasBlob(name, blob.digest), `${name} ${blob.digest}`)
      }
    }
    assert.isTrue(await hasBlob(repositoryOf("s0"), young.layer), "what is young stays")

    // What was collected can be pushed again.
    const pushedAgain = await again(() => pushGarbage(repositoryOf("s0"), lastLayer))
    assert.isTrue(await hasBlob(repositoryOf("s0"), pushedAgain.layer))
  }, 600_000)

  it("is told by the command line, which says when the disk is nearly full", async () => {
    const at = ["--storage", storageFolder]
    const metrics = join(cache, "registry.prom")
    const used = await mcpdeploy([
      "registry",
      "usage",
      "--json",
      ...at,
      "--metrics",
      metrics,
      "--warn-below",
      "0"
    ])
    assert.strictEqual(used.code, 0, used.stderr)
    const { bytes, disk, projects, rooted } = JSON.parse(used.stdout)
    assert.isAbove(bytes, 0)
    assert.isAtMost(rooted, bytes)
    assert.isBelow(disk.free, disk.total)
    assert.isAbove(projects.length, 0)
    assert.match(readFileSync(metrics, "utf8"), /^mcpdeploy_registry_disk_free_bytes \d+$/m)
    const full = await mcpdeploy(["registry", "usage", ...at, "--warn-below", "100"])
    assert.strictEqual(full.code, 1)
    assert.match(full.stderr, /% of the registry's disk is free: collect garbage/)
    const dry = await mcpdeploy(["registry", "gc", "--dry-run", ...at])
    assert.strictEqual(dry.code, 0, dry.stderr)
    assert.match(dry.stdout, /blobs \(.*\) would go/)
    const nowhere = await mcpdeploy(["registry", "gc", "--storage", cache])
    assert.match(nowhere.stderr, /name the registry's rootdirectory/)
  })
})
