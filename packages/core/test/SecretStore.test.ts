import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { temporaryFolder } from "./git/setup.ts"

const secret = "canary-secret"

describe("SecretStore", () => {
  it.effect("reads variables and files, in the folders that it was given only, and never shows a value", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const allowed = join(folder, "allowed")
      mkdirSync(join(allowed, "nested"), { recursive: true })
      for (const name of ["outside", "allowed/token", "allowed/nested/token"])
        writeFileSync(join(folder, name), `${secret}\n`)
      symlinkSync("../outside", join(allowed, "link"))
      writeFileSync(join(allowed, "huge"), "")
      truncateSync(join(allowed, "huge"), 2 * 1024 * 1024)
      const resolve = (ref: string) =>
        SecretStore.use((store) => store.resolve(SecretRef.make(ref))).pipe(
          Effect.provide(
            SecretStore.layer({ TOKEN: secret }, [allowed]).pipe(Layer.provide(NodeFileSystem.layer))
          )
        )
      for (const ref of ["env:TOKEN", `file:${allowed}/token`, `file:${allowed}/nested/token`]) {
        const value = yield* resolve(ref)
        assert.strictEqual(Redacted.value(value), secret)
        assert.notInclude(`${value} ${JSON.stringify(value)}`, secret)
      }
      for (const [ref, detail] of [
        ["env:NONE", "is not set"],
        [`file:${allowed}/none`, "no such file"],
        [`file:${folder}/outside`, "no folder that secrets may come from"],
        [`file:${allowed}/../outside`, "no folder that secrets may come from"],
        [`file:${allowed}/link`, "no folder that secrets may come from"],
        [`file:${allowed}/nested`, "not a file"],
        [`file:${allowed}/huge`, "more than"],
        ["file:/dev/zero", "no folder"]
      ] as const) {
        const error = yield* Effect.flip(resolve(ref))
        assert.include(error.message, detail)
        assert.include(error.message, ref)
      }
    })
  )
})
