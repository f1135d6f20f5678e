/**
 * `pnpm reference`: the reference of the public API, `docs/reference/{package}.md`, from the declarations and docstrings of all
 * modules that published packages export. A check sees that each export has one.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Export, publicApi } from "./PublicApi.ts"
import { exportedModules, type Package, packages, root } from "./Workspace.ts"

const folder = "docs/reference"

const signature = (text: string): string =>
  text
    .replace(/^export (declare )?/, "")
    .replace(/ \{\s*\}$/, "")
    .replaceAll(/import\("[^"]+"\)\./g, "")

/** What has one name, a value and a type say, under one heading. */
const section = (name: string, exports: ReadonlyArray<Export>): string => {
  const parts = exports.filter((one) => one.name === name)
  return [
    `### ${name}`,
    ...parts.flatMap(({ doc }) => (doc === undefined ? [] : [doc])),
    ["```ts", ...parts.map(({ text }) => signature(text)), "```"].join("\n")
  ].join("\n\n")
}

const page = (found: Package): string => {
  const modules = exportedModules(found).map((module) => {
    const { exports } = publicApi(join(root, found.folder, "dist", `${module}.d.ts`))
    // The compiler leaves out what stands above the imports.
    const { about } = publicApi(join(root, found.folder, "src", `${module}.ts`))
    const names = [...new Set(exports.map(({ name }) => name))]
    return [
      `## ${found.manifest.name}/${module}`,
      ...(about === undefined ? [] : [about]),
      ...names.map((name) => section(name, exports))
    ].join("\n\n")
  })
  return `${[`# ${found.manifest.name}`, found.manifest.description ?? "", ...modules].join("\n\n")}\n`
}

const { status } = spawnSync("tsc", ["-b"], { cwd: root, stdio: "inherit" })
if (status !== 0) process.exit(status ?? 1)

rmSync(join(root, folder), { recursive: true, force: true })
mkdirSync(join(root, folder), { recursive: true })
for (const found of packages.filter(({ manifest }) => manifest.private !== true)) {
  const file = `${folder}/${found.name}.md`
  writeFileSync(join(root, file), page(found))
  process.stdout.write(`${file}\n`)
}
