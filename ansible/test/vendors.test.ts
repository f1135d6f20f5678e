/** `vendors.yml`, as Ansible runs it: `mcpdeploy region` as a process, against doubles of Hetzner's and Cloudflare's APIs. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as CloudflareDouble from "@mcpdeploy/provider-cloudflare/testing/CloudflareDouble"
import * as HetznerDouble from "@mcpdeploy/provider-hetzner/testing/HetznerDouble"
import * as RobotDouble from "@mcpdeploy/provider-hetzner/testing/RobotDouble"
import * as Effect from "effect/Effect"
import * as Ansible from "./lab/Ansible.ts"
import { temporary } from "./lab/Folder.ts"
import { missing } from "./lab/Needs.ts"

const lacks = missing(["python3", "flock"])
const project = fileURLToPath(new URL("../..", import.meta.url))
const secret = "canary-vendor-secret"

describe.skipIf(lacks !== "")(`vendors.yml ${lacks}`, () => {
  it.live(
    "join dedicated servers first, then make the rest; --check makes nothing; run again nothing changes; no secret is printed",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const folder = yield* temporary("mcpdeploy-vendors-")
        const region = join(folder, "eu-central-1")
        cpSync(join(project, "regions/eu-central-1"), region, { recursive: true })
        const variables = join(region, "inventory/group_vars/all/main.yml")
        writeFileSync(
          variables,
          readFileSync(variables, "utf8").replace(
            "region_ssh_keys: []",
            "region_ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEann ann]"
          )
        )
        const webSources = join(region, "inventory/group_vars/all/web_sources.yml")
        rmSync(webSources, { force: true })
        const hetzner = yield* HetznerDouble.make({
          token: secret,
          dedicated: ["198.51.100.41"],
          addressOf: (server) => (server === "run-2" ? "203.0.113.42" : "203.0.113.10")
        })
        const robot = yield* RobotDouble.make({
          user: "robot",
          password: secret,
          servers: { 2300020: "198.51.100.20", 2300030: "198.51.100.30", 2300041: "198.51.100.41" }
        })
        const cloudflare = yield* CloudflareDouble.make({ token: secret })
        const extra = join(folder, "extra.json")
        writeFileSync(
          extra,
          JSON.stringify({
            hetzner_lb_allow: ["hetzner server run-2", "hetzner server ctrl-1"],
            vault_hcloud_token: secret,
            vault_cloudflare_api_token: secret,
            vault_hetzner_robot_user: "robot",
            vault_hetzner_robot_password: secret
          })
        )
        const output: Array<string> = []
        const vendors = (...args: ReadonlyArray<string>) =>
          run(
            join(bin, "ansible-playbook"),
            [
              ...["--inventory", join(region, "inventory/hosts.yml"), "--extra-vars", `@${extra}`],
              ...["--diff", "-v", ...args, join(Ansible.folder, "playbooks/vendors.yml")]
            ],
            {
              env: {
                ...Ansible.environment(bin),
                ANSIBLE_HOME: join(folder, "ansible"),
                HCLOUD_ENDPOINT: hetzner.baseUrl,
                HETZNER_ROBOT_ENDPOINT: robot.baseUrl,
                CLOUDFLARE_BASE_URL: cloudflare.baseUrl
              },
              onLine: (line) => Effect.sync(() => output.push(line))
            }
          )
        const writes = () => [hetzner.writes(), robot.writes(), cloudflare.writes()].flat()

        yield* vendors("--check")
        assert.deepStrictEqual(writes(), [])
        yield* vendors()
        assert.strictEqual(robot.vswitches.length, 1)
        assert.include(JSON.stringify(hetzner.networks.all()), `"vswitch_id":${robot.vswitches[0]?.id}`)
        assert.match(readFileSync(webSources, "utf8"), /173\.245\.48\.0\/20/)
        assert.isAbove(cloudflare.writes().length, 5)
        assert.include(output.join("\n"), "hetzner_lb : Read the addresses that may reach run nodes anew")

        const made = writes().length
        const again = output.length
        yield* vendors()
        assert.strictEqual(writes().length, made)
        assert.match(output.slice(again).join("\n"), /changed=0/)
        assert.notMatch(output.slice(again).join("\n"), /changed=[1-9]/)
        assert.notInclude(output.join("\n"), secret)
        assert.deepStrictEqual([hetzner.violations, robot.violations, cloudflare.violations].flat(), [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    240_000
  )
})
