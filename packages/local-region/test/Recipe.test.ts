import { assert, describe, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { moduleKey, toolchainFolder, toolKey } from "../src/Recipe.ts"
import { debianTools, extraTools, goTools } from "../src/Tools.ts"

const all = [...goTools, ...extraTools]

describe("the table of tools", () => {
  it("names every tool once, with a recipe that is there", () => {
    assert.strictEqual(new Set(all.map(({ name }) => name)).size, all.length)
    for (const { module } of all) {
      for (const file of ["go.mod", "go.sum", ...module.patched.map(({ patch }) => patch)]) {
        assert.isTrue(existsSync(join(toolchainFolder, module.folder, file)), `${module.folder}/${file}`)
      }
    }
  })

  it("gives every tool programs, and every program to one tool", () => {
    const programs = [
      ...all.flatMap(({ packages, links }) => [...Object.keys(packages), ...(links?.names ?? [])]),
      ...debianTools.flatMap((tool) => tool.programs)
    ]
    assert.strictEqual(new Set(programs).size, programs.length)
    for (const tool of all) assert.isAbove(Object.keys(tool.packages).length, 0, tool.name)
  })

  it("builds what an image build needs first", () => {
    assert.deepStrictEqual(
      goTools.slice(0, 2).map(({ name }) => name),
      ["buildkit", "registry"]
    )
  })

  it("pins the checksum of every module that is changed", () => {
    for (const { module } of all) {
      for (const { sum } of module.patched) assert.match(sum, /^h1:[A-Za-z0-9+/]{43}=$/)
    }
  })
})

describe("a tool's key", () => {
  it("is a safe folder name, and another one for each tool", () => {
    const keys = all.map((tool) => toolKey(tool))
    assert.strictEqual(new Set(keys).size, keys.length)
    for (const key of keys) assert.match(key, /^[a-z0-9][a-z0-9.-]+-[0-9a-f]{12}$/)
  })

  for (const tool of all) {
    it(`of ${tool.name} changes with whatever changes its programs, and with nothing else`, () => {
      const key = toolKey(tool)
      assert.strictEqual(toolKey({ ...tool, seconds: tool.seconds + 1 }), key)
      assert.notStrictEqual(toolKey({ ...tool, version: `${tool.version}.1` }), key)
      assert.notStrictEqual(toolKey({ ...tool, ldflags: "-X a.b=c" }), key)
      assert.notStrictEqual(toolKey(tool, "other"), key)
      assert.notStrictEqual(toolKey({ ...tool, packages: { ...tool.packages, more: "./cmd/more" } }), key)
      const patched = [{ module: "a", version: "v1", sum: "h1:", patch: "a.patch", remove: [] }]
      assert.notStrictEqual(moduleKey({ ...tool.module, patched }), moduleKey(tool.module))
    })
  }
})
