/** What the roles hand to k3s is YAML that Kubernetes can read: rendered by the roles themselves, with the values of eu-central-1. */
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { parse } from "yaml"
import * as Ansible from "./lab/Ansible.ts"
import { temporary } from "./lab/Folder.ts"
import { helmCharts, inventory, type Manifest, manifestsOf, rendered } from "./lab/Manifests.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"

const lacks = missing(forNamespaces)

const proxyProtocol = ["203.0.113.5/32", "2001:db8:3::5/128"]
const httpProxies = ["173.245.48.0/20", "2400:cb00::/32"]

/** As read by what Prometheus' operator, Alertmanager and Kubernetes do with them. */
const Rules = Schema.Struct({ spec: Schema.Struct({ groups: Schema.Array(Schema.Unknown) }) })
const PodMonitor = Schema.Struct({
  spec: Schema.Struct({
    namespaceSelector: Schema.Struct({ matchNames: Schema.Array(Schema.String) }),
    selector: Schema.Struct({
      matchExpressions: Schema.Array(Schema.Struct({ values: Schema.Array(Schema.String) }))
    }),
    podMetricsEndpoints: Schema.Array(Schema.Struct({ port: Schema.String }))
  })
})
const Deployment = Schema.Struct({
  metadata: Schema.Struct({ namespace: Schema.String }),
  spec: Schema.Struct({
    template: Schema.Struct({
      metadata: Schema.Struct({ labels: Schema.Record(Schema.String, Schema.String) }),
      spec: Schema.Struct({
        containers: Schema.Array(
          Schema.Struct({
            ports: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String })))
          })
        )
      })
    })
  })
})
const Dashboards = Schema.Struct({
  data: Schema.Record(Schema.String, Schema.fromJsonString(Schema.Unknown))
})
const Alertmanager = Schema.Struct({
  receivers: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      webhook_configs: Schema.optionalKey(Schema.Array(Schema.Struct({ url: Schema.String })))
    })
  ),
  route: Schema.Struct({
    receiver: Schema.String,
    routes: Schema.Array(Schema.Struct({ receiver: Schema.String }))
  })
})
const Believed = Schema.Struct({
  proxyProtocol: Schema.Struct({ trustedIPs: Schema.Array(Schema.String) }),
  forwardedHeaders: Schema.Struct({ trustedIPs: Schema.Array(Schema.String) })
})
const TraefikValues = Schema.Struct({ ports: Schema.Struct({ web: Believed, websecure: Believed }) })

/** Exactly one of them. */
const the = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  manifests: ReadonlyArray<Manifest>,
  which: (manifest: Manifest) => boolean
) => {
  const found = manifests.filter(which)
  assert.lengthOf(found, 1)
  return Schema.decodeUnknownEffect(schema)(found[0])
}

/** https://docs.k3s.io/installation/packaged-components: an AddOn has the name of its file up to the first dot. */
const addOnName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
/** helm.sh/helm/v3 v3.21.4, pkg/chartutil/validate_name.go. */
const releaseName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

describe.skipIf(lacks !== "")(`manifests of the cluster's roles ${lacks}`, () => {
  it.live(
    "are what Kubernetes, k3s and its helm controller can read; rules, dashboards and receivers are whole",
    () =>
      Effect.gen(function* () {
        const files = yield* rendered({
          region_proxy_protocol_sources: proxyProtocol,
          region_http_proxy_sources: httpProxies
        })
        for (const file of files.keys()) assert.match(file.split(".")[0] ?? "", addOnName)
        assert.deepStrictEqual(
          [...files.keys()],
          ["cert-manager", "coredns", "deployer", "gvisor", "metrics-server", "observability", "traefik"].map(
            (name) => `mcpdeploy-${name}.yaml`
          )
        )
        const manifests = (yield* Effect.forEach([...files.values()], manifestsOf)).flat()

        const rules = yield* the(Rules, manifests, ({ kind }) => kind === "PrometheusRule")
        assert.isAbove(rules.spec.groups.length, 1)
        // Prometheus asks the pods that the alerts are about, at a port that they have.
        const monitor = yield* the(
          PodMonitor,
          manifests,
          ({ kind, metadata }) => kind === "PodMonitor" && metadata.name === "deployer"
        )
        const deployments = yield* Schema.decodeUnknownEffect(Schema.Array(Deployment))(
          manifests.filter(
            ({ kind, metadata }) => kind === "Deployment" && metadata.namespace === "dp-system"
          )
        )
        const dns = yield* the(
          Schema.Struct({ spec: Schema.Struct({ clusterIP: Schema.String }) }),
          manifests,
          ({ metadata }) => metadata.name === "kube-dns"
        )
        assert.strictEqual(dns.spec.clusterIP, "10.43.0.10")
        const resolvers = yield* the(
          Schema.Struct({ spec: Schema.Struct({ replicas: Schema.Int }) }),
          manifests,
          ({ kind, metadata }) => kind === "Deployment" && metadata.name === "coredns"
        )
        // One of ops and two of run.
        assert.strictEqual(resolvers.spec.replicas, 3)
        assert.sameMembers(
          [...(monitor.spec.selector.matchExpressions[0]?.values ?? [])],
          deployments.map(({ spec }) => spec.template.metadata.labels["app.kubernetes.io/name"] ?? "")
        )
        for (const { metadata, spec } of deployments) {
          assert.include(monitor.spec.namespaceSelector.matchNames, metadata.namespace)
          const ports = spec.template.spec.containers[0]?.ports?.map(({ name }) => name) ?? []
          assert.include(ports, monitor.spec.podMetricsEndpoints[0]?.port)
        }
        const dashboards = yield* Schema.decodeUnknownEffect(Schema.Array(Dashboards))(
          manifests.filter(({ metadata }) => metadata.labels?.["grafana_dashboard"] === "1")
        )
        assert.isAbove(dashboards.length, 1)

        const charts = yield* helmCharts(manifests)
        assert.isAbove(charts.length, 4)
        const namespaces = manifests
          .filter(({ kind }) => kind === "Namespace")
          .map(({ metadata }) => metadata.name)
        for (const { metadata, spec } of charts) {
          assert.match(metadata.name, releaseName)
          assert.isAtMost(metadata.name.length, 53)
          assert.match(spec.version, /^v?\d+[.]\d+[.]\d+$/, "a chart's version is pinned")
          assert.match(spec.repo, /^https:/)
          assert.include(namespaces, spec.targetNamespace)
          assert.strictEqual(spec.failurePolicy, "abort")
          assert.isObject(parse(spec.valuesContent))
        }
        const valuesOf = (name: string) =>
          charts.find(({ metadata }) => metadata.name === name)?.spec.valuesContent ?? ""
        const { ports } = yield* Schema.decodeUnknownEffect(TraefikValues)(parse(valuesOf("traefik")))
        for (const port of [ports.web, ports.websecure]) {
          assert.deepStrictEqual([...port.proxyProtocol.trustedIPs], proxyProtocol)
          assert.deepStrictEqual([...port.forwardedHeaders.trustedIPs], httpProxies)
        }

        const { stringData } = yield* the(
          Schema.Struct({ stringData: Schema.Struct({ "alertmanager.yaml": Schema.String }) }),
          manifests,
          ({ kind, metadata }) => kind === "Secret" && metadata.name === "alertmanager"
        )
        const alertmanager = yield* Schema.decodeUnknownEffect(Alertmanager)(
          parse(stringData["alertmanager.yaml"])
        )
        const { receivers, route } = alertmanager
        const names = receivers.map(({ name }) => name)
        for (const { receiver } of [route, ...route.routes]) assert.include(names, receiver)
        assert.isDefined(receivers.find(({ name }) => name === route.receiver)?.webhook_configs)
      }).pipe(Effect.provide(NodeServices.layer)),
    600_000
  )

  it.live(
    "are not written where no alert would reach anybody",
    () =>
      Effect.gen(function* () {
        const receiver = { email_configs: [{ to: "ops@example.com" }] }
        const failed = yield* Effect.flip(rendered({ vault_alert_receiver: receiver }))
        assert.match(failed.message, /vault_alert_receiver is a receiver of Alertmanager/)
      }).pipe(Effect.provide(NodeServices.layer)),
    600_000
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
