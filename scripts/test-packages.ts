/**
 * What only tests need, from Debian, as the local region gets what it needs: installed where this is root on a Debian. Where it is
 * not, the tests that lack something are skipped, and say what.
 */
import { execFile } from "node:child_process"
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)
const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" }

/** Program and package. */
const installed = [
  ["nft", "nftables"],
  ["systemd-nspawn", "systemd-container"],
  ["debootstrap", "debootstrap"],
  ["ssh-keygen", "openssh-client"],
  ["restic", "restic"]
] as const

const folders = [
  ...new Set([...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])
]

const isThere = async (program: string, where: ReadonlyArray<string>): Promise<boolean> => {
  const found = await Promise.all(
    where.map((folder) =>
      access(join(folder, program), constants.X_OK).then(
        () => true,
        () => false
      )
    )
  )
  return found.includes(true)
}

/** Unpacked, because installing it would start a service on this machine: program and package. */
const unpacked = [
  ["promtool", "prometheus"],
  ["prometheus-alertmanager", "prometheus-alertmanager"]
] as const

/** The folder of the package's programs. */
const unpack = async (program: string, name: string): Promise<string> => {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mcpdeploy/debian")
  const target = join(cache, name)
  const programs = join(target, "usr/bin")
  if (await isThere(program, [programs])) return programs
  await mkdir(cache, { recursive: true })
  const part = await mkdtemp(join(cache, `${name}-`))
  try {
    await run("apt-get", ["-o", "APT::Sandbox::User=root", "download", name], { cwd: part, env })
    const [archive = ""] = await readdir(part)
    await run("dpkg-deb", ["-x", archive, "."], { cwd: part })
    await rm(target, { recursive: true, force: true })
    await rename(part, target)
  } finally {
    await rm(part, { recursive: true, force: true })
  }
  return programs
}

/** Folders for PATH. */
export const testPackages = async (): Promise<ReadonlyArray<string>> => {
  if (process.getuid?.() !== 0 || !(await isThere("apt-get", folders))) return []
  const checked = await Promise.all(
    installed.map(async ([program, name]) => ((await isThere(program, folders)) ? [] : [name]))
  )
  const missing = checked.flat()
  if (missing.length > 0) {
    const install = () => run("apt-get", ["install", "-y", "--no-install-recommends", ...missing], { env })
    // The package lists may be missing or old.
    await install().catch(async () => {
      await run("apt-get", ["update"], { env })
      await install()
    })
    process.stdout.write(`installed ${missing.join(", ")}\n`)
  }
  const more = await Promise.all(
    unpacked.map(async ([program, name]) =>
      (await isThere(program, folders)) ? [] : [await unpack(program, name)]
    )
  )
  return more.flat()
}
