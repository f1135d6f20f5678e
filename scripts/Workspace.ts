/** The workspace as a reader of its files sees it: packages, what each exports, and what each module imports. */
import { globSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { parseSync } from "oxc-parser"

export const root = resolve(import.meta.dirname, "..")
export const scope = "@mcpdeploy/"

export interface Manifest {
  readonly name: string
  readonly description?: string
  readonly private?: boolean
  readonly exports?: Readonly<Record<string, string>>
  readonly publishConfig?: { readonly exports?: Readonly<Record<string, string>> }
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export interface Package {
  /** Without the scope. */
  readonly name: string
  /** From the workspace's root, such as `packages/core`. */
  readonly folder: string
  readonly manifest: Manifest
}

const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))

/** Every package that has the scope, also those that are never published. */
export const packages: ReadonlyArray<Package> = globSync(
  ["ansible", "bench", "packages/*", "examples/*"].map((folder) => `${folder}/package.json`),
  { cwd: root }
)
  .map((file) => ({ folder: dirname(file), manifest: readManifest(dirname(file)) }))
  .filter(({ manifest }) => manifest.name.startsWith(scope))
  .map((found) => ({ ...found, name: found.manifest.name.slice(scope.length) }))
  .toSorted((left, right) => left.name.localeCompare(right.name))

/** Names of the workspace's packages that another needs where it runs. */
export const dependenciesOf = ({ manifest }: Package): ReadonlyArray<string> =>
  Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
    .filter((name) => name.startsWith(scope))
    .map((name) => name.slice(scope.length))
    .toSorted()

/** Modules that an importer may name, by their path in the package: `domain/Identity`. */
export const exportedModules = ({ manifest }: Package): ReadonlyArray<string> =>
  Object.entries(manifest.exports ?? {})
    .filter(([, file]) => file.endsWith(".ts"))
    .map(([name]) => name.slice("./".length))

export interface Module {
  /** Undefined for the workspace's own scripts. */
  readonly owner: Package | undefined
  /** From the workspace's root. */
  readonly file: string
  readonly text: string
  readonly program: ReturnType<typeof parseSync>
}

/** Every module that people wrote. */
export const modules: ReadonlyArray<Module> = globSync(
  ["scripts", "ansible", "bench", "packages/*", "examples/*"].map((folder) => `${folder}/**/*.ts`),
  { cwd: root, exclude: ["**/node_modules", "**/dist", "**/gen", "**/toolchain"] }
).map((file) => {
  const text = readFileSync(join(root, file), "utf8")
  return {
    owner: packages.find(({ folder }) => file.startsWith(`${folder}/`)),
    file,
    text,
    program: parseSync(file, text)
  }
})

/** What a module imports or exports again, by the text between the quotes; type imports too. */
export const importsOf = ({ program, text }: Module): ReadonlyArray<string> => [
  ...program.module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
  ...program.module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest }) => (moduleRequest === null ? [] : [moduleRequest.value]))
  ),
  ...program.module.dynamicImports
    .map(({ moduleRequest }) => text.slice(moduleRequest.start, moduleRequest.end))
    .filter((source) => /^["']/.test(source))
    .map((source) => source.slice(1, -1))
]

/** The file that a relative import leads to, from the workspace's root. */
export const targetOf = ({ file }: Module, specifier: string): string =>
  relative(root, resolve(root, dirname(file), specifier))

/** The package and module of an import by name; undefined for what is not of this workspace. */
export const namedTarget = (
  specifier: string
): { readonly name: string; readonly module: string } | undefined => {
  if (!specifier.startsWith(scope)) return undefined
  const [name = "", ...module] = specifier.slice(scope.length).split("/")
  return { name, module: module.join("/") }
}

export const isTest = ({ file }: Module): boolean => /(^|\/)test\//.test(file)

/** Doubles and harnesses that are published for tests. */
export const isTesting = (module: string): boolean => /(^|\/)testing\//.test(module)
