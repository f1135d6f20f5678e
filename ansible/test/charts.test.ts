/** The region's values, rendered with the very charts that k3s will install: what no test of our own text can find. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { parse, stringify } from "yaml"
import { missingCharts, template, unpacked, valuesOf, versionOf } from "./charts/Charts.ts"
import {
  type Claim,
  claimOf,
  containersOf,
  decodeClaim,
  hostWriteFaults,
  imageFaults,
  mountFaults,
  type Pod,
  podsOf
} from "./charts/Pods.ts"
import { unknownKeys } from "./charts/Values.ts"
import * as ApiServer from "./lab/ApiServer.ts"
import { folder as ansible } from "./lab/Ansible.ts"
import * as Lab from "./lab/Lab.ts"
import { helmCharts, inventory, type Manifest, manifestsOf, rendered } from "./lab/Manifests.ts"
import { forNamespaces, missing } from "./lab/Needs.ts"

/** Configurations of programs, which the charts hand on as they are. */
const free: Readonly<Record<string, ReadonlyArray<string>>> = {
  loki: ["loki.limits_config", "loki.compactor", "loki.schemaConfig"],
  "opentelemetry-collector": ["config"],
  "kube-prometheus-stack": ["grafana.grafana.ini"]
}

describe("what is looked for in charts", () => {
  it("is a key that the chart neither has nor describes", () => {
    const chart = {
      defaults: { ports: { web: { port: 1 } }, labels: {}, config: { a: {} } },
      text: "ports:\n  web:\n    # hostPort: 80\n",
      free: ["config"]
    }
    assert.deepStrictEqual(
      unknownKeys(
        {
          ports: { web: { port: 2, hostPort: 80, tls: {} } },
          labels: { any: "thing" },
          config: { b: 1 },
          logs: {}
        },
        chart
      ),
      ["ports.web.tls", "logs"]
    )
  })

  it("is a volume that nothing mounts, two mounts at one path, and a folder of root that another user would write to", () => {
    const pod: Pod = {
      kind: "StatefulSet",
      name: "loki",
      namespace: "observability",
      labels: {},
      claims: new Map(),
      spec: {
        securityContext: { runAsUser: 10_001 },
        volumes: [
          { name: "data", hostPath: { path: "/var/lib/loki" } },
          { name: "storage" },
          { name: "idle" }
        ],
        containers: [
          {
            name: "loki",
            image: "docker.io/grafana/loki",
            volumeMounts: [
              { name: "data", mountPath: "/var/loki" },
              { name: "storage", mountPath: "/var/loki" }
            ]
          }
        ]
      }
    }
    assert.deepStrictEqual(mountFaults(pod), ["nothing mounts idle", "loki mounts two at /var/loki"])
    assert.deepStrictEqual(hostWriteFaults(pod), ["loki cannot write to /var/lib/loki"])
    assert.deepStrictEqual(imageFaults(pod), ["docker.io/grafana/loki"])
  })
})

const Volumes = Schema.Struct({
  observability_volumes: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      path: Schema.String,
      size: Schema.String,
      uid: Schema.Int,
      gid: Schema.Int
    })
  )
})
const volumes = Schema.decodeUnknownSync(Volumes)(
  parse(readFileSync(join(ansible, "roles/observability/defaults/main.yml"), "utf8"))
).observability_volumes

const Ingress = Schema.Struct({
  metadata: Schema.Struct({ namespace: Schema.String }),
  spec: Schema.Struct({
    rules: Schema.Array(
      Schema.Struct({
        http: Schema.Struct({
          paths: Schema.Array(
            Schema.Struct({
              backend: Schema.Struct({
                service: Schema.Struct({
                  name: Schema.String,
                  port: Schema.Struct({ number: Schema.Int })
                })
              })
            })
          )
        })
      })
    )
  })
})
const Service = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, namespace: Schema.String }),
  spec: Schema.Struct({ ports: Schema.Array(Schema.Struct({ port: Schema.Int })) })
})
const PodMonitor = Schema.Struct({
  spec: Schema.Struct({
    namespaceSelector: Schema.Struct({ matchNames: Schema.Array(Schema.String) }),
    selector: Schema.Struct({
      matchLabels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
    }),
    podMetricsEndpoints: Schema.Array(Schema.Struct({ port: Schema.String }))
  })
})

interface Release {
  readonly name: string
  readonly chart: string
  readonly pinned: string
  readonly namespace: string
  readonly folder: string
  readonly values: string
  readonly manifests: ReadonlyArray<Manifest>
  readonly pods: ReadonlyArray<Pod>
}

const version = /region_k3s_version: v([\d.]+)/.exec(
  readFileSync(join(inventory, "group_vars/all/main.yml"), "utf8")
)?.[1]

const prepare = Effect.gen(function* () {
  const files = yield* rendered({})
  const own = (yield* Effect.forEach([...files.values()], manifestsOf)).flat()
  const releases = yield* Effect.forEach(yield* helmCharts(own), ({ metadata, spec }) =>
    Effect.gen(function* () {
      const folder = yield* unpacked(spec.chart, spec.version)
      const text = yield* template({
        chart: folder,
        name: metadata.name,
        namespace: spec.targetNamespace,
        values: spec.valuesContent,
        kubernetes: version ?? ""
      })
      const manifests = yield* manifestsOf(text)
      return {
        name: metadata.name,
        chart: spec.chart,
        pinned: spec.version,
        namespace: spec.targetNamespace,
        folder,
        values: spec.valuesContent,
        manifests,
        pods: podsOf(manifests, spec.targetNamespace)
      } satisfies Release
    })
  )
  return { own, releases }
})

const lacks = [missing(forNamespaces), missingCharts].find((text) => text !== "") ?? ""

describe.skipIf(lacks !== "")(`the region's charts ${lacks}`, () => {
  const scope = Scope.makeUnsafe()
  let own: ReadonlyArray<Manifest> = []
  let releases: ReadonlyArray<Release> = []
  const pods = () => releases.flatMap((release) => release.pods)
  const told = (fault: (pod: Pod) => ReadonlyArray<string>) =>
    pods().flatMap((pod) => fault(pod).map((text) => `${pod.kind} ${pod.namespace}/${pod.name}: ${text}`))

  beforeAll(async () => {
    const prepared = await Effect.runPromise(
      prepare.pipe(Effect.provideService(Scope.Scope, scope), Effect.provide(NodeServices.layer))
    )
    own = prepared.own
    releases = prepared.releases
  }, 600_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  it("are those that are pinned", () => {
    for (const { chart, folder, pinned } of releases) assert.strictEqual(versionOf(folder), pinned, chart)
  })

  it("know every key of our values", () => {
    for (const { chart, folder, values } of releases)
      assert.deepStrictEqual(
        unknownKeys(Object(parse(values)), { ...valuesOf(folder), free: free[chart] ?? [] }),
        [],
        chart
      )
  })

  it("mount every volume, each at a path of its own; write where they may; name the version of every image", () => {
    assert.isAbove(pods().length, 10)
    assert.deepStrictEqual(told(mountFaults), [])
    assert.deepStrictEqual(told(hostWriteFaults), [])
    assert.deepStrictEqual(told(imageFaults), [])
  })

  it("claim volumes that are there, as the users that own the folders", () => {
    const claims = new Map<string, Claim>(
      own
        .filter(({ kind }) => kind === "PersistentVolumeClaim")
        .map((manifest) => [manifest.metadata.name, claimOf(decodeClaim(manifest).spec)])
    )
    const used = pods().flatMap((pod) =>
      [
        ...pod.claims.values(),
        ...(pod.spec.volumes ?? []).flatMap(({ persistentVolumeClaim: claim }) =>
          claim === undefined ? [] : [claims.get(claim.claimName)]
        )
      ].map((claim) => ({ pod, claim }))
    )
    assert.sameMembers(
      used.map(({ claim }) => claim?.labels["mcpdeploy.io/volume"]),
      volumes.map(({ name }) => name)
    )
    for (const { claim, pod } of used) {
      const volume = volumes.find(({ name }) => name === claim?.labels["mcpdeploy.io/volume"])
      assert.strictEqual(claim?.storageClassName, "ops-local", pod.name)
      assert.strictEqual(claim?.storage, volume?.size, pod.name)
      const { fsGroup, runAsUser } = pod.spec.securityContext ?? {}
      assert.deepStrictEqual([runAsUser, fsGroup], [volume?.uid, volume?.gid], pod.name)
    }
  })

  it("run the platform's pods on the ops node, Traefik on run nodes, and collectors everywhere", () => {
    for (const { kind, name, spec } of pods()) {
      const pool = spec.nodeSelector?.["mcpdeploy.io/pool"]
      const isEverywhere = (spec.tolerations ?? []).some(
        ({ key, operator }) => key === undefined && operator === "Exists"
      )
      if (kind === "DaemonSet") assert.isTrue(pool === "run" || isEverywhere, name)
      else {
        assert.strictEqual(pool, "ops", `${kind} ${name}`)
        assert.include(
          (spec.tolerations ?? []).map(({ key, value }) => `${key}=${value}`),
          "mcpdeploy.io/pool=ops"
        )
      }
    }
  })

  it("have the services that our hosts lead to, the ports that Prometheus asks, and the Secrets that they name", () => {
    const all = releases.flatMap((release) =>
      release.manifests.map((manifest) => ({
        ...manifest,
        metadata: { ...manifest.metadata, namespace: manifest.metadata.namespace ?? release.namespace }
      }))
    )
    const services = all
      .filter(({ kind }) => kind === "Service")
      .map((manifest) => Schema.decodeUnknownSync(Service)(manifest))
      .flatMap(({ metadata, spec }) =>
        spec.ports.map(({ port }) => `${metadata.namespace}/${metadata.name}:${port}`)
      )
    for (const manifest of own.filter(({ kind }) => kind === "Ingress")) {
      const { metadata, spec } = Schema.decodeUnknownSync(Ingress)(manifest)
      for (const { backend } of spec.rules.flatMap(({ http }) => http.paths))
        assert.include(
          services,
          `${metadata.namespace}/${backend.service.name}:${backend.service.port.number}`
        )
    }
    // Where Grafana reads logs, and collectors send them.
    assert.include(services, "observability/loki:3100")

    for (const manifest of own.filter(({ kind }) => kind === "PodMonitor")) {
      const { spec } = Schema.decodeUnknownSync(PodMonitor)(manifest)
      const labels = Object.entries(spec.selector.matchLabels ?? {})
      if (labels.length === 0) continue
      const asked = pods().filter(
        (pod) =>
          spec.namespaceSelector.matchNames.includes(pod.namespace) &&
          labels.every(([name, value]) => pod.labels[name] === value)
      )
      assert.isNotEmpty(asked, manifest.metadata.name)
      const ports = asked.flatMap(containersOf).flatMap((container) => container.ports ?? [])
      for (const { port } of spec.podMetricsEndpoints)
        assert.include(
          ports.map(({ name }) => name),
          port,
          manifest.metadata.name
        )
    }

    // The API server's own, and what a webhook's Job makes.
    const made = /-(admission|webhook-ca|tls)$/
    const there = new Set(
      [...all, ...own]
        .filter(({ kind }) => kind === "Secret" || kind === "ConfigMap")
        .map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)
    )
    for (const pod of pods()) {
      const named = [
        ...(pod.spec.volumes ?? []).flatMap(({ configMap, secret }) => [
          { kind: "Secret", name: secret?.optional === true ? undefined : secret?.secretName },
          { kind: "ConfigMap", name: configMap?.name }
        ]),
        ...containersOf(pod).flatMap(({ env }) =>
          (env ?? []).flatMap(({ valueFrom }) => [
            { kind: "Secret", name: valueFrom?.secretKeyRef?.name },
            { kind: "ConfigMap", name: valueFrom?.configMapKeyRef?.name }
          ])
        )
      ]
      for (const { kind, name } of named)
        if (name !== undefined && !made.test(name))
          assert.isTrue(there.has(`${kind} ${pod.namespace}/${name}`), `${pod.name}: ${kind} ${name}`)
    }
  })

  it.live.skipIf(ApiServer.missingApiServer !== "")(
    `are taken by the API server, with all that the roles write beside them ${ApiServer.missingApiServer}`,
    () =>
      Effect.gen(function* () {
        const { kubectl } = yield* ApiServer.make(yield* Lab.make)
        const apply = (manifests: ReadonlyArray<Manifest>) =>
          kubectl(
            ["apply", "--server-side", "--validate=strict", "--filename", "-"],
            manifests.map((manifest) => stringify(manifest)).join("---\n")
          )
        const all = releases.flatMap(({ manifests, namespace }) =>
          manifests.map((manifest) => ({ manifest, namespace }))
        )
        const isDefinition = ({ kind }: Manifest) => kind === "CustomResourceDefinition"
        yield* apply(all.map(({ manifest }) => manifest).filter(isDefinition))
        yield* kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])
        yield* apply(own.filter(({ kind }) => kind === "Namespace"))
        // Nothing answers a webhook here.
        const objects = all.filter(
          ({ manifest }) => !isDefinition(manifest) && !manifest.kind.endsWith("WebhookConfiguration")
        )
        for (const namespace of new Set(all.map((each) => each.namespace)))
          yield* kubectl(
            ["apply", "--server-side", "--validate=strict", "--namespace", namespace, "--filename", "-"],
            objects
              .filter(
                (each) => each.namespace === namespace && each.manifest.metadata.namespace === undefined
              )
              .map(({ manifest }) => stringify(manifest))
              .join("---\n")
          )
        yield* apply(
          objects.map(({ manifest }) => manifest).filter(({ metadata }) => metadata.namespace !== undefined)
        )
        yield* apply(own.filter(({ apiVersion }) => !apiVersion.startsWith("helm.cattle.io/")))
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    600_000
  )
})
