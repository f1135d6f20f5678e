import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { dockerfileOf, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { requestOf, servicesOf } from "@mcpdeploy/cli/RequestOf"
import { parseServiceFile } from "@mcpdeploy/cli/ServiceFile"

/** The request of a service file in the folder apps/web of a repository. */
const requestFor = Effect.fnUntraced(function* (service: string) {
  const top = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-request-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  execFileSync("git", ["-C", top, "init", "--quiet"])
  const directory = join(top, "apps", "web")
  mkdirSync(directory, { recursive: true })
  const text = `user: ann\nproject: shop\nservices:\n  web:\n    run: { port: 3000 }\n${service}`
  const file = yield* parseServiceFile("mcpdeploy.yaml", text)
  const [[name, section] = assert.fail("no service")] = yield* servicesOf(file, [])
  return yield* requestOf({
    file,
    service: name,
    section,
    directory,
    ref: undefined,
    generation: Generation.make(1)
  })
}, Effect.scoped)

describe("a service file's Dockerfile", () => {
  layer(NodeServices.layer)("in a process", (it) => {
    it.effect("may lie anywhere in the repository around the file", () =>
      Effect.gen(function* () {
        const beside = yield* requestFor("    build: { dockerfile: ../../docker/web.Dockerfile }\n")
        assert.strictEqual(dockerfileOf(beside), "docker/web.Dockerfile")
        const deeper = yield* requestFor(
          "    source: { rootDirectory: src }\n    build: { dockerfile: ../../../Dockerfile }\n"
        )
        assert.strictEqual(dockerfileOf(deeper), "Dockerfile")
      })
    )

    it.effect("is refused outside of the repository, in words that say from where it was looked for", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(requestFor("    build: { dockerfile: ../../../Dockerfile }\n"))
        assert.strictEqual(error._tag, "InvalidInput")
        assert.include(error.message, 'service "web": build.dockerfile, ../../../Dockerfile, leads out')
        assert.include(error.message, "apps/web")
      })
    )
  })
})
