/** What the layers are made with on this machine; Debian packages that are missing are installed. */
import { access, readdir } from "node:fs/promises"
import { delimiter, join } from "node:path"
import * as Effect from "effect/Effect"
import { run } from "../Command.ts"
import { LayerFailed, MachineLacks } from "./BaseImagesError.ts"
import { type Machine, versions } from "./Recipes.ts"

const debianPackages = [
  { package: "mmdebstrap", program: "mmdebstrap" },
  { package: "util-linux", program: "setpriv" },
  { package: "tar", program: "tar" }
]

const isOnPath = (program: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"]
    const found = await Promise.all(
      folders.map((folder) =>
        access(join(folder, program)).then(
          () => true,
          () => false
        )
      )
    )
    return found.includes(true)
  })

/** Certificates that this machine's administrator added (update-ca-certificates(8)). */
const addedCertificates = "/usr/local/share/ca-certificates"

export const inspect = Effect.fn("Machine.inspect")(function* () {
  const [goroot = "", goVersion = ""] = (yield* run("go", ["env", "GOROOT", "GOVERSION"], { cwd: "/" }).pipe(
    Effect.mapError(
      (error) => new MachineLacks({ what: "Go", advice: `install Go ${versions.go} (${error.message})` })
    )
  )).split("\n")
  if (goVersion !== `go${versions.go}` && !goVersion.startsWith(`go${versions.go}.`)) {
    return yield* new MachineLacks({
      what: `Go ${versions.go}`,
      advice: `it becomes the image golang:${versions.go}, and this machine has ${goVersion || "another"}; install it`
    })
  }
  const trusted = yield* Effect.promise(() => readdir(addedCertificates).catch((): Array<string> => []))
  const machine: Machine = {
    goroot,
    goVersion,
    trust: trusted.some((name) => name.endsWith(".crt")) ? addedCertificates : ""
  }
  return machine
})

/** Makes sure that layers can be made. Installs Debian packages that are missing. */
export const prepare = Effect.fn("Machine.prepare")(function* () {
  if (process.getuid?.() !== 0) {
    return yield* new MachineLacks({
      what: "root",
      advice: "packages are installed in a folder of their own, which needs root: run as root"
    })
  }
  if (!(yield* isOnPath("npm"))) {
    return yield* new MachineLacks({ what: "npm", advice: "install it (it comes with Node)" })
  }
  const missing = yield* Effect.filter(debianPackages, ({ program }) =>
    Effect.map(isOnPath(program), (found) => !found)
  )
  if (missing.length === 0) return
  const packages = missing.map((entry) => entry.package)
  if (!(yield* isOnPath("apt-get"))) {
    return yield* new MachineLacks({
      what: packages.join(", "),
      advice: "install it; there is no apt-get here to do so"
    })
  }
  const aptGet = (...args: ReadonlyArray<string>) =>
    run("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=300", ...args], {
      env: { DEBIAN_FRONTEND: "noninteractive" }
    })
  const install = aptGet("install", "-y", "--no-install-recommends", "debian-archive-keyring", ...packages)
  yield* install.pipe(
    // Without lists, or with old ones, the package is not found.
    Effect.catch(() => Effect.andThen(aptGet("update"), install)),
    Effect.mapError(
      (error) => new LayerFailed({ layer: "none yet: installing packages", output: error.message })
    )
  )
})
