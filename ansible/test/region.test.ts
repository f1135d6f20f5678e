/** A region of another domain, vendor and country: laid out, checked, filled in, applied, and clean. `mcpdeploy region` as a process. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from "node:fs"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as CloudflareDouble from "@mcpdeploy/provider-cloudflare/testing/CloudflareDouble"
import * as HetznerDouble from "@mcpdeploy/provider-hetzner/testing/HetznerDouble"
import * as Effect from "effect/Effect"
import * as Ansible from "./lab/Ansible.ts"
import { temporary } from "./lab/Folder.ts"
import { missing } from "./lab/Needs.ts"

const lacks = missing(["python3", "flock"])
const project = fileURLToPath(new URL("../..", import.meta.url))
const cli = join(project, "packages/cli/src/main.ts")
const secret = "canary-vendor-secret"
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEann ann"
const balancerAddress = { ipv4: "5.161.7.5", ipv6: "2a01:4ff:f0::5" }

/** What a process printed and how it ended. */
const mcpdeploy = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.callback<{ readonly code: number; readonly out: string }>((resume) => {
    const {
      CLOUDFLARE_API_TOKEN: _,
      HCLOUD_TOKEN: __,
      ANSIBLE_VAULT_PASSWORD_FILE: ___,
      ...rest
    } = process.env
    const child = spawn(process.execPath, [cli, "region", ...args], { env: { ...rest, ...env } })
    let out = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.on("close", (code) => resume(Effect.succeed({ code: code ?? -1, out })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const regionsOf = Effect.map(temporary("mcpdeploy-new-region-"), (folder) => {
  const regions = join(folder, "regions")
  cpSync(join(project, "regions"), regions, { recursive: true })
  return { folder, regions }
})

/** Words of the region that a new one is like: in a path, and in a file's text. */
const wordsIn = (directory: string, words: RegExp): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" }).flatMap((file) => {
    const path = join(directory, file)
    const text = statSync(path).isFile() ? readFileSync(path, "utf8") : ""
    return [file, ...text.split("\n")].filter((line) => words.test(line)).map((line) => `${file}: ${line}`)
  })

const edit = (directory: string, file: string, change: (text: string) => string) => {
  const path = join(directory, file)
  writeFileSync(path, change(readFileSync(path, "utf8")))
}
const hosts = "inventory/hosts.yml"
const variables = "inventory/group_vars/all/main.yml"

const nodes = [
  ["ctrl-1", 10],
  ["ops-1", 20],
  ["build-1", 30],
  ["run-1", 41]
] as const

/** Step 1, as it stands when nothing was filled in. */
const toFillIn = [
  ...nodes.flatMap(([name, number]) => [
    `inventory/hosts.yml: ${name}.ansible_host 192.0.2.${number} is an example`,
    `inventory/hosts.yml: ${name}.hetzner_cloud.server_type fill-in is an example`
  ]),
  "inventory/group_vars/all/main.yml: region_admin_ranges.0 192.0.2.0/24 is an example",
  "inventory/group_vars/all/main.yml: region_backup_repository s3:https://backups.example.com/mcpdeploy/us-east-1 is an example",
  "inventory/group_vars/all/main.yml: region_temporal_address us-east-1.example.com:7233 is an example",
  "inventory/group_vars/all/main.yml: region_temporal_namespace fill-in is an example",
  "inventory/group_vars/all/vault.yml is not there",
  "known_hosts has no key of ctrl-1, ops-1, build-1, run-1",
  "region_ssh_keys is empty: nobody could reach the nodes"
]

interface Checked {
  readonly step: number
  readonly state: string
  readonly detail: string
  readonly todo?: string
}
const stepsOf = (out: string): ReadonlyArray<Checked> =>
  out
    .split("\n")
    .filter((line) => line.startsWith('{"step"'))
    .map((line): Checked => JSON.parse(line))

describe("a new region", () => {
  it.live(
    "has no word of the one that it is like, whose domain, vendor and country are others",
    () =>
      Effect.gen(function* () {
        const { regions } = yield* regionsOf
        const lay = (...args: ReadonlyArray<string>) =>
          Effect.tap(mcpdeploy(["new", ...args, "--regions", regions]), ({ code, out }) =>
            Effect.sync(() => assert.strictEqual(code, 0, out))
          )
        yield* lay("us-west-9", "--provider", "none", "--domain", "apps.acme.dev")
        assert.deepStrictEqual(
          wordsIn(
            join(regions, "us-west-9"),
            /ml\.ink|ml\[\.\]ink|eu-central|fsn1|hetzner|hcloud|robot|vswitch/i
          ),
          []
        )
        yield* lay("us-east-1", "--provider", "hetzner", "--location", "ash", "--domain", "acme.dev")
        assert.deepStrictEqual(
          wordsIn(join(regions, "us-east-1"), /ml\.ink|ml\[\.\]ink|eu-central|fsn1|robot|vswitch/i),
          []
        )
        assert.include(
          readFileSync(join(regions, "us-east-1/k8s/admission.yaml"), "utf8"),
          "r.host.matches('^[a-z0-9-]+-[a-z2-7]{16}[.]acme[.]dev$')"
        )
        const nowhere = yield* mcpdeploy(["new", "x", "--provider", "hetzner", "--regions", regions])
        assert.deepStrictEqual(
          [nowhere.code, /say with --location where at Hetzner/.test(nowhere.out)],
          [2, true]
        )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )
})

describe.skipIf(lacks !== "")(`region check of a new region ${lacks}`, () => {
  it.live(
    "lists exactly what is missing; after that is filled in and applied, it is clean; no secret is printed",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const { folder, regions } = yield* regionsOf
        const directory = join(regions, "us-east-1")
        yield* mcpdeploy([
          ...["new", "us-east-1", "--provider", "hetzner", "--location", "ash"],
          ...["--domain", "acme.dev", "--regions", regions]
        ])
        const hetzner = yield* HetznerDouble.make({
          token: secret,
          balancerAddress,
          addressOf: (name) => `5.161.7.${nodes.find(([one]) => one === name)?.[1]}`
        })
        const cloudflare = yield* CloudflareDouble.make({ token: secret, zone: "acme.dev" })
        // Stands for the nodes: says what the role `firewall` has written there.
        const programs = join(folder, "programs")
        const ruleset = join(folder, "firewall.nft")
        mkdirSync(programs)
        writeFileSync(join(programs, "ssh"), `#!/bin/sh\ncat ${ruleset}\n`)
        chmodSync(join(programs, "ssh"), 0o755)
        writeFileSync(ruleset, "  set web4 {\n    type ipv4_addr\n  }\n")
        const password = join(folder, "password")
        writeFileSync(password, "canary-vault-password\n")
        const env = {
          PATH: `${programs}:${bin}:${process.env["PATH"] ?? ""}`,
          HCLOUD_TOKEN: secret,
          HCLOUD_ENDPOINT: hetzner.baseUrl,
          CLOUDFLARE_API_TOKEN: secret,
          CLOUDFLARE_BASE_URL: cloudflare.baseUrl,
          ANSIBLE_VAULT_PASSWORD_FILE: password
        }
        const said: Array<string> = []
        const region = (...args: ReadonlyArray<string>) =>
          Effect.tap(mcpdeploy([...args, "--regions", regions], env), ({ out }) =>
            Effect.sync(() => said.push(out))
          )
        const check = Effect.map(
          region("check", "us-east-1", "--json", "--ansible", join(project, "ansible")),
          ({ code, out }) => ({ code, out, steps: stepsOf(out) })
        )

        const first = yield* check
        assert.strictEqual(first.code, 1)
        assert.deepStrictEqual(first.steps[0]?.detail.split("\n"), toFillIn)
        assert.deepStrictEqual(
          first.steps.map(({ state }) => state),
          ["missing", "done", "done", "missing", "missing", "missing", "missing", "missing", "missing"]
        )

        for (const [name, number] of nodes)
          edit(directory, hosts, (text) =>
            text
              .replace(`192.0.2.${number}`, `5.161.7.${number}`)
              .replace("fill-in", name.startsWith("run") ? "ccx33" : "cpx31")
          )
        edit(directory, variables, (text) =>
          text
            .replace("192.0.2.0/24", "9.9.8.0/24")
            .replace("region_ssh_keys: []", `region_ssh_keys: ["${sshKey}"]`)
            .replace("backups.example.com", "s3.acme.dev")
            .replace("us-east-1.example.com", "us-east-1.aws.api.temporal.io")
            .replace("fill-in", "acme.q1w2e")
        )
        edit(directory, "known_hosts", (text) =>
          nodes.reduce((all, [, number]) => `${all}5.161.7.${number} ssh-ed25519 AAAA\n`, text)
        )
        edit(directory, "README.md", (text) => text.replaceAll(/^(## .*)$/gm, "$1\n\nSaid.\n"))
        const vault = join(directory, "inventory/group_vars/all/vault.yml")
        copyFileSync(join(directory, "inventory/group_vars/vault.example.yml"), vault)
        const open = yield* check
        assert.include(open.steps[0]?.detail, "vault.yml is not encrypted")
        yield* run(join(bin, "ansible-vault"), ["encrypt", "--vault-password-file", password, vault])
        const untouched = yield* check
        assert.match(
          untouched.steps[0]?.detail ?? "",
          /vault\.yml lacks vault_k3s_token, .*vault_hcloud_token,/
        )
        const filled = readFileSync(join(directory, "inventory/group_vars/vault.example.yml"), "utf8")
          .split("\n")
          .map((line) => line.replace(/^(vault_\w+): .*$/, `$1: "${secret}"`))
          .join("\n")
        writeFileSync(vault, filled)
        yield* run(join(bin, "ansible-vault"), ["encrypt", "--vault-password-file", password, vault])

        const allowed = nodes.flatMap(([name]) => ["--allow", `hetzner server ${name}`])
        const applied = yield* region("apply", "us-east-1", ...allowed)
        assert.strictEqual(applied.code, 0, applied.out)
        const stale = yield* check
        assert.deepStrictEqual(
          stale.steps
            .filter(({ state }) => state !== "done")
            .map(({ detail, step }) => [step, detail.split(",")[0]]),
          [
            [1, "region.json says loadBalancerAddresses none"],
            [8, "run-1 lets in not yet 10.0.0.2/32"]
          ]
        )
        edit(directory, "region.json", (text) =>
          text.replace(
            '"loadBalancerAddresses": []',
            `"loadBalancerAddresses": ${JSON.stringify(Object.values(balancerAddress))}`
          )
        )
        const sources = readFileSync(join(directory, "inventory/group_vars/all/web_sources.yml"), "utf8")
        const setOf = (name: string, family: RegExp) =>
          `  set ${name} {\n    type ipv4_addr\n    elements = { ${[...sources.matchAll(/- "(.+)"/g)].flatMap(({ 1: range = "" }) => (family.test(range) ? [range] : [])).join(", ")} }\n  }\n`
        writeFileSync(ruleset, setOf("web4", /^[^:]*$/) + setOf("web6", /:/))
        const clean = yield* check
        assert.deepStrictEqual(
          clean.steps.map(({ detail, state }) => (state === "done" ? state : detail)),
          Array.from({ length: 9 }, () => "done")
        )
        assert.strictEqual(clean.code, 0, clean.out)
        assert.notInclude(said.join("\n"), "canary")
        assert.deepStrictEqual([...hetzner.violations, ...cloudflare.violations], [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    240_000
  )
})
