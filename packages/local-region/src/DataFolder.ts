/** Where everything of one region lies. */
import { createHash } from "node:crypto"
import { homedir } from "node:os"
import { join } from "node:path"

/** Where the region's data is when nothing else is said. */
export const defaultDataFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  join(env["XDG_STATE_HOME"] ?? join(homedir(), ".local", "state"), "mcpdeploy", "local")

/** Where tools and images are kept that all regions share. */
export const defaultCacheFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  join(env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mcpdeploy")

/** The files of a region's folder. */
export interface DataFolder {
  readonly root: string
  readonly lock: string
  readonly region: string
  readonly settings: string
  readonly events: string
  readonly pid: string
  readonly logs: string
  readonly certificates: string
  readonly configuration: string
  readonly kubeconfig: string
  readonly buildkitSocket: string
  readonly slirpSocket: string
  /** The folder below each cgroup hierarchy: its name is the region's own. */
  readonly cgroup: string
  readonly state: (server: string) => string
}

/** The longest path that a unix socket can have on Linux is 107 bytes. */
export const longestRoot = 107 - "/buildkitd.sock".length

/** The files of the region's folder `root`. */
export const dataFolder = (root: string): DataFolder => ({
  root,
  lock: join(root, "lock"),
  region: join(root, "region.json"),
  settings: join(root, "settings.json"),
  events: join(root, "events.ndjson"),
  pid: join(root, "pid"),
  logs: join(root, "logs"),
  certificates: join(root, "certificates"),
  configuration: join(root, "configuration"),
  kubeconfig: join(root, "kubeconfig"),
  buildkitSocket: join(root, "buildkitd.sock"),
  slirpSocket: join(root, "slirp.sock"),
  cgroup: `mcpdeploy-${createHash("sha256").update(root).digest("hex").slice(0, 12)}`,
  state: (server) => join(root, "state", server)
})
