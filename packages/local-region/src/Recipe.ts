/** A tool's recipe: everything that decides what its build gives, and the hash of it. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { GoModule, GoTool } from "./Tools.ts"

/** `toolchain/` lies beside both `src` and `dist`. */
export const toolchainFolder = fileURLToPath(new URL("../toolchain", import.meta.url))

export const buildTags = ["no_containerd_worker", "no_btrfs", "no_devmapper", "no_zfs", "no_tracing"]

const moduleHash = (module: GoModule): string => {
  const hash = createHash("sha256")
  const folder = join(toolchainFolder, module.folder)
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
  for (const file of files) {
    const content = readFileSync(file)
    hash.update(`${file.slice(folder.length)}\0${content.length}\0`).update(content)
  }
  return hash.update(JSON.stringify(module)).digest("hex")
}

/** Of the folder that a module's tools are built in. */
export const moduleKey = (module: GoModule): string => `${module.folder}-${moduleHash(module).slice(0, 12)}`

/** `name-version-hash`: the tool's folder in the cache. Weights and what may stand in for the tool do not count. */
export const toolKey = (tool: GoTool, architecture: string = process.arch): string => {
  const { name, version, packages, links, ldflags, tags, cgo, assets } = tool
  const hash = createHash("sha256")
    .update(
      JSON.stringify({
        ...{ name, version, packages, links, ldflags, architecture },
        ...{ buildTags: tags ?? buildTags, cgo, assets }
      })
    )
    .update(moduleHash(tool.module))
    .digest("hex")
  return `${name}-${version}-${hash.slice(0, 12)}`
}
