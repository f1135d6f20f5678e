import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { zstdDecompressSync } from "node:zlib"
import { table } from "@mcpdeploy/local-region/images/BaseImages"
import * as LayerStore from "../src/images/LayerStore.ts"
import * as OciImage from "../src/images/OciImage.ts"
import * as Recipes from "../src/images/Recipes.ts"
import { standIns } from "../src/images/StandIns.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "mcpdeploy-images-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const machine: Recipes.Machine = { goroot: "/nowhere", goVersion: "go1.26.1", trust: "" }

describe("The table of stand-ins", () => {
  const names = table.flatMap(({ name, tags }) => tags.map((tag) => `${name}:${tag}`))

  it("names each image once", () => assert.strictEqual(new Set(names).size, names.length))

  it("has what ordinary Dockerfiles start from", () => {
    for (const name of [
      "node:24-alpine",
      "node:24-slim",
      "node:24",
      "python:3.13-slim",
      "golang:1.26",
      "golang:1.26-alpine",
      "nginx:alpine",
      "debian:12-slim",
      "debian:12",
      "debian:bookworm-slim",
      "busybox:latest"
    ]) {
      assert.include(names, name)
    }
  })

  it("says of each what it is made from and how it differs", () => {
    for (const { madeFrom, differs } of table) {
      assert.isNotEmpty(madeFrom)
      assert.isNotEmpty(differs)
    }
  })
})

describe("A recipe", () => {
  it.effect("comes after its base", () =>
    Effect.gen(function* () {
      const names = [...(yield* Recipes.resolve(machine)).values()].map(({ name, base }) => ({ name, base }))
      for (const [index, { base }] of names.entries()) {
        if (base !== undefined)
          assert.include(
            names.slice(0, index).map(({ name }) => name),
            base
          )
      }
    })
  )

  it.effect("has another hash when what it depends on is another, and only then", () =>
    Effect.gen(function* () {
      const trust = yield* temporaryFolder
      yield* Effect.promise(() => writeFile(join(trust, "company.crt"), "one"))
      const before = yield* Recipes.resolve({ ...machine, trust })
      yield* Effect.promise(() => writeFile(join(trust, "company.crt"), "two"))
      const after = yield* Recipes.resolve({ ...machine, trust, goVersion: "go1.26.2" })
      const changed = [...after]
        .filter(([name, { hash }]) => before.get(name)?.hash !== hash)
        .map(([name]) => name)
      assert.sameMembers(
        changed,
        [...after.keys()].filter((name) => name !== "node"),
        "Node's layer holds no certificates and no Go"
      )
      const again = yield* Recipes.resolve({ ...machine, trust, goVersion: "go1.26.2", goroot: "/elsewhere" })
      assert.deepStrictEqual(
        [...again.values()].map(({ hash }) => hash),
        [...after.values()].map(({ hash }) => hash)
      )
    })
  )

  it("is a script that sh accepts", async () => {
    for (const entry of await readdir(Recipes.folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const file = join(entry.parentPath, entry.name)
      const isScript = file.endsWith(".sh") || (await readFile(file, "utf8")).startsWith("#!")
      if (isScript) execFileSync("sh", ["-n", file])
    }
  })
})

describe("The folder of layers", () => {
  const hash = "0".repeat(64)
  const kept = Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const store = LayerStore.make(folder)
    yield* store.lock
    const place = yield* store.workplace("one")
    const tar = join(place, "layer.tar")
    yield* Effect.promise(() => writeFile(tar, "content of a layer"))
    return { folder, store, layer: yield* store.keep(hash, tar), place }
  })

  it.live("keeps a layer under its digests and gives it back", () =>
    Effect.gen(function* () {
      const { store, layer, place } = yield* kept
      assert.deepStrictEqual(yield* store.find(hash), layer)
      const compressed = new Uint8Array(yield* Effect.promise(() => readFile(layer.file)))
      assert.strictEqual(OciImage.sha256(compressed), layer.digest)
      assert.strictEqual(OciImage.sha256(new Uint8Array(zstdDecompressSync(compressed))), layer.diffId)
      yield* store.unpack(layer, join(place, "again.tar"))
      assert.strictEqual(
        yield* Effect.promise(() => readFile(join(place, "again.tar"), "utf8")),
        "content of a layer"
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("has no layer whose bytes are cut, or whose record is broken", () =>
    Effect.gen(function* () {
      const { folder, store, layer } = yield* kept
      yield* Effect.promise(() => truncate(layer.file, 3))
      assert.isUndefined(yield* store.find(hash))
      yield* Effect.promise(() => writeFile(join(folder, "layers", `${hash}.json`), "{"))
      assert.isUndefined(yield* store.find(hash))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("removes a layer whose bytes are not what its digest says, and no other", () =>
    Effect.gen(function* () {
      const { store, layer } = yield* kept
      yield* store.discardDamaged(layer)
      assert.isDefined(yield* store.find(hash))
      yield* Effect.promise(() => writeFile(layer.file, "x".repeat(layer.size)))
      yield* store.discardDamaged(layer)
      assert.isUndefined(yield* store.find(hash))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("clears what a process that was killed left in the making", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const remnant = join(folder, "scratch", "debian-13", "root")
      yield* Effect.promise(() => mkdir(remnant, { recursive: true }))
      yield* LayerStore.make(folder).lock
      assert.isTrue(
        yield* Effect.promise(() =>
          stat(remnant).then(
            () => false,
            () => true
          )
        )
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("An image", () => {
  it("is the same bytes for the same layers, and names its layers in order", () => {
    const layers = ["a", "b"].map((letter) => ({
      digest: `sha256:${letter.repeat(64)}`,
      diffId: `sha256:${letter.repeat(64)}`,
      size: 1,
      file: "/nowhere"
    }))
    for (const standIn of standIns) {
      const image = OciImage.ofStandIn(standIn, layers)
      assert.deepStrictEqual(image, OciImage.ofStandIn(standIn, layers))
      const manifest = JSON.parse(new TextDecoder().decode(image.manifest.bytes))
      assert.strictEqual(manifest.config.digest, image.config.digest)
      assert.deepStrictEqual(
        manifest.layers.map(({ digest }: { readonly digest: string }) => digest),
        layers.map(({ digest }) => digest)
      )
    }
  })
})

describe("The README", () => {
  it("has the table of stand-ins", async () => {
    const readme = await readFile(join(import.meta.dirname, "../src/images/README.md"), "utf8")
    const cell = (text: string) => text.replaceAll(/\s+/g, " ")
    const rows = readme.split("\n").map(cell)
    for (const { name, tags, madeFrom, differs } of table) {
      const named = [`${name}:${tags[0]}`, ...tags.slice(1)].map((tag) => `\`${tag}\``).join(", ")
      assert.include(rows, cell(`| ${named} | ${madeFrom} | ${differs} |`))
    }
  })
})
