/** What a test of this folder needs of the machine; what is missing goes into its name, and it is skipped. */
import { execFileSync } from "node:child_process"

const isInstalled = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", 'command -v "$1"', "sh", program], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** Empty when nothing is missing. */
export const missing = (programs: ReadonlyArray<string>): string => {
  if (process.getuid?.() !== 0) return "(skipped: network namespaces need root)"
  const absent = programs.filter((program) => !isInstalled(program))
  return absent.length === 0 ? "" : `(skipped: install ${absent.join(", ")})`
}

/** Debian: nftables, iproute2, util-linux, python3-venv. */
export const forNamespaces = ["nft", "ip", "unshare", "nsenter", "setpriv", "flock", "python3"]

/** Debian: also systemd-container, debootstrap, openssh-client, slirp4netns. */
export const forMachines = [
  ...forNamespaces,
  "systemd-nspawn",
  "debootstrap",
  "ssh",
  "ssh-keygen",
  "slirp4netns"
]
