/** Ansible in the versions of requirements.txt, in the user's cache folder: installed by the first run, by hash. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { run } from "@mcpdeploy/local-region/Command"

/** The folder `ansible/` of the repository. */
export const folder = fileURLToPath(new URL("../..", import.meta.url))

const requirements = join(folder, "requirements.txt")

export const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mcpdeploy")

const install = `set -e
exec 8> "$1.lock"
flock 8
[ -e "$1/complete" ] && exit 0
rm -rf "$1"
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$2"
touch "$1/complete"`

/** The folder of the programs `ansible-playbook`, `ansible-lint` and their like. */
export const installed = Effect.gen(function* () {
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12)
  const target = join(cache, `ansible-${digest}`)
  yield* run("mkdir", ["-p", cache])
  yield* run("sh", ["-c", install, "sh", target, requirements]).pipe(Effect.timeout("5 minutes"))
  return join(target, "bin")
})

/** What Ansible reads from the environment. */
export const environment = (bin: string) => ({
  ANSIBLE_CONFIG: join(folder, "ansible.cfg"),
  ANSIBLE_NOCOLOR: "1",
  PATH: `${bin}:${process.env["PATH"] ?? ""}`
})
