/**
 * The whole of `site.yml` on four machines over SSH. Sandbox, builds and Gitea are the real programs, from a mirror in the lab; k3s is a
 * STAND-IN (site/k3s), and the vendors are left out. Minutes of two cores: only with MCPDEPLOY_TEST_FULL=1.
 */
import { createHash } from "node:crypto"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Machines from "./lab/Machines.ts"
import { forMachines, missing } from "./lab/Needs.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const tools = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mcpdeploy/tools")
const toolFolder = (name: string): string | undefined => {
  try {
    const found = readdirSync(tools).find((entry) => entry.startsWith(`${name}-`) && !entry.endsWith(".lock"))
    return found === undefined ? undefined : join(tools, found)
  } catch {
    return undefined
  }
}
const built = { gvisor: toolFolder("gvisor"), buildkit: toolFolder("buildkit"), gitea: toolFolder("gitea") }
const absent = Object.entries(built).flatMap(([name, folder]) => (folder === undefined ? [name] : []))
const needs = [
  missing(forMachines),
  ...(isFull ? [] : ["(skipped: minutes of two cores, with MCPDEPLOY_TEST_FULL=1)"]),
  ...(absent.length === 0 ? [] : [`(skipped: \`mcpdeploy local\` has not built ${absent.join(", ")})`])
].find((text) => text !== "")

const versions = { k3s: "v1.36.3+k3s1", gvisor: "20260905.0", buildkit: "v0.34.2", gitea: "1.26.0" }
const playbookOf = (name: string) => fileURLToPath(new URL(`../playbooks/${name}.yml`, import.meta.url))

/** Releases as their projects publish them, by path. */
const makeMirror = (root: string): void => {
  const put = (path: string, from: string, sum: "sha256" | "sha512" | undefined) => {
    const target = join(root, path)
    mkdirSync(join(target, ".."), { recursive: true })
    copyFileSync(from, target)
    chmodSync(target, 0o755)
    if (sum === undefined) return
    const digest = createHash(sum).update(readFileSync(target)).digest("hex")
    writeFileSync(`${target}.${sum}`, `${digest}  ${path.split("/").at(-1)}\n`)
  }
  const k3s = `k3s/${versions.k3s}/k3s`
  put(k3s, fileURLToPath(new URL("site/k3s", import.meta.url)), undefined)
  const digest = createHash("sha256")
    .update(readFileSync(join(root, k3s)))
    .digest("hex")
  writeFileSync(join(root, `k3s/${versions.k3s}/sha256sum-amd64.txt`), `${digest}  k3s\n`)
  for (const name of ["runsc", "containerd-shim-runsc-v1"])
    put(`gvisor/${versions.gvisor}/x86_64/${name}`, join(built.gvisor ?? "", name), "sha512")
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
  const bin = join(root, "bin")
  mkdirSync(bin, { recursive: true })
  for (const name of ["buildkitd", "buildctl"])
    copyFileSync(join(built.buildkit ?? "", name), join(bin, name))
  mkdirSync(join(root, `buildkit/${versions.buildkit}`), { recursive: true })
  execFileSync("tar", [
    ...[
      "-C",
      root,
      "-czf",
      join(root, `buildkit/${versions.buildkit}/buildkit-${versions.buildkit}.linux-amd64.tar.gz`)
    ],
    "bin"
  ])
}

/** An authority and buildkitd's certificate. */
const certificates = (folder: string) => {
  const openssl = (...args: ReadonlyArray<string>) =>
    execFileSync("openssl", args, { cwd: folder, stdio: "ignore" })
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
  openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=builds")
  openssl(
    "req",
    "-x509",
    ...ec,
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-keyout",
    "b.key",
    "-out",
    "b.crt",
    "-subj",
    "/CN=build-1"
  )
  const read = (name: string) => readFileSync(join(folder, name), "utf8")
  return {
    vault_buildkit_ca: read("ca.crt"),
    vault_buildkit_certificate: read("b.crt"),
    vault_buildkit_key: read("b.key")
  }
}

const address = `http://${Machines.administrator[0]}:8088`
const secret = "canary-site-secret"

describe.skipIf(needs !== undefined)(`site.yml ${needs ?? ""}`, () => {
  it.live(
    "makes four machines a region; run again it changes nothing; --check says so; ops and ctrl are lost and restored; nodes go and come",
    () =>
      Effect.gen(function* () {
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-site-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        makeMirror(join(folder, "mirror"))
        const { lab, machines, playbook, ssh } = yield* Machines.make(Machines.four)
        yield* lab.start("nsenter", [
          ...lab.enter("lab", "sh", [
            "-c",
            `cd "$1"; python3 -m http.server 8088 --bind ${Machines.administrator[0]} > /dev/null 2>&1 & sleep 1; echo ready; wait`,
            "sh",
            join(folder, "mirror")
          ])
        ])
        const vars = {
          ...certificates(folder),
          region_vendors_managed: false,
          region_directory: fileURLToPath(new URL("../../regions/eu-central-1", import.meta.url)),
          region_domain: "ml.ink",
          region_k3s_version: versions.k3s,
          region_k3s_url: `${address}/k3s`,
          region_gvisor_version: versions.gvisor,
          region_gvisor_url: `${address}/gvisor`,
          region_buildkit_version: versions.buildkit,
          region_buildkit_url: `${address}/buildkit`,
          region_gitea_version: versions.gitea,
          region_gitea_url: `${address}/gitea`,
          region_traefik_chart_version: "1",
          region_cert_manager_version: "1",
          region_prometheus_chart_version: "1",
          region_loki_chart_version: "1",
          region_temporal_address: "temporal.example:7233",
          region_temporal_namespace: "default",
          region_backup_repository: "/var/backups/off-node",
          raid_expected_arrays: 0,
          ...Object.fromEntries(
            [
              ...[
                "k3s_token",
                "cloudflare_api_token",
                "gitea_admin_password",
                "gitea_secret_key",
                "gitea_read_token"
              ],
              ...["grafana_admin_password", "observability_password", "backup_password", "temporal_api_key"],
              ...["payload_keys", "gitea_webhook_secret", "hcloud_token"]
            ].map((name) => [`vault_${name}`, `${secret}-${name}`])
          )
        }
        const extra = join(folder, "extra.json")
        writeFileSync(extra, JSON.stringify(vars))
        const run = (name: string, ...args: ReadonlyArray<string>) =>
          playbook(playbookOf(name), ["--extra-vars", `@${extra}`, ...args])
        const byName = (name: string) => machines.find((machine) => machine.name === name)
        const on = (name: string, command: string) => {
          const machine = byName(name)
          return machine === undefined ? Effect.die(`no ${name}`) : ssh(machine, command)
        }
        yield* on(
          "ops-1",
          `mkdir -p /var/lib/gitea; python3 -c 'import sys, urllib.request as web; sys.stdout.buffer.write(web.urlopen("${address}/gitea-files.tar.gz").read())' | tar -xz -C /var/lib/gitea`
        )
        const begun = Date.now()
        const first = yield* run("site").pipe(
          Effect.tapError(() =>
            Effect.forEach(machines, (machine) =>
              Effect.ignore(
                Effect.tap(ssh(machine, "journalctl --no-pager -p warning -n 15"), (journal) =>
                  Effect.sync(() => process.stdout.write(`${machine.name}:\n${journal}\n`))
                )
              )
            )
          )
        )
        process.stdout.write(
          `site.yml: ${first.length} tasks on four machines in ${((Date.now() - begun) / 1000).toFixed(0)} s; k3s is a STAND-IN\n`
        )
        const changed = (results: ReadonlyArray<Machines.Result>) =>
          results.filter(({ outcome }) => outcome === "changed").map(({ host, task }) => `${host} ${task}`)
        assert.isAbove(changed(first).length, 100)
        assert.deepStrictEqual(changed(yield* run("site")), [])
        assert.deepStrictEqual(changed(yield* run("site", "--check", "--diff")), [])

        assert.match(yield* on("run-1", "runsc --version"), /runsc version/)
        assert.match(yield* on("build-1", "systemctl is-active buildkitd"), /^active/)
        assert.match(
          yield* on("ctrl-1", "ls /var/lib/rancher/k3s/server/manifests"),
          /mcpdeploy-deployer\.yaml/
        )
        assert.match(yield* on("ops-1", "curl -sf http://10.0.0.20:5000/v2/_catalog"), /repositories/)

        // The ops node's data: something in both, backed up, lost, restored.
        yield* on(
          "ops-1",
          `set -e
          curl -sf -u mcpdeploy:${secret}-gitea_admin_password -H 'content-type: application/json' -d '{"name":"shop","auto_init":true}' http://10.0.0.20:3000/api/v1/user/repos > /dev/null
          location=$(curl -sfi -X POST http://10.0.0.20:5000/v2/dp-ann-shop/web/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
          printf layer > /tmp/layer; digest=sha256:$(sha256sum < /tmp/layer | cut -d ' ' -f 1)
          curl -sf -X PUT -H 'content-type: application/octet-stream' --data-binary @/tmp/layer "$location&digest=$digest"`
        )
        yield* run("backup")
        yield* on(
          "ops-1",
          "systemctl stop gitea docker-registry; rm -rf /var/lib/gitea/* /var/lib/registry/*; mkdir -p /var/lib/registry"
        )
        const lost = Date.now()
        yield* run("restore", "--extra-vars", "lost=ops")
        yield* on(
          "ops-1",
          `set -e; for try in $(seq 60); do curl -sf http://10.0.0.20:3000/api/healthz > /dev/null && break; sleep 1; done
          curl -sf -u mcpdeploy:${secret}-gitea_admin_password http://10.0.0.20:3000/api/v1/repos/mcpdeploy/shop > /dev/null
          digest=sha256:$(printf layer | sha256sum | cut -d ' ' -f 1)
          test "$(curl -sf http://10.0.0.20:5000/v2/dp-ann-shop/web/blobs/$digest)" = layer`
        )
        process.stdout.write(
          `ops lost: registry and Gitea back in ${((Date.now() - lost) / 1000).toFixed(0)} s\n`
        )
        assert.deepStrictEqual(changed(yield* run("site")), [], "and the region is as it was")

        // The control plane's files: the stand-in says which snapshot it was reset to, and only takes one that is whole.
        const before = yield* on("ctrl-1", "ls /var/lib/rancher/k3s/server/db/snapshots")
        assert.isNotEmpty(before)
        yield* on(
          "ctrl-1",
          "systemctl stop k3s; rm -rf /var/lib/rancher/k3s/server/db /var/lib/rancher/k3s/server/token /var/lib/rancher/k3s/server/cred"
        )
        yield* run("restore", "--extra-vars", "lost=ctrl")
        assert.match(
          yield* on(
            "ctrl-1",
            "systemctl is-active k3s; cat /var/lib/rancher/k3s/server/db/restored; ls /var/lib/rancher/k3s/server/token /var/lib/rancher/k3s/server/cred"
          ),
          /^active[^]*snapshots\/[^]*server\/token/
        )

        // Nodes that go and come.
        assert.deepStrictEqual(changed(yield* run("add_node", "--extra-vars", "node=run-1")), [])
        const last = yield* Effect.flip(run("remove_node", "--extra-vars", "node=run-1"))
        assert.include(last.message, "run-1 is the last run node")
        yield* run("remove_node", "--extra-vars", "node=build-1")
        assert.match(yield* on("ctrl-1", "cat /var/log/k3s-stand-in"), /drain build-1\ndelete node/)
        assert.match(
          yield* on("build-1", "systemctl is-active k3s-agent buildkitd || true"),
          /^inactive\ninactive/
        )
        yield* run("add_node", "--extra-vars", "node=build-1")
        assert.match(yield* on("build-1", "systemctl is-active k3s-agent buildkitd"), /^active\nactive/)
        yield* run("upgrade")
        assert.match(
          yield* on("ctrl-1", "tail -n 6 /var/log/k3s-stand-in"),
          /^drain run-1\nuncordon run-1\ndrain build-1\nuncordon build-1\ndrain ops-1\nuncordon ops-1/
        )
        assert.deepStrictEqual(changed(yield* run("rotate_secrets")), [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    1_800_000
  )
})
