/** docs/architecture.md says in pictures what may import what. These tests hold the modules against them. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import {
  dependenciesOf,
  exportedModules,
  importsOf,
  isTest,
  isTesting,
  type Module,
  modules,
  namedTarget,
  packages,
  root,
  targetOf
} from "../../Workspace.ts"

const page = "docs/architecture.md"

/** The arrows `from --> to` of the picture under a heading, `a & b --> c & d` being four. */
const picture = (heading: string): ReadonlyArray<string> => {
  const text = readFileSync(join(root, page), "utf8")
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""
  const lines = section.split("```mermaid\n")[1]?.split("```")[0]?.split("\n") ?? []
  return lines
    .flatMap((line) => {
      const [from, to] = line.split("-->").map((side) => side.split("&").map((name) => name.trim()))
      return from === undefined || to === undefined
        ? []
        : from.flatMap((one) => to.map((other) => `${one} --> ${other}`))
    })
    .toSorted()
}

const distinct = (arrows: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(arrows)].toSorted()

/** A circle that the arrows make, as the names on it; undefined where they make none. */
const circle = (arrows: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const leads = new Map<string, Array<string>>()
  for (const arrow of arrows) {
    const [from = "", to = ""] = arrow.split(" --> ")
    leads.set(from, [...(leads.get(from) ?? []), to])
  }
  const seen = new Set<string>()
  const follow = (name: string, way: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name]
    if (seen.has(name)) return undefined
    seen.add(name)
    for (const next of leads.get(name) ?? []) {
      const found = follow(next, [...way, name])
      if (found !== undefined) return found
    }
    return undefined
  }
  return [...leads.keys()].map((name) => follow(name, [])).find((found) => found !== undefined)
}

const sources = (name: string): ReadonlyArray<Module> =>
  modules.filter(({ file }) => file.startsWith(`packages/${name}/src/`))

/** A folder of a package's sources; a module that is in none is a room of its own. */
const roomOf = (file: string): string => file.split("/src/")[1]?.split("/")[0]?.replace(/\.ts$/, "") ?? file

/** Arrows between the rooms of a package, as the imports are. `names` gives several rooms one name. */
const roomArrows = (name: string, names: Readonly<Record<string, string>> = {}): ReadonlyArray<string> =>
  distinct(
    sources(name).flatMap((module) =>
      importsOf(module)
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => [module.file, targetOf(module, specifier)].map(roomOf))
        .map((rooms) => rooms.map((room) => names[room] ?? room))
        .filter(([from, to]) => from !== to)
        .map(([from, to]) => `${from} --> ${to}`)
    )
  )

const offences = (found: (module: Module, specifier: string) => string | undefined): ReadonlyArray<string> =>
  modules.flatMap((module) =>
    importsOf(module).flatMap((specifier) => {
      const offence = found(module, specifier)
      return offence === undefined ? [] : [`${module.file} imports ${specifier}: ${offence}`]
    })
  )

describe(`what ${page} says of imports`, () => {
  it("packages need one another as the picture shows, and in no circle", () => {
    const arrows = packages
      .filter(({ folder }) => folder.startsWith("packages/"))
      .flatMap((found) => dependenciesOf(found).map((needed) => `${found.name} --> ${needed}`))
      .toSorted()
    assert.deepStrictEqual(picture("The rooms"), arrows)
    assert.isUndefined(circle(arrows))
  })

  it("core's rooms import one another as the picture shows", () => {
    const contracts = Object.fromEntries(
      sources("core")
        .map(({ file }) => file)
        .filter((file) => file.split("/").length === 4)
        .map((file) => [roomOf(file), "contracts"])
    )
    assert.deepStrictEqual(picture("Inside core"), roomArrows("core", contracts))
  })

  it("provider-k3s' rooms import one another as the picture shows", () => {
    assert.deepStrictEqual(picture("Inside provider-k3s"), roomArrows("provider-k3s"))
  })

  it("the order of a deploy's steps needs nothing where it runs: a workflow interprets it too", () => {
    const orchestration = modules.find(({ file }) => file === "packages/core/src/pipeline/Orchestration.ts")
    assert.deepStrictEqual(
      orchestration?.program.module.staticImports
        .filter(({ entries }) => !entries.every(({ isType }) => isType))
        .map(({ moduleRequest }) => moduleRequest.value),
      []
    )
  })
})

describe("an import", () => {
  it("by name leads to a module that its package exports", () => {
    assert.deepStrictEqual(
      offences((_, specifier) => {
        const target = namedTarget(specifier)
        if (target === undefined) return undefined
        const found = packages.find(({ name }) => name === target.name)
        if (found === undefined) return "there is no such package"
        return exportedModules(found).includes(target.module) ? undefined : "it is not exported"
      }),
      []
    )
  })

  it("by path stays in its package, or leads to a module that the other exports", () => {
    assert.deepStrictEqual(
      offences((module, specifier) => {
        if (!specifier.startsWith(".")) return undefined
        const target = targetOf(module, specifier)
        const owner = packages.find(({ folder }) => target.startsWith(`${folder}/`))
        if (owner === undefined || owner === module.owner) return undefined
        return exportedModules(owner).some((name) => target === `${owner.folder}/src/${name}.ts`)
          ? undefined
          : `it is in ${owner.folder}, which does not export it`
      }),
      []
    )
  })

  it("of a source leads to what its package needs where it runs, not to what only its tests need", () => {
    assert.deepStrictEqual(
      offences((module, specifier) => {
        const target = namedTarget(specifier)
        const { owner } = module
        if (target === undefined || owner === undefined || target.name === owner.name || isTest(module)) {
          return undefined
        }
        return dependenciesOf(owner).includes(target.name) ? undefined : "it is no dependency"
      }),
      []
    )
  })

  it("of a double for tests is by tests, other doubles, and what is not published", () => {
    assert.deepStrictEqual(
      offences((module, specifier) => {
        const isDouble = specifier.startsWith(".")
          ? isTesting(targetOf(module, specifier))
          : isTesting(`/${namedTarget(specifier)?.module ?? ""}`)
        const isPublished = module.owner !== undefined && module.owner.manifest.private !== true
        return isDouble && isPublished && !isTest(module) && !isTesting(module.file)
          ? "only tests may"
          : undefined
      }),
      []
    )
  })
})
