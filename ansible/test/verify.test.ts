/**
 * verify.yml against a real API server, Prometheus and Alertmanager: what it says of a region that is well, and of one that is not. What
 * controllers would have made of the objects is in verify/cluster.yaml; Loki is a double.
 */
import { accessSync, chmodSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import * as Ansible from "./lab/Ansible.ts"
import * as ApiServer from "./lab/ApiServer.ts"
import { temporary } from "./lab/Folder.ts"
import * as Lab from "./lab/Lab.ts"
import { inventory, manifestsOf, rendered } from "./lab/Manifests.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"

const programOf = (name: string): string | undefined =>
  [
    ...(process.env["PATH"] ?? "").split(delimiter),
    ...["prometheus", "prometheus-alertmanager"].map((of) => join(Ansible.cache, "debian", of, "usr/bin"))
  ]
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

const prometheus = programOf("prometheus")
const alertmanager = programOf("prometheus-alertmanager")

const lacks =
  [
    missing(forNamespaces),
    process.env["MCPDEPLOY_TEST_FULL"] === "1"
      ? ""
      : "(skipped: a minute of two cores, with MCPDEPLOY_TEST_FULL=1)",
    ApiServer.missingApiServer,
    prometheus === undefined || alertmanager === undefined
      ? "(skipped: install prometheus, prometheus-alertmanager)"
      : ""
  ].find((text) => text !== "") ?? ""

const file = (name: string) => readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8")
const address = "192.0.2.10"
const job = "prometheus-kube-prometheus-prometheus"

/** Alertmanager's configuration as the role writes it, that tells the test's receiver. */
const configuration = Effect.gen(function* () {
  const files = yield* rendered({
    vault_alert_receiver: { webhook_configs: [{ url: `http://${address}:9999/` }] }
  })
  const manifests = yield* manifestsOf(files.get("mcpdeploy-observability.yaml") ?? "")
  const secret = manifests.find(({ kind, metadata }) => kind === "Secret" && metadata.name === "alertmanager")
  return String(Object(secret?.["stringData"])["alertmanager.yaml"])
})

/** Until the server answers there. */
const untilAnswers = (url: string) =>
  `until python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' ${url} 2> /dev/null; do sleep 0.2; done`

describe.skipIf(lacks !== "")(`verify.yml ${lacks}`, () => {
  it.live(
    "finds nothing where all is well, and names what is not: a manifest, a chart, a pod, an API, a certificate, metrics, an alert, a line",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const folder = yield* temporary("mcpdeploy-verify-")
        const lab = yield* Lab.make
        const manifests = "/var/lib/rancher/k3s/server/manifests"
        yield* lab.sh(
          "lab",
          // Debian's Alertmanager, unpacked, looks for its templates where it would have been installed.
          `mount -t tmpfs tmpfs /var/lib && mkdir -p ${manifests}; ip addr add ${address}/32 dev lo
          echo manifest > ${manifests}/mcpdeploy-traefik.yaml
          templates=$(dirname "$(readlink -f ${alertmanager})")/../share; [ "$templates" -ef /usr/share ] || mount -t overlay overlay -o lowerdir="$templates":/usr/share /usr/share
          cd ${folder} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 60 -subj /CN=test -addext subjectAltName=DNS:*.ml.ink -keyout key.pem -out certificate.pem 2> /dev/null`
        )
        const { command, folder: api, kubectl } = yield* ApiServer.make(lab)
        yield* lab.sh(
          "lab",
          `mkdir -p /var/lib/rancher/k3s/server/tls && cd /var/lib/rancher/k3s/server/tls
          cp ${api}/client-admin.crt ${api}/client-admin.key . && cp ${api}/certificates/apiserver.crt server-ca.crt`
        )
        mkdirSync(join(folder, "bin"))
        const program = (name: string, text: string) => {
          writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${text}\n`)
          chmodSync(join(folder, "bin", name), 0o755)
        }
        program("k3s", `shift; HOME=${folder} exec ${command.join(" ")} "$@"`)
        program("logger", "exit 0")

        // The cluster.
        const apply = (text: string) => kubectl(["apply", "--server-side", "--filename", "-"], text)
        yield* apply(file("verify/kinds.yaml"))
        yield* kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
        yield* apply(file("verify/cluster.yaml"))
        const addOn = (checksum: string) =>
          apply(
            JSON.stringify({
              apiVersion: "k3s.cattle.io/v1",
              kind: "Addon",
              metadata: { name: "mcpdeploy-traefik", namespace: "kube-system" },
              spec: { checksum }
            })
          )
        const applied =
          (yield* lab.sh("lab", `sha256sum < ${manifests}/mcpdeploy-traefik.yaml`)).split(" ")[0] ?? ""
        const status = (object: string, namespace: string, of: object) =>
          kubectl([
            ...["patch", object, "--namespace", namespace, "--subresource=status", "--type=merge"],
            ...["--patch", JSON.stringify({ status: of })]
          ])
        const start = "2026-11-30T00:00:00Z"
        const succeeded = {
          succeeded: 1,
          startTime: start,
          completionTime: start,
          conditions: ["SuccessCriteriaMet", "Complete"].map((type) => ({
            type,
            status: "True",
            lastTransitionTime: start
          }))
        }
        const well = Effect.all([
          addOn(applied),
          status("deployment/deployer-worker", "dp-system", { replicas: 2, readyReplicas: 2 }),
          status("persistentvolume/observability-prometheus", "default", { phase: "Bound" }),
          status("pod/all", "observability", { podIP: address, podIPs: [{ ip: address }] })
        ])
        yield* well
        yield* status("job/helm-install-traefik", "kube-system", succeeded)

        // Prometheus, twice in the same folder, and Alertmanager.
        writeFileSync(
          join(folder, "prometheus.yml"),
          JSON.stringify({
            scrape_configs: [
              {
                job_name: job,
                scrape_interval: "1s",
                static_configs: [{ targets: [`${address}:9090`] }]
              }
            ]
          })
        )
        /** A server of Debian's, in the lab, that has said at the address that it is ready. */
        const started = (program: string, log: string, args: ReadonlyArray<string>, ready: string) =>
          Effect.andThen(
            lab.start("nsenter", [
              ...lab.enter("lab", "sh", [
                ...["-c", `log=$1; shift; echo ready; exec "$@" > "$log" 2>&1`, "sh", join(folder, log)],
                ...[program, ...args]
              ])
            ]),
            Effect.timeout(lab.sh("lab", untilAnswers(ready)), "3 minutes")
          )
        const startPrometheus = (data: string) =>
          started(
            prometheus ?? "",
            `${data}.log`,
            [
              ...[`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/${data}`],
              `--web.listen-address=${address}:9090`
            ],
            `http://${address}:9090/-/ready`
          )
        /** Prometheus has asked itself. */
        const scraped = Effect.timeout(
          lab.sh(
            "lab",
            `until python3 -c 'import json, sys, urllib.request; sys.exit(not json.load(urllib.request.urlopen("http://${address}:9090/api/v1/query?query=prometheus_tsdb_lowest_timestamp_seconds"))["data"]["result"])'; do sleep 0.2; done`
          ),
          "3 minutes"
        )
        yield* Effect.scoped(Effect.andThen(startPrometheus("kept"), scraped))
        writeFileSync(join(folder, "alertmanager.yml"), yield* configuration)
        yield* started(
          alertmanager ?? "",
          "alertmanager.log",
          [
            ...[`--config.file=${folder}/alertmanager.yml`, `--storage.path=${folder}/alertmanager`],
            ...[`--web.listen-address=${address}:9093`, "--cluster.listen-address="]
          ],
          `http://${address}:9093/-/ready`
        )
        const serve = (streams: number, answer: number) =>
          lab.start("nsenter", [
            ...lab.enter("lab", process.execPath, [
              fileURLToPath(new URL("verify/serve.ts", import.meta.url)),
              ...[address, folder, String(streams), String(answer)]
            ])
          ])

        const verify = run(
          "nsenter",
          lab.enter("lab", join(bin, "ansible-playbook"), [
            ...[
              "--inventory",
              join(inventory, "hosts.yml"),
              "--limit",
              "ctrl-1,run-1",
              "--connection",
              "local"
            ],
            ...["--extra-vars", `@${join(inventory, "group_vars/vault.example.yml")}`],
            "--extra-vars",
            JSON.stringify({
              ansible_become: false,
              k3s_server_verify_tries: 1,
              observability_settled: 0,
              observability_tries: 4,
              traefik_private_ip: address,
              traefik_verify_port: 8443
            }),
            ...["--tags", "charts", join(Ansible.folder, "playbooks/verify.yml")]
          ]),
          {
            env: {
              ...Ansible.environment(bin),
              ANSIBLE_HOME: join(folder, "ansible"),
              PATH: `${join(folder, "bin")}:${bin}:${process.env["PATH"] ?? ""}`,
              SSL_CERT_FILE: join(folder, "certificate.pem")
            }
          }
        )
        const fails = Effect.fnUntraced(function* (pattern: RegExp) {
          assert.match((yield* Effect.flip(verify)).message.replaceAll(/\s+/g, " "), pattern)
        })

        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* startPrometheus("kept")
            yield* serve(2, 200)
            yield* verify
            assert.match(readFileSync(join(folder, "alerts"), "utf8"), /"alertname":"Test"/)

            yield* addOn("another")
            yield* fails(/mcpdeploy-traefik.yaml is not applied/)
            yield* well
            yield* status("deployment/deployer-worker", "dp-system", { replicas: 2, readyReplicas: 1 })
            yield* fails(/Deployment dp-system\/deployer-worker: 1 of 2 ready/)
            yield* well
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* startPrometheus("lost")
            yield* serve(2, 200)
            yield* scraped
            yield* fails(/Prometheus was started .* and has nothing older/)
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* startPrometheus("kept")
            yield* serve(2, 400)
            yield* fails(/vault_alert_receiver has not taken the test alert/)
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* startPrometheus("kept")
            yield* serve(1, 200)
            yield* fails(/Find it in Loki/)
          })
        )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    1_800_000
  )
})
