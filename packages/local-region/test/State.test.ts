import { assert, describe, it, layer } from "@effect/vitest"
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { dataFolder } from "@mcpdeploy/local-region/DataFolder"
import * as FileLock from "../src/FileLock.ts"
import * as LogFile from "../src/LogFile.ts"
import { choose } from "../src/Ports.ts"
import {
  BundleSettings,
  RegionEndpoints,
  RegionFile,
  SettingsFile
} from "@mcpdeploy/local-region/RegionState"
import { atLeast } from "../src/Version.ts"

describe("region.json and settings.json", () => {
  it.effect.prop("the endpoints survive writing and reading", [RegionEndpoints], ([endpoints]) =>
    Effect.gen(function* () {
      const text = yield* Schema.encodeEffect(RegionFile)(endpoints)
      const read = yield* Schema.decodeEffect(RegionFile)(text)
      assert.strictEqual(yield* Schema.encodeEffect(RegionFile)(read), text)
    })
  )

  it.effect.prop("the settings survive writing and reading", [BundleSettings], ([settings]) =>
    Effect.gen(function* () {
      const text = yield* Schema.encodeEffect(SettingsFile)(settings)
      const read = yield* Schema.decodeEffect(SettingsFile)(text)
      assert.strictEqual(yield* Schema.encodeEffect(SettingsFile)(read), text)
    })
  )

  it.effect("a file that is cut off anywhere is refused", () =>
    Effect.gen(function* () {
      const whole = JSON.stringify({
        dataFolder: "/d",
        kubeconfig: "/d/kubeconfig",
        buildkit: { address: "unix:///d/s" },
        registry: { name: "r:1", endpoint: "http://127.0.0.1:1" },
        ingress: { http: "http://127.0.0.1:2", https: "https://127.0.0.1:3", className: "traefik" },
        pid: 1
      })
      for (let length = 0; length < whole.length; length++) {
        const exit = yield* Effect.exit(Schema.decodeEffect(RegionFile)(whole.slice(0, length)))
        assert.isTrue(Exit.isFailure(exit), `${length} characters`)
      }
    })
  )
})

describe("data folders", () => {
  const path = Schema.String.pipe(Schema.check(Schema.isPattern(/^[a-z0-9./_-]{1,40}$/)))
  it.prop(
    "give regions in different folders different cgroups, that are safe path names",
    [path, path],
    ([one, other]) => {
      assert.match(dataFolder(`/${one}`).cgroup, /^mcpdeploy-[0-9a-f]{12}$/)
      assert.strictEqual(dataFolder(`/${one}`).cgroup === dataFolder(`/${other}`).cgroup, one === other)
    }
  )
})

describe("versions", () => {
  it("are found in what programs print, and compared number by number", () => {
    assert.isTrue(atLeast("buildkitd github.com/moby/buildkit v0.34.2 abc", "0.28.1"))
    assert.isTrue(atLeast("go1.26.8", "1.26.3"))
    assert.isTrue(atLeast("v1.10", "1.9.9"))
    assert.isFalse(atLeast("containerd 1.6.20~ds1", "2.2.0"))
    assert.isFalse(atLeast("unknown", "0.1"))
  })

  const part = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 99 })))
  it.prop("are at least themselves, and not at least their successor", [part, part, part], (parts) => {
    const [major, minor, patch] = parts
    assert.isTrue(atLeast(parts.join("."), parts.join(".")))
    assert.isFalse(atLeast(parts.join("."), `${major}.${minor}.${patch + 1}`))
    assert.isFalse(atLeast(parts.join("."), `${major}.${minor + 1}.0`))
  })
})

layer(NodeServices.layer, { excludeTestServices: true })("on this machine", (it) => {
  it.effect("ports are free, different, and those of last time where they can be", () =>
    Effect.gen(function* () {
      const first = yield* choose(undefined)
      assert.strictEqual(new Set(Object.values(first)).size, Object.keys(first).length)
      assert.deepStrictEqual(yield* choose(first), first)
      const squatter = createServer()
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => {
          squatter.listen(first.http, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => squatter.close())
      )
      const second = yield* choose(first)
      assert.notStrictEqual(second.http, first.http)
      assert.strictEqual(second.api, first.api)
    })
  )

  it.effect("a log is begun anew at its cap, and the one before is kept", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = join(yield* fs.makeTempDirectoryScoped(), "server.log")
      writeFileSync(path, Buffer.alloc(LogFile.cap - 10, "x"))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const log = yield* LogFile.open(path)
          yield* log.write(Buffer.from("the last line of many\n"))
          assert.strictEqual(yield* log.lastLines, "the last line of many")
        })
      )
      assert.strictEqual(readFileSync(path, "utf8"), "the last line of many\n")
      assert.strictEqual(statSync(`${path}.1`).size, LogFile.cap - 10)
    })
  )

  it.effect("a lock excludes others, and is free when its scope is closed", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = join(yield* fs.makeTempDirectoryScoped(), "lock")
      const order: Array<string> = []
      const hold = (name: string) =>
        Effect.scoped(
          Effect.gen(function* () {
            yield* FileLock.exclusive(path)
            order.push(`${name} in`)
            yield* Effect.sleep("100 millis")
            order.push(`${name} out`)
          })
        )
      yield* Effect.all([hold("a"), hold("b"), hold("c")], { concurrency: "unbounded", discard: true })
      for (let index = 0; index < order.length; index += 2) {
        assert.strictEqual(order[index]?.[0], order[index + 1]?.[0], order.join(", "))
      }
      assert.isTrue(existsSync(path))
    })
  )
})
