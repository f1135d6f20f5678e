import { assert, describe, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { exportedModules, packages, root } from "../../Workspace.ts"

const published = packages.filter(({ manifest }) => manifest.private !== true)

/** Where a file of the sources is in what is published. */
const publishedFile = (file: string): string =>
  file.replace(/^\.\/src\/(.*)\.ts$/, (_, module: string) => `./dist/${module}.js`)

describe("what a package exports", () => {
  it("is a list of modules that exist: no pattern lets through what nobody meant", () => {
    for (const { folder, manifest } of packages) {
      for (const [name, file] of Object.entries(manifest.exports ?? {})) {
        assert.notInclude(name, "*", folder)
        assert.isTrue(
          existsSync(join(root, folder, file)),
          `${folder} exports ${name}, but there is no ${file}`
        )
      }
    }
  })

  it("is the same in the workspace and in the published package", () => {
    for (const { folder, manifest } of published) {
      const { exports = {}, publishConfig } = manifest
      assert.deepStrictEqual(
        publishConfig?.exports,
        Object.fromEntries(Object.entries(exports).map(([name, file]) => [name, publishedFile(file)])),
        folder
      )
    }
  })

  it("is named as the module's file is", () => {
    for (const found of packages) {
      for (const module of exportedModules(found)) {
        assert.strictEqual(found.manifest.exports?.[`./${module}`], `./src/${module}.ts`, found.folder)
      }
    }
  })
})
