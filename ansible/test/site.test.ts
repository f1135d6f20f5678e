/**
 * The whole of `site.yml` on four machines over SSH. Sandbox, builds and Gitea are the real programs, from a mirror in the lab; k3s is a
 * STAND-IN (site/k3s) of the real etcd, API server, controllers and scheduler, where pods are only said to run. The vendors are vendors.test.ts'. Minutes of two
 * cores: only with MCPDEPLOY_TEST_FULL=1.
 */
import { execFileSync } from "node:child_process"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { temporary } from "./lab/Folder.ts"
import * as Machines from "./lab/Machines.ts"
import { forMachines, missing } from "./lab/Needs.ts"
import { absent, eu, makeMirror, yamlOf } from "./site/Mirror.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const needs = [
  missing(forMachines),
  ...(isFull ? [] : ["(skipped: minutes of two cores, with MCPDEPLOY_TEST_FULL=1)"]),
  ...(absent.length === 0 ? [] : [`(skipped: \`mcpdeploy local\` has not built ${absent.join(", ")})`])
].find((text) => text !== "")

const playbookOf = (name: string) => fileURLToPath(new URL(`../playbooks/${name}.yml`, import.meta.url))

/** As `bin/buildkit-certificates` prints them for the vault. */
const certificates = (): unknown =>
  parse(
    execFileSync(fileURLToPath(new URL("../bin/buildkit-certificates", import.meta.url)), ["10.0.0.30"], {
      encoding: "utf8"
    })
  )

const address = `http://${Machines.administrator[0]}:8088`
const secret = "canary-site-secret"

const seconds = (from: number, to = Date.now()) => ((to - from) / 1000).toFixed(0)

const fetched = (file: string) =>
  `python3 -c 'import shutil, sys, urllib.request as web; shutil.copyfileobj(web.urlopen("${address}/${file}"), sys.stdout.buffer)'`

/** What `kubectl get` tells of everything there is, a line each; not what changes by itself all the time. */
const listed = `set -e
kinds=$(k3s kubectl api-resources --verbs=list -o name | grep -vE '^(events|leases|nodes|componentstatuses)([.]|$)' | paste -sd ,)
k3s kubectl get "$kinds" --all-namespaces -o json | python3 -c '
import hashlib, json, sys
for item in json.load(sys.stdin)["items"]:
    meta = item["metadata"]
    if item["kind"] == "ValidatingAdmissionPolicy":
        # Controllers write anew what they think of its types when they start.
        for part, key in (item, "status"), (meta, "resourceVersion"), (meta, "managedFields"):
            part.pop(key, None)
    digest = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:12]
    print(item["apiVersion"], item["kind"], meta.get("namespace", "-"), meta["name"], meta.get("uid"), meta.get("resourceVersion"), digest)
' | sort`

/** What the policies for customers' namespaces refuse. */
const escape = `
apiVersion: v1
kind: Pod
metadata: { name: escape, namespace: dp-ann-shop }
spec: { automountServiceAccountToken: false, containers: [{ name: web, image: "registry.internal:5000/dp-ann-shop/web:1" }] }
`

/** A customer's, and a Secret that is encrypted in etcd. */
const objects = `
apiVersion: v1
kind: Namespace
metadata: { name: dp-ann-shop, labels: { mcpdeploy.io/user: ann } }
---
apiVersion: v1
kind: Secret
metadata: { name: web, namespace: dp-ann-shop }
stringData: { PASSWORD: ${secret}-of-the-customer }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: dp-ann-shop }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
`

describe.skipIf(needs !== undefined)(`site.yml ${needs ?? ""}`, () => {
  it.live(
    "makes four machines a region; run again it changes nothing; --check says so; ops and ctrl are lost and restored; nodes go and come",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporary("mcpdeploy-site-")
        const checksums = makeMirror(join(folder, "mirror"))
        const { inventoryVariables, lab, machines, playbook, ssh } = yield* Machines.make(Machines.four)
        yield* lab.start("nsenter", [
          ...lab.enter("lab", "sh", [
            "-c",
            `cd "$1"; python3 -m http.server 8088 --bind ${Machines.administrator[0]} > /dev/null 2>&1 & sleep 1; echo ready; wait`,
            "sh",
            join(folder, "mirror")
          ])
        ])
        // eu-central-1's own variables and group variables; the lab's addresses, the mirror, and test secrets.
        const directory = join(folder, "eu-central-1")
        cpSync(eu, directory, { recursive: true })
        rmSync(join(directory, "inventory/hosts.yml"))
        const vars = {
          ...Object.fromEntries(
            Object.entries(yamlOf("inventory/group_vars/vault.example.yml")).map(([name, value]) => [
              name,
              typeof value === "string"
                ? `${secret}-${name.replace("vault_", "")}`
                : { webhook_configs: [{ url: `${address}/${secret}` }] }
            ])
          ),
          ...inventoryVariables,
          region_vendors_managed: false,
          region_directory: directory,
          ...checksums,
          region_k3s_url: `${address}/k3s`,
          region_gvisor_url: `${address}/gvisor`,
          region_buildkit_url: `${address}/buildkit`,
          region_gitea_url: `${address}/gitea`,
          region_backup_repository: "/var/backups/off-node",
          raid_expected_arrays: 0
        }
        const extra = join(folder, "extra.json")
        writeFileSync(extra, JSON.stringify(vars))
        const secrets = join(folder, "buildkit.json")
        writeFileSync(secrets, JSON.stringify(certificates()))
        const run = (name: string, ...args: ReadonlyArray<string>) =>
          playbook(playbookOf(name), [
            ...["--inventory", join(directory, "inventory")],
            ...["--extra-vars", `@${extra}`, "--extra-vars", `@${secrets}`, ...args]
          ])
        const byName = (name: string) => machines.find((machine) => machine.name === name)
        const on = (name: string, command: string) => {
          const machine = byName(name)
          return machine === undefined ? Effect.die(`no ${name}`) : ssh(machine, command)
        }
        yield* Effect.forEach(
          machines,
          ({ group, name }) =>
            on(
              name,
              // The service of Debian's package would take etcd's port.
              `systemctl mask --quiet etcd; apt-get -qq update > /dev/null
              apt-get -qq install --no-install-recommends python3-yaml ${group === "ctrl" ? "etcd-server etcd-client" : ""} > /dev/null 2>&1`
            ),
          { concurrency: "unbounded" }
        )
        yield* on(
          "ctrl-1",
          `mkdir -p /opt/k3s-stand-in; ${fetched("k3s-parts.tar")} | tar -x -C /opt/k3s-stand-in`
        )
        yield* on(
          "ops-1",
          `mkdir -p /var/lib/gitea; ${fetched("gitea-files.tar.gz")} | tar -xz -C /var/lib/gitea`
        )
        const begun = Date.now()
        const first = yield* run("site").pipe(
          Effect.tapError(() =>
            Effect.forEach(machines, (machine) =>
              Effect.ignore(
                Effect.tap(
                  ssh(machine, "journalctl --no-pager -u k3s -u k3s-agent -u buildkitd -u gitea -n 25"),
                  (journal) => Effect.sync(() => process.stdout.write(`${machine.name}:\n${journal}\n`))
                )
              )
            )
          )
        )
        process.stdout.write(
          `site.yml: ${first.length} tasks on four machines in ${seconds(begun)} s; k3s is a STAND-IN: pods are only said to run\n`
        )
        const changed = (results: ReadonlyArray<Machines.Result>) =>
          results.filter(({ outcome }) => outcome === "changed").map(({ host, task }) => `${host} ${task}`)
        assert.isAbove(changed(first).length, 100)
        assert.deepStrictEqual(changed(yield* run("site")), [])
        assert.deepStrictEqual(changed(yield* run("site", "--check", "--diff")), [])

        assert.match(yield* on("run-1", "runsc --version"), /runsc version/)
        // The deployer's certificate opens buildkitd, by its address; no other does.
        const buildctl = (...flags: ReadonlyArray<string>) =>
          on("build-1", `buildctl --addr tcp://10.0.0.30:1234 ${flags.join(" ")} debug workers`)
        yield* lab.exec("lab", "sh", [
          "-c",
          `cd "$1"; for name in ca certificate key; do python3 -c 'import json, sys; sys.stdout.write(json.load(open("buildkit.json"))[sys.argv[1]])' "vault_buildkit_$([ $name = ca ] && echo ca || echo client_$name)" > "$name"; done`,
          "sh",
          folder
        ])
        yield* on(
          "build-1",
          `mkdir -p /root/tls; cd /root/tls; ${["ca", "certificate", "key"].map((name) => `cat > ${name} <<'END'\n${readFileSync(join(folder, name), "utf8")}END\n`).join("")}`
        )
        const tls = ["--tlscacert=/root/tls/ca", "--tlscert=/root/tls/certificate", "--tlskey=/root/tls/key"]
        assert.match(yield* buildctl(...tls), /linux\/amd64/)
        yield* Effect.flip(buildctl("--tlscacert=/root/tls/ca"))
        // Names that every node has to know: pods' images come from the one, Gitea's deliveries go to the other.
        for (const { name } of machines)
          assert.strictEqual(
            yield* on(
              name,
              "getent hosts registry.internal gitea.internal deployer-server.internal | tr -s ' '"
            ),
            "10.0.0.20 registry.internal gitea.internal\n10.0.0.20 registry.internal gitea.internal\n10.43.0.80 deployer-server.internal"
          )
        // Every manifest is one that an API server takes.
        const applied = yield* on(
          "ctrl-1",
          `set -e; cd /var/lib/rancher/k3s/server/manifests
          for try in $(seq 60); do missing=; for name in *; do journalctl -u k3s | grep -qF "applied $name" || missing="$missing $name"; done; [ -z "$missing" ] && break; sleep 1; done
          [ -z "$missing" ] || { journalctl -u k3s -n 60 --no-pager; echo "not applied:$missing"; exit 1; }
          ls`
        )
        assert.strictEqual(
          applied,
          ["cert-manager", "coredns", "deployer", "gvisor", "metrics-server", "observability", "traefik"]
            .map((name) => `mcpdeploy-${name}.yaml`)
            .join("\n")
        )
        yield* on("ctrl-1", `k3s kubectl apply -f - <<'END'\n${objects}END`)
        const refused = yield* Effect.flip(on("ctrl-1", `k3s kubectl apply -f - <<'END'\n${escape}END`))
        assert.match(refused.message, /mcpdeploy-pods.*denied request/)
        // Encrypted where it is kept, and its reading is in the audit log.
        assert.match(
          yield* on("ctrl-1", "ETCDCTL_API=3 etcdctl get /registry/secrets/dp-ann-shop/web | head -c 60"),
          /k8s:enc:aescbc:v1:/
        )
        assert.match(
          yield* on(
            "ctrl-1",
            "k3s kubectl get secret -n dp-ann-shop web -o jsonpath={.data.PASSWORD} | base64 -d; echo; grep -c dp-ann-shop /var/lib/rancher/k3s/server/logs/audit.log"
          ),
          new RegExp(`^${secret}-of-the-customer\\n[1-9]`)
        )
        assert.strictEqual(
          yield* on(
            "ctrl-1",
            "k3s kubectl get nodes -L mcpdeploy.io/pool --no-headers -o custom-columns=A:.metadata.name,B:.metadata.labels.'mcpdeploy\\.io/pool',C:.spec.taints[*].effect | tr -s ' '"
          ),
          "build-1 build NoSchedule\nctrl-1 ctrl NoSchedule\nops-1 ops NoSchedule\nrun-1 run <none>"
        )
        assert.match(
          yield* on("ops-1", "curl -sf https://registry.internal:5000/v2/_catalog"),
          /repositories/
        )

        // The ops node's data: something in both, backed up, lost, restored.
        yield* on(
          "ops-1",
          `set -e
          curl -sf -u mcpdeploy:${secret}-gitea_admin_password -H 'content-type: application/json' -d '{"name":"shop","auto_init":true}' https://gitea.internal:3000/api/v1/user/repos > /dev/null
          location=$(curl -sfi -X POST https://registry.internal:5000/v2/dp-ann-shop/web/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
          printf layer > /tmp/layer; digest=sha256:$(sha256sum < /tmp/layer | cut -d ' ' -f 1)
          curl -sf -X PUT -H 'content-type: application/octet-stream' --data-binary @/tmp/layer "$location&digest=$digest"`
        )
        yield* run("backup")
        // A new machine has another password of k3s' than the one that is known under its name.
        yield* on(
          "ops-1",
          `systemctl stop gitea docker-registry k3s-agent; rm -rf /var/lib/registry/* /etc/rancher
          find /var/lib/gitea -mindepth 1 -maxdepth 1 ! -name options ! -name templates ! -name public -exec rm -rf {} +`
        )
        const lost = Date.now()
        yield* run("site", "--limit", "ops-1")
        yield* run("restore", "--extra-vars", "lost=ops")
        yield* on(
          "ops-1",
          `set -e; for try in $(seq 60); do curl -sf https://gitea.internal:3000/api/healthz > /dev/null && break; sleep 1; done
          curl -sf -u mcpdeploy:${secret}-gitea_admin_password https://gitea.internal:3000/api/v1/repos/mcpdeploy/shop > /dev/null
          digest=sha256:$(printf layer | sha256sum | cut -d ' ' -f 1)
          test "$(curl -sf https://registry.internal:5000/v2/dp-ann-shop/web/blobs/$digest)" = layer`
        )
        process.stdout.write(`ops lost: registry and Gitea back in ${seconds(lost)} s\n`)
        assert.deepStrictEqual(changed(yield* run("site")), [], "and the region is as it was")

        // The control plane: all of k3s is gone from its machine, as from one that is new.
        yield* run("backup", "--limit", "ctrl")
        const objectsBefore = (yield* on("ctrl-1", listed)).split("\n")
        assert.isAbove(objectsBefore.length, 200)
        yield* on(
          "ctrl-1",
          "systemctl stop k3s; rm -rf /var/lib/rancher /etc/rancher /usr/local/bin/k3s /usr/local/lib/mcpdeploy /etc/systemd/system/k3s.service; systemctl daemon-reload"
        )
        const ctrlLost = Date.now()
        yield* run("site", "--limit", "ctrl-1")
        assert.notInclude(yield* on("ctrl-1", "k3s kubectl get namespaces"), "dp-ann-shop")
        const made = Date.now()
        // The nightly backup of the new machine is the newest, and is of an empty cluster.
        yield* run("backup", "--limit", "ctrl")
        const ambiguous = yield* Effect.flip(run("restore", "--extra-vars", "lost=ctrl"))
        assert.include(ambiguous.message, "say which, by -e backup_id=ID")
        const id = yield* on(
          "ctrl-1",
          "mcpdeploy-backup list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[-2][\"short_id\"])'"
        )
        yield* run("restore", "--extra-vars", `lost=ctrl backup_id=${id}`)
        const restored = Date.now()
        const objectsAfter = (yield* on("ctrl-1", listed)).split("\n")
        const different = (one: ReadonlyArray<string>, other: ReadonlyArray<string>) =>
          one.filter((object) => !other.includes(object))
        assert.deepStrictEqual(
          [different(objectsBefore, objectsAfter), different(objectsAfter, objectsBefore)],
          [[], []]
        )
        process.stdout.write(
          `ctrl lost: made anew in ${seconds(ctrlLost, made)} s, etcd restored from its snapshot in ${seconds(made, restored)} s; ${objectsBefore.length} objects are equal\n`
        )
        assert.deepStrictEqual(changed(yield* run("site")), [], "and the nodes are in it as before")

        // Every node ready, the platform's pods up, a pod brought to the run-pool by its RuntimeClass, backups young.
        assert.deepStrictEqual(changed(yield* run("verify", "--skip-tags", "charts")), [])

        // Nodes that go and come.
        const nodes = "k3s kubectl get nodes --no-headers | tr -s ' ' | cut -d ' ' -f 1,2"
        assert.deepStrictEqual(changed(yield* run("add_node", "--extra-vars", "node=run-1")), [])
        const last = yield* Effect.flip(run("remove_node", "--extra-vars", "node=run-1"))
        assert.include(last.message, "run-1 is the last run node")
        yield* run("remove_node", "--extra-vars", "node=build-1")
        assert.strictEqual(yield* on("ctrl-1", nodes), "ctrl-1 Ready\nops-1 Ready\nrun-1 Ready")
        assert.match(
          yield* on("build-1", "systemctl is-active k3s-agent buildkitd || true"),
          /^inactive\ninactive/
        )
        // What it had of the cluster is gone with it: it comes again as a machine that never was a node.
        assert.strictEqual(
          yield* on("build-1", "ls -d /etc/rancher /var/lib/rancher /etc/buildkit/tls 2> /dev/null || true"),
          ""
        )
        yield* run("add_node", "--extra-vars", "node=build-1")
        assert.match(yield* on("build-1", "systemctl is-active k3s-agent buildkitd"), /^active\nactive/)
        assert.strictEqual(
          yield* on("ctrl-1", nodes),
          "build-1 Ready\nctrl-1 Ready\nops-1 Ready\nrun-1 Ready"
        )
        const upgrading = Date.now()
        yield* run("upgrade")
        process.stdout.write(`upgrade: three nodes emptied one after the other in ${seconds(upgrading)} s\n`)
        assert.strictEqual(
          yield* on("ctrl-1", nodes),
          "build-1 Ready\nctrl-1 Ready\nops-1 Ready\nrun-1 Ready",
          "and none is cordoned"
        )
        yield* on(
          "ctrl-1",
          "k3s kubectl rollout status -n dp-system deployment/deployer-worker deployment/deployer-server --timeout=60s"
        )
        assert.deepStrictEqual(changed(yield* run("rotate_secrets")), [])

        // Another token in the vault is no reason to stop the cluster; the cluster learns it, and then nobody knows the old one.
        const next = join(folder, "next.json")
        const renewed = [
          "vault_k3s_token",
          "vault_k3s_agent_token",
          "vault_backup_password",
          "vault_payload_keys"
        ]
        writeFileSync(
          next,
          JSON.stringify(Object.fromEntries(renewed.map((name) => [name, `${secret}-next-${name}`])))
        )
        const turned = ["--extra-vars", `@${next}`]
        const stranger = yield* Effect.flip(run("site", "--tags", "k3s", "--limit", "ctrl-1", ...turned))
        assert.include(stranger.message, "vault_k3s_token is not the token of this cluster")
        yield* run("rotate_secrets", ...turned)
        assert.deepStrictEqual(changed(yield* run("rotate_secrets", ...turned)), [])
        const answer = (token: string) =>
          on(
            "run-1",
            `curl -sk -o /dev/null -w '%{http_code}' -H 'authorization: Bearer ${token}' https://10.0.0.10:6443/readyz`
          )
        for (const name of ["k3s_token", "k3s_agent_token"]) {
          assert.strictEqual(yield* answer(`${secret}-next-vault_${name}`), "200", name)
          assert.strictEqual(yield* answer(`${secret}-${name}`), "401", name)
        }
        assert.strictEqual(
          yield* on("ctrl-1", nodes),
          "build-1 Ready\nctrl-1 Ready\nops-1 Ready\nrun-1 Ready"
        )
        yield* on("ops-1", "mcpdeploy-backup list > /dev/null")
        yield* Effect.flip(
          on("ops-1", `RESTIC_PASSWORD=${secret}-backup_password restic -r /var/backups/off-node cat config`)
        )
        assert.deepStrictEqual(changed(yield* run("verify", ...turned)), [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    1_800_000
  )
})
