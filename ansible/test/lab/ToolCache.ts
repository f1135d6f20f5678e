/** Programs that `mcpdeploy local` has built on this machine. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { cache } from "./Ansible.ts"

/** The tool's folder; none where it is not built yet. */
export const toolFolder = (name: string): string | undefined => {
  try {
    const tools = join(cache, "tools")
    const found = readdirSync(tools).find(
      (entry) => entry.startsWith(`${name}-`) && !/[.](lock|part)$/.test(entry)
    )
    return found === undefined ? undefined : join(tools, found)
  } catch {
    return undefined
  }
}
