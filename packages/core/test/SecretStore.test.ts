import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
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

  it.live.prop(
    "gives a file's bytes as they are, and its text without the last line break where it is text",
    [Schema.Uint8Array, Schema.String, Schema.Literals(["", "\n", "\r\n", "\n\n"])],
    ([bytes, text, ending]) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const store = yield* SecretStore.pipe(
          Effect.provide(SecretStore.layer({}).pipe(Layer.provide(NodeFileSystem.layer)))
        )
        const written = (name: string, content: string | Uint8Array) => {
          writeFileSync(join(folder, name), content)
          return SecretRef.make(`file:${folder}/${name}`)
        }
        const { any } = yield* store.readAll({ any: written("any", bytes) })
        assert.deepStrictEqual(
          [...Redacted.value(any ?? Redacted.make(new Uint8Array([1, 2, 3])))],
          [...bytes]
        )

        const plain = text.toWellFormed().replaceAll(/[\0\r\n\ufeff]/g, "")
        const ref = written("text", `${plain}${ending}`)
        assert.strictEqual(
          Redacted.value(yield* store.resolve(ref)),
          `${plain}${ending === "\n\n" ? "\n" : ""}`
        )
        for (const binary of [
          Buffer.from([...Buffer.from(plain), 0]),
          Buffer.from([0xff, ...Buffer.from(plain)])
        ]) {
          const error = yield* Effect.flip(store.resolve(written("binary", binary)))
          assert.include(error.message, `file:${folder}/binary`)
          assert.include(error.message, "it is no text")
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 50 } }
  )
})
