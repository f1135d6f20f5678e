/**
 * How each layer is made: a script of `toolchain/images`, its inputs, and the layer that it starts from.
 *
 * A script runs in an empty folder, finds `base.tar` there when it has a base, and leaves `layer.tar`. A layer is kept
 * under the hash of everything that decides its content, save for what the packages' archives hold that day.
 */
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { CacheUnusable } from "./BaseImagesError.ts"

export const versions = {
  node: "24.21.0",
  npm: "11.21.2",
  corepack: "0.34.7",
  yarn: "1.22.22",
  python: "3.13",
  /** The minor version that this machine's Go must have. */
  go: "1.26"
} as const

interface RecipeOf {
  readonly script: string
  readonly base?: string
  /** Passed to the script as variables. */
  readonly inputs: Readonly<Record<string, string>>
  /** Seconds on two idle cores. Measured. */
  readonly seconds: number
}

const user = (base: string, name: string, id: number, home: string, shell: string): RecipeOf => ({
  script: "user.sh",
  base,
  inputs: { NAME: name, ID: String(id), HOME_FOLDER: home, LOGIN_SHELL: shell },
  seconds: 1
})

export const recipes = {
  "debian-13": { script: "debian.sh", inputs: { SUITE: "trixie", INCLUDE: "ca-certificates" }, seconds: 24 },
  "debian-12": { script: "debian.sh", inputs: { SUITE: "bookworm", INCLUDE: "" }, seconds: 24 },
  node: {
    script: "node.sh",
    inputs: { NODE: versions.node, NPM: versions.npm, COREPACK: versions.corepack, YARN: versions.yarn },
    seconds: 8
  },
  go: { script: "go.sh", inputs: {}, seconds: 7 },
  "build-tools": {
    script: "packages.sh",
    base: "debian-13",
    inputs: {
      INSTALL: "gcc g++ libc6-dev make pkg-config git curl wget python3-minimal openssh-client xz-utils unzip"
    },
    seconds: 22
  },
  python: { script: "python.sh", base: "debian-13", inputs: { VERSION: versions.python }, seconds: 11 },
  busybox: { script: "busybox.sh", base: "debian-13", inputs: {}, seconds: 8 },
  glibc: { script: "glibc.sh", base: "debian-13", inputs: {}, seconds: 9 },
  nginx: { script: "nginx.sh", base: "debian-13", inputs: {}, seconds: 9 },
  "node-user": user("debian-13", "node", 1000, "/home/node", "/bin/bash"),
  "node-user-busybox": user("busybox", "node", 1000, "/home/node", "/bin/sh"),
  "nginx-user": user("busybox", "nginx", 101, "/var/cache/nginx", "/sbin/nologin")
} as const satisfies Record<string, RecipeOf>

export type LayerName = keyof typeof recipes

/** A layer as this machine would make it. */
export interface Recipe {
  readonly name: LayerName
  readonly script: string
  readonly base?: LayerName
  readonly environment: Readonly<Record<string, string>>
  readonly seconds: number
  readonly hash: string
}

/** What of the machine goes into the layers. */
export interface Machine {
  readonly goroot: string
  /** Such as `go1.26.8`. */
  readonly goVersion: string
  /** Folder of certificates that the administrator added, or empty. */
  readonly trust: string
}

/** The folder of the scripts: the same from `src/images` and from `dist/images`. */
export const folder = join(import.meta.dirname, "../../toolchain/images")

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" }
/** This machine's architecture as OCI names it. */
export const architecture = architectures[process.arch] ?? process.arch

/** Changes when what is kept of a layer changes its form. */
const format = 1

const layerNames = (names: ReadonlyArray<string>): ReadonlyArray<LayerName> =>
  names.filter((name): name is LayerName => Object.hasOwn(recipes, name))

/** A script and, in turn, each file that it names. */
const sources = async (
  file: string,
  seen = new Map<string, string>()
): Promise<ReadonlyMap<string, string>> => {
  if (seen.has(file)) return seen
  const text = await readFile(join(folder, file), "utf8")
  seen.set(file, text)
  for (const [, named] of text.matchAll(/\$\{?RECIPES\}?\/([\w./-]+)/g)) {
    if (named !== undefined) await sources(named, seen)
  }
  return seen
}

const trustOf = async (path: string): Promise<ReadonlyArray<string>> =>
  path === ""
    ? []
    : Promise.all(
        (await readdir(path))
          .filter((name) => name.endsWith(".crt"))
          .toSorted()
          .map((name) => readFile(join(path, name), "utf8"))
      )

/** All recipes, bases before what stands on them. */
export const resolve = Effect.fn("Recipes.resolve")((machine: Machine) =>
  Effect.tryPromise({
    try: async () => {
      const trust = await trustOf(machine.trust)
      const resolved = new Map<LayerName, Recipe>()
      for (const name of layerNames(Object.keys(recipes))) {
        const recipe: RecipeOf = recipes[name]
        const base =
          recipe.base === undefined
            ? undefined
            : [...resolved.values()].find((made) => made.name === recipe.base)
        const decides = {
          format,
          architecture,
          files: [...(await sources(recipe.script))],
          inputs: recipe.inputs,
          base: base?.hash,
          trust: recipe.script === "debian.sh" ? trust : [],
          go: recipe.script === "go.sh" ? machine.goVersion : ""
        }
        resolved.set(name, {
          name,
          script: recipe.script,
          ...(base === undefined ? {} : { base: base.name }),
          environment: {
            ...recipe.inputs,
            ARCHITECTURE: process.arch,
            GOROOT_FOLDER: machine.goroot,
            TRUST: machine.trust,
            RECIPES: folder
          },
          seconds: recipe.seconds,
          hash: createHash("sha256").update(JSON.stringify(decides)).digest("hex")
        })
      }
      return resolved
    },
    catch: (cause) => new CacheUnusable({ folder, detail: String(cause) })
  })
)
