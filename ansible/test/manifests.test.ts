/** What the roles hand to k3s is YAML that Kubernetes can read: rendered by the roles themselves, with the values of eu-central-1. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import { parseAllDocuments } from "yaml"
import * as Ansible from "./lab/Ansible.ts"
import { temporary } from "./lab/Folder.ts"
import * as Lab from "./lab/Lab.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"

const lacks = missing(forNamespaces)
const inventory = fileURLToPath(new URL("../../regions/eu-central-1/inventory", import.meta.url))

describe.skipIf(lacks !== "")(`manifests of the cluster's roles ${lacks}`, () => {
  it.live(
    "are YAML, each object with a kind and a name; rules and dashboards are whole",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const folder = yield* temporary("mcpdeploy-manifests-")
        // In the lab's mounts k3s' folder is another one.
        const lab = yield* Lab.make
        const own = "/var/lib/rancher/k3s/server/manifests"
        yield* lab.sh(
          "lab",
          `mount -t tmpfs tmpfs /var/lib && mkdir -p ${own} /var/lib/gitea && echo token > /var/lib/gitea/deployer-token`
        )
        yield* run(
          "nsenter",
          lab.enter("lab", join(bin, "ansible-playbook"), [
            ...["--inventory", join(inventory, "hosts.yml"), "--limit", "ctrl-1", "--connection", "local"],
            ...["--extra-vars", `@${join(inventory, "group_vars/vault.example.yml")}`],
            ...["--extra-vars", "ansible_become=false"],
            ...["--tags", "gvisor,traefik,cert_manager,observability,deployer,k3s_manifests"],
            ...[join(Ansible.folder, "playbooks/site.yml"), join(Ansible.folder, "test/manifests/k3s.yml")]
          ]),
          { env: { ...Ansible.environment(bin), ANSIBLE_HOME: join(folder, "ansible") } }
        )
        yield* lab.sh("lab", `cp -r ${own} ${folder}/`)
        const files = readdirSync(join(folder, "manifests")).toSorted()
        assert.deepStrictEqual(
          files,
          ["cert-manager", "coredns", "deployer", "gvisor", "metrics-server", "observability", "traefik"].map(
            (name) => `mcpdeploy-${name}.yaml`
          )
        )
        const objects = files.flatMap((file) =>
          parseAllDocuments(readFileSync(join(folder, "manifests", file), "utf8")).map((document) => {
            assert.deepStrictEqual(document.errors, [], file)
            return document.toJS()
          })
        )
        for (const object of objects.filter((each) => each !== null)) {
          assert.isString(object.kind, JSON.stringify(object).slice(0, 200))
          assert.isString(object.metadata.name)
        }
        const [rules] = objects.filter((object) => object?.kind === "PrometheusRule")
        assert.isAbove(rules.spec.groups.length, 1)
        // Prometheus asks the pods that the alerts are about, at a port that they have.
        const [monitor] = objects.filter((object) => object?.kind === "PodMonitor")
        const asked: ReadonlyArray<string> = monitor.spec.selector.matchExpressions[0].values
        const deployments = objects.filter(
          (object) => object?.kind === "Deployment" && object.metadata.namespace === "dp-system"
        )
        const [dns] = objects.filter((object) => object?.metadata.name === "kube-dns")
        assert.strictEqual(dns.spec.clusterIP, "10.43.0.10")
        const [resolvers] = objects.filter(
          (object) => object?.kind === "Deployment" && object.metadata.name === "coredns"
        )
        // One of ops and two of run.
        assert.strictEqual(resolvers.spec.replicas, 3)
        assert.sameMembers(
          [...asked],
          deployments.map(({ spec }) => spec.template.metadata.labels["app.kubernetes.io/name"])
        )
        for (const { metadata, spec } of deployments) {
          assert.include(monitor.spec.namespaceSelector.matchNames, metadata.namespace)
          const ports = spec.template.spec.containers[0].ports.map(({ name }: { name: string }) => name)
          assert.include(ports, monitor.spec.podMetricsEndpoints[0].port)
        }
        const dashboards = objects.filter((object) => object?.metadata.labels?.grafana_dashboard === "1")
        assert.isAbove(dashboards.length, 1)
        for (const { data } of dashboards) for (const text of Object.values(data)) JSON.parse(String(text))
        const charts = objects.filter((object) => object?.kind === "HelmChart")
        assert.isAbove(charts.length, 3)
        for (const { spec } of charts)
          assert.deepStrictEqual(
            parseAllDocuments(spec.valuesContent).flatMap(({ errors }) => errors),
            []
          )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    240_000
  )

  it.live(
    "a dedicated server has its private address over the vSwitch's VLAN, a Cloud server from its vendor",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const folder = yield* temporary("mcpdeploy-variables-")
        const said = (host: string) =>
          run(
            join(bin, "ansible"),
            [
              ...["--inventory", join(inventory, "hosts.yml"), "--connection", "local", host, "--one-line"],
              ...["--module-name", "ansible.builtin.debug", "--args"],
              "msg={{ [private_network_vlan, private_network_addresses, private_network_routes] | to_json }}"
            ],
            {
              env: {
                ...Ansible.environment(bin),
                ANSIBLE_HOME: folder,
                ANSIBLE_CALLBACK_RESULT_FORMAT: "json"
              }
            }
          )
        assert.include(
          (yield* said("run-1")).replaceAll("\\", ""),
          '[4000, ["10.0.1.41/24"], [{"to": "10.0.0.0/16", "via": "10.0.1.1"}]]'
        )
        assert.include(yield* said("run-2"), "[0, [], []]")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    60_000
  )
})
