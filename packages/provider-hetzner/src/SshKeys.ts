/** Administrators' SSH keys: those of the region's inventory, which servers are made with. */
import { createHash } from "node:crypto"
import type { SshKey } from "./api/Resources.ts"

export interface DesiredSshKey {
  readonly name: string
  /** A line of `~/.ssh/id_ed25519.pub`. */
  readonly publicKey: string
}

/** Type and key, without the comment: what makes two lines the same key. */
const materialOf = (publicKey: string): string => publicKey.trim().split(/\s+/).slice(0, 2).join(" ")

/** A name is given once in a project, so it is made of the key. */
export const desiredSshKey = (region: string, publicKey: string): DesiredSshKey => ({
  name: `mcpdeploy-${region}-${createHash("sha256").update(materialOf(publicKey)).digest("hex").slice(0, 12)}`,
  publicKey
})

/** The project's object of a key, whoever made it: Hetzner takes a key only once. */
export const findSshKey = (keys: ReadonlyArray<SshKey>, { publicKey }: DesiredSshKey): SshKey | undefined =>
  keys.find(({ public_key }) => materialOf(public_key) === materialOf(publicKey))
