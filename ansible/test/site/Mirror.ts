/** Releases as their projects publish them, for machines that take them from a mirror; of programs that `mcpdeploy local` has built. */
import { createHash } from "node:crypto"
import { execFileSync } from "node:child_process"
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"
import { toolFolder } from "../lab/ToolCache.ts"

const built = {
  gvisor: toolFolder("gvisor"),
  buildkit: toolFolder("buildkit"),
  gitea: toolFolder("gitea"),
  kubernetes: toolFolder("kubernetes"),
  kubectl: toolFolder("kubectl")
}
/** What is not built yet. */
export const absent = Object.entries(built).flatMap(([name, folder]) => (folder === undefined ? [name] : []))

/** eu-central-1's directory. */
export const eu = fileURLToPath(new URL("../../../regions/eu-central-1", import.meta.url))
export const yamlOf = (file: string): Record<string, unknown> => parse(readFileSync(join(eu, file), "utf8"))
const versionOf = (name: string): string =>
  String(yamlOf("inventory/group_vars/all/main.yml")[`region_${name}_version`])
const versions = {
  k3s: versionOf("k3s"),
  gvisor: versionOf("gvisor"),
  buildkit: versionOf("buildkit"),
  gitea: versionOf("gitea")
}

const digestOf = (file: string, sum: "sha256" | "sha512"): string =>
  createHash(sum).update(readFileSync(file)).digest("hex")

/**
 * By path; `k3s` is the stand-in beside this file, what it is made of comes in `k3s-parts.tar`. The checksums that a region's variables
 * pin, of what is served here.
 */
export const makeMirror = (root: string): Record<string, string> => {
  const put = (path: string, from: string, sum: "sha256" | "sha512" | undefined) => {
    const target = join(root, path)
    mkdirSync(join(target, ".."), { recursive: true })
    copyFileSync(from, target)
    chmodSync(target, 0o755)
    if (sum === undefined) return
    writeFileSync(`${target}.${sum}`, `${digestOf(target, sum)}  ${path.split("/").at(-1)}\n`)
  }
  const k3s = `k3s/${versions.k3s}/k3s`
  put(k3s, fileURLToPath(new URL("k3s", import.meta.url)), undefined)
  const gvisor = join(root, "gvisor.tar.bz2")
  execFileSync("tar", [...["-C", built.gvisor ?? "", "-chjf", gvisor, "runsc", "containerd-shim-runsc-v1"]])
  put(`gvisor/${versions.gvisor}/x86_64/gvisor.tar.bz2`, gvisor, "sha512")
  put(
    `gitea/${versions.gitea}/gitea-${versions.gitea}-linux-amd64`,
    join(built.gitea ?? "", "gitea"),
    "sha256"
  )
  // A release has these within it; the one that was built here has not.
  const files = readdirSync(built.gitea ?? "").filter((name) =>
    ["options", "templates", "public"].includes(name)
  )
  execFileSync("tar", ["-C", built.gitea ?? "", "-czf", join(root, "gitea-files.tar.gz"), ...files])
  execFileSync("tar", [
    ...["-chf", join(root, "k3s-parts.tar"), "-C", built.kubernetes ?? "", "kube-apiserver"],
    ...["kube-controller-manager", "kube-scheduler", "-C", built.kubectl ?? "", "kubectl"],
    ...["-C", fileURLToPath(new URL(".", import.meta.url)), "flags.json"]
  ])
  const bin = join(root, "bin")
  mkdirSync(bin, { recursive: true })
  for (const name of ["buildkitd", "buildctl"])
    copyFileSync(join(built.buildkit ?? "", name), join(bin, name))
  mkdirSync(join(root, `buildkit/${versions.buildkit}`), { recursive: true })
  const buildkit = join(
    root,
    `buildkit/${versions.buildkit}/buildkit-${versions.buildkit}.linux-amd64.tar.gz`
  )
  execFileSync("tar", ["-C", root, "-czf", buildkit, "bin"])
  return {
    region_k3s_checksum: `sha256:${digestOf(join(root, k3s), "sha256")}`,
    region_buildkit_checksum: `sha256:${digestOf(buildkit, "sha256")}`
  }
}
