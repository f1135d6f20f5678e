/** What the playbook `check` says of a vault, before anything is changed. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import { parse, stringify } from "yaml"
import * as Ansible from "./lab/Ansible.ts"

const eu = fileURLToPath(new URL("../../regions/eu-central-1", import.meta.url))
const example: Record<string, string> = parse(
  readFileSync(join(eu, "inventory/group_vars/vault.example.yml"), "utf8")
)
const full = Object.fromEntries(Object.keys(example).map((name) => [name, `a value of ${name}`]))

describe("a vault", () => {
  it.live(
    "is refused where it is not encrypted, lacks a variable, or still says what the example says",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-vault-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        const region = join(folder, "eu-central-1")
        cpSync(eu, region, { recursive: true })
        const file = join(region, "inventory/group_vars/all/vault.yml")
        const password = join(folder, "password")
        writeFileSync(password, "canary-password\n")
        const env = {
          ...Ansible.environment(bin),
          ANSIBLE_HOME: join(folder, "ansible"),
          ANSIBLE_VAULT_PASSWORD_FILE: password
        }
        const check = (vault: Readonly<Record<string, string>>, isEncrypted = true) =>
          Effect.gen(function* () {
            writeFileSync(file, stringify(vault))
            if (isEncrypted) yield* run(join(bin, "ansible-vault"), ["encrypt", file], { env })
            yield* run(
              join(bin, "ansible-playbook"),
              [
                ...["--inventory", join(region, "inventory"), "--connection", "local"],
                join(Ansible.folder, "playbooks/check.yml")
              ],
              { env }
            )
          })
        yield* check(full)
        const open = yield* Effect.flip(check(full, false))
        assert.include(open.message, "ansible-vault encrypt it")
        const { vault_k3s_agent_token: _, ...rest } = full
        const lacking = yield* Effect.flip(
          check({
            ...rest,
            vault_k3s_token: example["vault_k3s_token"] ?? "",
            vault_grafana_admin_password: ""
          })
        )
        for (const name of ["vault_k3s_token", "vault_k3s_agent_token", "vault_grafana_admin_password"])
          assert.match(lacking.message, new RegExp(`\\b${name}\\b`))
        assert.notInclude(lacking.message, "vault_backup_password")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    240_000
  )
})
