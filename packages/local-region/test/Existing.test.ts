import { assert, layer } from "@effect/vitest"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LocalRegion } from "@mcpdeploy/local-region/LocalRegion"
import type { RegionEvent } from "@mcpdeploy/local-region/RegionEvent"
import { TestRegion } from "@mcpdeploy/local-region/TestRegion"

const live = LocalRegion.layer.pipe(Layer.provideMerge(NodeServices.layer))

layer(live, { excludeTestServices: true })("a region of parts that exist", (it) => {
  it.effect("builds and starts nothing when every part is named", () =>
    Effect.gen(function* () {
      const region = yield* LocalRegion
      const events: Array<RegionEvent> = []
      const registry = { name: "registry.internal:5000", endpoint: "https://registry.example" }
      const dataFolder = join(tmpdir(), "mcpdeploy-never-made")
      const endpoints = yield* region.up({
        dataFolder,
        existing: {
          kubeconfig: "/etc/kubeconfig",
          buildkit: "tcp://builds.example:1234",
          ingress: "http://203.0.113.7",
          registry
        },
        onEvent: (event) => Effect.sync(() => events.push(event))
      })
      assert.deepStrictEqual(events, [])
      assert.isFalse(existsSync(dataFolder))
      assert.strictEqual(endpoints.kubeconfig, "/etc/kubeconfig")
      assert.deepStrictEqual(endpoints.buildkit, { address: "tcp://builds.example:1234" })
      assert.deepStrictEqual(endpoints.registry, registry)
      assert.strictEqual(endpoints.ingress.http, "http://203.0.113.7")
    })
  )

  it.effect("refuses a data folder whose sockets nobody could connect to, and says what to do", () =>
    Effect.gen(function* () {
      const region = yield* LocalRegion
      for (const dataFolder of [`/tmp/${"x".repeat(120)}`, "relative", "/tmp/with space", "/tmp/a\nb"]) {
        const error = yield* Effect.flip(region.up({ dataFolder }))
        assert.strictEqual(error.reason._tag, "MachineUnsuitable")
        assert.include(error.message, "must be an absolute path")
        assert.isFalse(error.retryable)
      }
    })
  )

  it.effect("is down, where none was ever made", () =>
    Effect.gen(function* () {
      const region = yield* LocalRegion
      const options = { dataFolder: join(tmpdir(), "mcpdeploy-never-made") }
      assert.deepStrictEqual(yield* region.status(options), { state: "down" })
      yield* region.down(options)
      assert.isFalse(existsSync(options.dataFolder))
    })
  )

  it.effect("names the file when the region that tests are given is none", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-test-"))
      const before = process.env["MCPDEPLOY_TEST_REGION"]
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          rmSync(folder, { recursive: true })
          if (before === undefined) delete process.env["MCPDEPLOY_TEST_REGION"]
          else process.env["MCPDEPLOY_TEST_REGION"] = before
        })
      )
      const path = join(folder, "region.json")
      writeFileSync(path, "{}")
      process.env["MCPDEPLOY_TEST_REGION"] = path
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(TestRegion.layer.pipe(Layer.provide(NodeServices.layer))))
      )
      assert.include(error.message, path)
    })
  )
})
