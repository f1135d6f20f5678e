/** Against a real API server; controllers are not needed. */
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { EnvName, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import { Projects } from "@mcpdeploy/core/Projects"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import { applyObjects } from "@mcpdeploy/provider-k3s/apply/Apply"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import type { LiveObject } from "@mcpdeploy/provider-k3s/kubernetes/LiveObject"
import { secretKey } from "../src/manifests/Deployment.ts"
import { fieldManager, labels, type Manifest } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import { commitOf, targetOf, workloadOf as workloadWithPods } from "./support/Sample.ts"
import {
  clusterLayer,
  connect,
  freshTarget,
  kubeconfig,
  separateApplier,
  titled
} from "./support/TestCluster.ts"

/** Without pods: there is no such image. */
const workloadOf: typeof workloadWithPods = (target, generation, options = {}) =>
  workloadWithPods(target, generation, { ...options, run: { replicas: 0, ...options.run } })

const isReady = kubeconfig !== undefined

const ref = (
  target: ServiceTarget,
  kind: (typeof kinds)[keyof typeof kinds],
  name: string = target.service
) => ({
  kind,
  namespace: target.namespace,
  name
})

const Image = Schema.Struct({
  spec: Schema.Struct({
    template: Schema.Struct({
      spec: Schema.Struct({
        containers: Schema.Array(
          Schema.Struct({
            image: Schema.String,
            env: Schema.Array(
              Schema.Struct({ name: Schema.String, value: Schema.optionalKey(Schema.String) })
            )
          })
        )
      })
    })
  })
})
const containerOf = (live: LiveObject) =>
  Effect.map(Schema.decodeUnknownEffect(Image)(live), ({ spec }) => spec.template.spec.containers[0])

const receiptOf = ({ digest, generation, image, run }: Workload, secretName?: string): Receipt =>
  Schema.decodeSync(Receipt)({
    commit: image.commit,
    image: {
      registry: image.registry,
      namespace: image.namespace,
      service: image.service,
      commit: image.commit
    },
    digest,
    buildKey: "key",
    generation,
    source: { repository: { url: "https://example.com/r.git" }, ref: "main" },
    build: {},
    run: { ...run },
    ...(secretName === undefined ? {} : { secretName }),
    pods: [],
    steps: [],
    deployedAt: "2026-01-01T00:00:00Z"
  })

/** Variables of about `size` bytes together. */
const variablesOf = (size: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: Math.ceil(size / 100_000) }, (_, index) => [
      `V${index}`,
      String(size).padEnd(Math.min(100_000, size - index * 100_000), "abcx$\n")
    ])
  )

/** As it may be written again. */
const objectOf = ({ metadata }: LiveObject): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata
})

describe.skipIf(!isReady)(titled("K3sClusterApplier", isReady, "MCPDEPLOY_TEST_KUBECONFIG"), () => {
  layer(clusterLayer, { excludeTestServices: true })("with a cluster", (it) => {
    it.effect("applies a workload, and changes nothing when it is applied again", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const target = yield* freshTarget()
        const workload = workloadOf(target, 1, {
          run: { env: { A: "1\n'\"$(PORT): {}" }, cpu: "0.5", memory: "1024Mi" },
          secrets: { TOKEN: "geheim" }
        })
        const first = yield* applier.apply(workload)
        assert.deepStrictEqual(new Set(first.changes.map(({ action }) => action)), new Set(["create"]))
        assert.match(first.secretName ?? "", /^web-env-[0-9a-f]{16}$/)
        const api = yield* connect
        const before = yield* api.list(ref(target, kinds.Deployment, ""))
        const again = yield* applier.apply(workload)
        assert.strictEqual(again.revision, first.revision)
        assert.deepStrictEqual(new Set(again.changes.map(({ action }) => action)), new Set(["unchanged"]))
        const after = yield* api.list(ref(target, kinds.Deployment, ""))
        // Its status is the cluster's to write, and may come in between.
        assert.strictEqual(before.items[0]?.metadata.generation, 1)
        assert.strictEqual(after.items[0]?.metadata.generation, 1)
        assert.notInclude(JSON.stringify(first), "geheim")
        assert.notInclude(JSON.stringify(first), Buffer.from("geheim").toString("base64"))
      })
    )

    it.effect.prop(
      "takes every name of a variable that a request may have, and keeps it",
      [Schema.Array(EnvName).check(Schema.isMaxLength(60))],
      ([some]) =>
        Effect.gen(function* () {
          const applier = yield* ClusterApplier
          const api = yield* connect
          const target = yield* freshTarget()
          const fixed = ["discovery.type", "app-mode", "a b", "1A", "x".repeat(256), ".", "..a", "$(PORT)"]
          const names = [...new Set([...fixed, ...some])].filter((name) => name !== "PORT")
          const env = Object.fromEntries(names.map((name, index) => [name, String(index)]))
          const secrets = Object.fromEntries(
            names.map((name, index) => [`${name.slice(0, 255)}%`, String(index)])
          )
          const unique = Object.fromEntries(Object.entries(secrets).filter(([name]) => !(name in env)))
          const applied = yield* applier.apply(workloadOf(target, 1, { run: { env }, secrets: unique }))
          const container = yield* containerOf(yield* api.get(ref(target, kinds.Deployment)))
          const found = new Map(container?.env.map(({ name, value }) => [name, value]))
          for (const [name, value] of Object.entries(env)) assert.strictEqual(found.get(name), value)
          const secret = yield* api.get(ref(target, kinds.Secret, applied.secretName))
          for (const [name, value] of Object.entries(unique)) {
            assert.isTrue(found.has(name))
            assert.include(
              JSON.stringify(secret),
              `"${secretKey(name)}":"${Buffer.from(value).toString("base64")}"`
            )
          }
        }),
      { arbitrary: { runs: 10 } }
    )

    it.effect("removes what a newer deploy no longer wants, and only that", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const api = yield* connect
        const target = yield* freshTarget()
        yield* applier.apply(workloadOf(target, 1, { run: { env: { A: "1", B: "2" } } }))
        const foreign: Manifest = {
          apiVersion: "networking.k8s.io/v1",
          kind: "Ingress",
          metadata: { name: "foreign", namespace: target.namespace },
          spec: { ingressClassName: "traefik", rules: [{ host: "foreign.example.com" }] }
        }
        yield* api.create(foreign, ref(target, kinds.Ingress, "foreign"))
        const applied = yield* applier.apply(
          workloadOf(target, 2, { run: { env: { A: "1" }, public: false } })
        )
        const container = yield* containerOf(yield* api.get(ref(target, kinds.Deployment)))
        assert.deepStrictEqual(
          container?.env.map(({ name }) => name),
          ["PORT", "A", "SOURCE_COMMIT"]
        )
        const { items } = yield* api.list(ref(target, kinds.Ingress, ""))
        assert.deepStrictEqual(
          items.map(({ metadata }) => metadata.name),
          ["foreign"]
        )
        assert.strictEqual(applied.changes.find(({ object }) => object === "Ingress web")?.action, "delete")
      })
    )

    it.effect("puts back what someone else has changed", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const api = yield* connect
        const target = yield* freshTarget()
        const workload = workloadOf(target, 1)
        yield* applier.apply(workload)
        yield* api.patch(ref(target, kinds.Deployment), [{ op: "replace", path: "/spec/replicas", value: 7 }])
        const again = yield* applier.apply(workload)
        const change = again.changes.find(({ object }) => object === "Deployment web")
        assert.strictEqual(change?.action, "update")
        assert.include(change?.lines ?? [], "-  replicas: 7")
        assert.include(change?.lines ?? [], "+  replicas: 0")
      })
    )

    it.effect("plans without writing, and shows no secret value", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const api = yield* connect
        const target = yield* freshTarget()
        const first = workloadOf(target, 1, { secrets: { TOKEN: "alpha-secret" } })
        const plan = yield* applier.plan(first)
        assert.deepStrictEqual(new Set(plan.map(({ action }) => action)), new Set(["create"]))
        const gone = yield* Effect.flip(
          api.get({ ...ref(target, kinds.Namespace, target.namespace), namespace: undefined })
        )
        assert.strictEqual(gone._tag, "NotFound")
        yield* applier.apply(first)
        const next = workloadOf(target, 2, {
          run: { port: 9000 },
          secrets: { TOKEN: "beta-secret" }
        })
        const change = yield* applier.plan(next)
        const byObject = new Map(change.map((item) => [item.object, item]))
        assert.strictEqual(byObject.get("NetworkPolicy deny-all")?.action, "unchanged")
        assert.strictEqual(byObject.get("Service web")?.action, "update")
        assert.include(byObject.get("Service web")?.lines.join("\n"), "+      port: 9000".slice(3))
        const text = JSON.stringify([plan, change])
        for (const secret of ["alpha-secret", "beta-secret"]) {
          assert.notInclude(text, secret)
          assert.notInclude(text, Buffer.from(secret).toString("base64"))
        }
        const container = yield* containerOf(yield* api.get(ref(target, kinds.Deployment)))
        assert.include(container?.image, first.digest)
      })
    )

    it.effect("refuses a namespace that belongs to another owner of the same name", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const projects = yield* Projects
        const receipts = yield* Receipts
        const workloads = yield* Workloads
        const target = yield* freshTarget()
        yield* applier.claim(target)
        const [head = "", ...rest] = `test-${target.owner.project}`.split("-").slice(1)
        const other = new ServiceTarget({
          owner: new Owner({ user: UserId.make(`test-${head}`), project: ProjectName.make(rest.join("-")) }),
          service: ServiceName.make("web")
        })
        assert.strictEqual(other.namespace, target.namespace)
        for (const attempt of [
          applier.claim(other),
          applier.apply(workloadOf(other, 9)),
          applier.plan(workloadOf(other, 9)),
          workloads.status(other),
          receipts.history(other),
          applier.delete(other),
          projects.delete(other.owner)
        ]) {
          const error = yield* Effect.flip(attempt)
          assert.strictEqual(error.reason._tag, "NamespaceOwnedByOther")
        }
      })
    )

    it.effect("leaves an object alone that it did not make", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const api = yield* connect
        const target = yield* freshTarget()
        yield* applier.claim(target)
        const foreign: Manifest = {
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "web", namespace: target.namespace },
          spec: { selector: { app: "foreign" }, ports: [{ port: 1 }] }
        }
        yield* api.create(foreign, ref(target, kinds.Service))
        const error = yield* Effect.flip(applier.apply(workloadOf(target, 1)))
        assert.strictEqual(error.reason._tag, "ObjectNotOwned")
        const live = yield* api.get(ref(target, kinds.Service))
        assert.isUndefined(live.metadata.labels?.[labels.managedBy])
      })
    )

    it.effect("refuses an older generation and another commit of the same, and accepts the same again", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const target = yield* freshTarget()
        yield* applier.apply(workloadOf(target, 5))
        const older = yield* Effect.flip(applier.apply(workloadOf(target, 4)))
        assert.strictEqual(older.reason._tag, "SupersededByNewer")
        assert.strictEqual(
          (yield* Effect.flip(applier.plan(workloadOf(target, 4)))).reason._tag,
          "SupersededByNewer"
        )
        const other = yield* Effect.flip(applier.apply(workloadOf(target, 5, { commit: commitOf(77) })))
        assert.strictEqual(other.reason._tag, "GenerationTaken")
        yield* applier.apply(workloadOf(target, 5))
        yield* applier.apply(workloadOf(target, 6))
      })
    )

    it.effect("ends with the newest of deploys that run at once, in any order and interleaving", () =>
      Effect.gen(function* () {
        const api = yield* connect
        const appliers = yield* Effect.all([
          separateApplier,
          separateApplier,
          separateApplier,
          separateApplier
        ])
        for (let round = 0; round < 12; round++) {
          const target = yield* freshTarget()
          const newest = 4
          const results = yield* Effect.forEach(
            appliers,
            (applier, index) => {
              const generation = 1 + ((index + round) % newest)
              return Effect.sleep(`${Math.floor(Math.random() * 60)} millis`).pipe(
                Effect.andThen(
                  applier.apply(
                    workloadOf(target, generation, {
                      run: { port: 8000 + generation, public: generation !== newest }
                    })
                  )
                ),
                Effect.result,
                Effect.map((result) => ({ generation, result }))
              )
            },
            { concurrency: "unbounded" }
          )
          for (const { generation, result } of results) {
            if (result._tag === "Success") continue
            assert.strictEqual(result.failure.reason._tag, "SupersededByNewer", result.failure.message)
            assert.notStrictEqual(generation, newest)
          }
          const container = yield* containerOf(yield* api.get(ref(target, kinds.Deployment)))
          assert.include(container?.image, workloadOf(target, newest).digest)
          const service = yield* api.get(ref(target, kinds.Service))
          assert.include(JSON.stringify(service), `"port":${8000 + newest}`)
          assert.lengthOf((yield* api.list(ref(target, kinds.Ingress, ""))).items, 0)
        }
      })
    )

    it.effect("returns to an earlier receipt with its Secret, under the failed deploy's own generation", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const receipts = yield* Receipts
        const workloads = yield* Workloads
        const api = yield* connect
        const target = yield* freshTarget()
        const good = workloadOf(target, 1, { secrets: { TOKEN: "one" } })
        const applied = yield* applier.apply(good)
        const receipt = receiptOf(good, applied.secretName)
        yield* receipts.record(target, receipt)
        const bad = workloadOf(target, 2, { secrets: { TOKEN: "two" } })
        yield* applier.apply(bad)
        const restored = yield* applier.restore(target, receipt, Generation.make(2))
        assert.strictEqual(restored.revision, applied.revision)
        assert.strictEqual(restored.secretName, applied.secretName)
        const container = yield* containerOf(yield* api.get(ref(target, kinds.Deployment)))
        assert.include(container?.image, good.digest)
        // The same call again, and the failed deploy again, both converge.
        yield* applier.restore(target, receipt, Generation.make(2))
        yield* applier.apply(bad)
        yield* applier.restore(target, receipt, Generation.make(2))
        const status = yield* workloads.status(target)
        assert.strictEqual(status.commit, good.image.commit)
        assert.strictEqual(status.generation, 2)
      })
    )

    it.effect("keeps the last 10 receipts and the Secrets they name, and deletes the others", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const receipts = yield* Receipts
        const api = yield* connect
        const target = yield* freshTarget()
        for (let generation = 1; generation <= 12; generation++) {
          const workload = workloadOf(target, generation, { secrets: { TOKEN: `value-${generation}` } })
          const { secretName } = yield* applier.apply(workload)
          yield* receipts.record(target, receiptOf(workload, secretName))
          yield* receipts.record(target, receiptOf(workload, secretName))
        }
        const history = yield* receipts.history(target)
        assert.deepStrictEqual(
          history.map(({ generation }) => Number(generation)),
          [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]
        )
        const secrets = yield* api.list(ref(target, kinds.Secret, ""), { label: `${labels.service}=web` })
        assert.deepStrictEqual(
          secrets.items.map(({ metadata }) => metadata.name).toSorted(),
          history.map(({ secretName }) => secretName ?? "").toSorted()
        )
      })
    )

    it.effect.prop(
      "keeps each of the last 10 receipts whole, however much their variables take",
      [
        Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 520_000 }))).check(
          Schema.isMinLength(3),
          Schema.isMaxLength(12)
        )
      ],
      ([sizes]) =>
        Effect.gen(function* () {
          const receipts = yield* Receipts
          const { images } = yield* Projects
          const applier = yield* ClusterApplier
          const api = yield* connect
          const target = yield* freshTarget()
          yield* applier.apply(workloadOf(target, 1))
          // some say the same as one before them
          const wanted = [...sizes, ...sizes.slice(0, 2)].map((size, index) =>
            receiptOf(workloadOf(target, index + 1, { run: { env: variablesOf(size) } }))
          )
          for (const receipt of wanted) yield* receipts.record(target, receipt)
          const last = wanted.toReversed().slice(0, 10)
          assert.deepStrictEqual(yield* receipts.history(target), last)
          const [needs] = yield* images(target.namespace)
          for (const { digest } of last) assert.include(needs?.digests ?? [], digest)
          const { items } = yield* api.list(ref(target, kinds.ConfigMap, ""), { label: labels.specOf })
          const large = last.map(({ run }) => JSON.stringify(run)).filter((text) => text.length > 66_000)
          assert.isAtMost(items.length, last.length)
          assert.isAtLeast(items.length, new Set(large).size)
          for (const item of items) assert.isBelow(JSON.stringify(item["data"]).length, 1024 * 1024)
          yield* applier.delete(target)
          const left = yield* api.list(ref(target, kinds.ConfigMap, ""), { label: labels.managedBy })
          assert.deepStrictEqual(left.items, [])
        }),
      { arbitrary: { runs: 4 } }
    )

    it.effect("reads the receipts of a record from before their specs stood beside it, and keeps them", () =>
      Effect.gen(function* () {
        const receipts = yield* Receipts
        const api = yield* connect
        const target = yield* freshTarget()
        yield* (yield* ClusterApplier).apply(workloadOf(target, 1))
        const large = { run: { env: variablesOf(400_000) } }
        const old = [2, 1].map((generation) => receiptOf(workloadOf(target, generation, large)))
        const texts = yield* Schema.encodeEffect(Schema.fromJsonString(Schema.Array(Receipt)))(old)
        const record = yield* api.get(ref(target, kinds.ConfigMap))
        yield* api.replace(
          { ...objectOf(record), data: { "receipts.json": texts } },
          ref(target, kinds.ConfigMap)
        )
        assert.deepStrictEqual(yield* receipts.history(target), old)
        // a claim leaves them as they are
        yield* (yield* ClusterApplier).apply(workloadOf(target, 3, large))
        assert.deepStrictEqual(yield* receipts.history(target), old)
        const newest = receiptOf(workloadOf(target, 3, large))
        yield* receipts.record(target, newest)
        assert.deepStrictEqual(yield* receipts.history(target), [newest, ...old])
        const { items } = yield* api.list(ref(target, kinds.ConfigMap, ""), { label: labels.specOf })
        assert.lengthOf(items, 1)
      })
    )

    it.effect("loses no receipt's spec when several record at once, and drop what others want", () =>
      Effect.gen(function* () {
        const target = yield* freshTarget()
        yield* (yield* ClusterApplier).apply(workloadOf(target, 1))
        const receipts = yield* Receipts
        // each spec is dropped by one receipt and wanted again by another
        const all = Array.from({ length: 24 }, (_, index) =>
          receiptOf(workloadOf(target, index + 1, { run: { env: variablesOf(70_000 + (index % 11)) } }))
        )
        yield* Effect.forEach(all, (receipt) => receipts.record(target, receipt), {
          concurrency: 4,
          discard: true
        })
        assert.deepStrictEqual(yield* receipts.history(target), all.toReversed().slice(0, 10))
      })
    )

    it.effect("deletes a service, keeps the project's other ones, and deletes what is not there", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const projects = yield* Projects
        const receipts = yield* Receipts
        const workloads = yield* Workloads
        const api = yield* connect
        const target = yield* freshTarget()
        const other = new ServiceTarget({ owner: target.owner, service: ServiceName.make("db") })
        yield* applier.apply(workloadOf(target, 1, { secrets: { TOKEN: "x" } }))
        yield* applier.apply(workloadOf(other, 1))
        yield* applier.delete(target)
        yield* applier.delete(target)
        assert.strictEqual((yield* Effect.flip(workloads.status(target))).reason._tag, "ServiceNotFound")
        assert.deepStrictEqual(yield* receipts.history(target), [])
        yield* workloads.status(other)
        assert.lengthOf((yield* api.list(ref(target, kinds.NetworkPolicy, ""))).items, 3)
        const left = yield* Effect.flip(projects.delete(target.owner))
        assert.strictEqual(left.reason._tag, "ProjectNotEmpty")
        yield* applier.delete(targetOf("nobody", "nowhere", "web"))
        yield* projects.delete(targetOf("nobody", "nowhere", "web").owner)
      })
    )

    it.effect("names the invalid field", () =>
      Effect.gen(function* () {
        const api = yield* connect
        const target = yield* freshTarget()
        yield* (yield* ClusterApplier).claim(target)
        const error = yield* Effect.flip(
          applyObjects(api, [
            {
              apiVersion: "v1",
              kind: "Service",
              metadata: {
                name: "web",
                namespace: target.namespace,
                labels: { [labels.managedBy]: fieldManager }
              },
              spec: { ports: [{ port: 70_000 }] }
            }
          ])
        )
        assert.strictEqual(error._tag, "ObjectInvalid")
        assert.include(error.message, "spec.ports[0].port")
      })
    )
  })
})
