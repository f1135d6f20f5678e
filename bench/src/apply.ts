/**
 * Applying 200 objects (40 services of a ServiceAccount, a Secret, a Service, a Deployment without pods and an Ingress)
 * against `kubectl apply --server-side`: when none is there, when one label of each changes, when one
 * service changes, and when nothing does. Where all 200 are written, also against the floor: the same 200 requests, 16 at
 * a time as ours, sent bare, without looking at an answer. What is above the floor is ours; the floor is the API server's.
 *
 * Ours is `applyObjects`, as `ClusterApplier.apply` uses it, in this process, as in a worker; kubectl is a process, as it
 * always is, with its own default limits. All make the same objects, each in its own namespace, in turns. An unchanged
 * apply has to make no write: this process's requests are counted, and a write fails the benchmark.
 * Needs `MCPDEPLOY_TEST_KUBECONFIG`, and `kubectl` (or its path in `KUBECTL`).
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { applyObjects } from "@mcpdeploy/provider-k3s/apply/Apply"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds, pathOf, refOf } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { labels, type Manifest } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import { spawn } from "node:child_process"
import diagnostics from "node:diagnostics_channel"
import { Agent, request } from "undici"
import { BenchFailed, type Measure } from "./measure.ts"

const services = 40
const runs = 7

const environment = Config.all({
  kubeconfig: Config.String("MCPDEPLOY_TEST_KUBECONFIG"),
  kubectl: Config.String("KUBECTL").pipe(Config.withDefault("kubectl"))
})

const objectsOf = (namespace: string, version: string, changed?: string): ReadonlyArray<Manifest> =>
  Array.from({ length: services }, (_, index) => {
    const name = `bench-${index}`
    const isChanged = changed !== undefined && index === 0
    const metadata = {
      name,
      namespace,
      labels: { [labels.managedBy]: "mcpdeploy", version: isChanged ? changed : version }
    }
    const selector = { [labels.service]: name }
    return [
      { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false },
      { apiVersion: "v1", kind: "Secret", metadata, type: "Opaque", data: { TOKEN: "c2VjcmV0" } },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: { selector, ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }] }
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata,
        spec: {
          replicas: 0,
          selector: { matchLabels: selector },
          template: {
            metadata: { labels: selector },
            spec: {
              containers: [
                {
                  name: "app",
                  image: "registry.internal:5000/bench:1",
                  env: [{ name: "PORT", value: "8080" }]
                }
              ]
            }
          }
        }
      },
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata,
        spec: {
          ingressClassName: "bench",
          rules: [
            {
              host: `${name}.${namespace}.test`,
              http: {
                paths: [
                  { path: "/", pathType: "Prefix", backend: { service: { name, port: { number: 80 } } } }
                ]
              }
            }
          ]
        }
      }
    ]
  }).flat()

type Version = readonly [version: string, changed?: string]

interface Kubectl {
  readonly kubeconfig: string
  readonly kubectl: string
}

const execute = ({ kubeconfig, kubectl }: Kubectl, args: ReadonlyArray<string>, input = "") =>
  Effect.callback<string, BenchFailed>((resume) => {
    const child = spawn(kubectl, args, { env: { ...process.env, KUBECONFIG: kubeconfig } })
    let output = ""
    let errors = ""
    child.stdout.on("data", (chunk) => (output += String(chunk)))
    child.stderr.on("data", (chunk) => (errors += String(chunk)))
    child.on("error", (error) => resume(Effect.fail(new BenchFailed({ detail: error.message }))))
    child.on("close", (code) =>
      resume(
        code === 0
          ? Effect.succeed(output)
          : Effect.fail(new BenchFailed({ detail: `kubectl ${args.join(" ")}: ${errors}` }))
      )
    )
    child.stdin.end(input)
    return Effect.sync(() => child.kill())
  })

/** Requests other than reads that undici has sent in this process. */
let writes = 0
diagnostics.subscribe("undici:request:create", (message) => {
  if (!isReadRequest(message)) writes++
})
const isReadRequest = Schema.is(Schema.Struct({ request: Schema.Struct({ method: Schema.Literal("GET") }) }))

const plainAccess = (access: KubeConfig.ClusterAccess) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ allowH2: false, connect: access.tls, keepAliveTimeout: 30_000 })),
    (agent) => Effect.promise(() => agent.destroy())
  )

/** The least that applying can be: one server-side apply for each object, and its answer left unread by us. */
const bareApply = (agent: Agent, { server }: KubeConfig.ClusterAccess, manifests: ReadonlyArray<Manifest>) =>
  Effect.forEach(
    manifests,
    (manifest) =>
      Effect.tryPromise({
        try: async (signal) => {
          const { body, statusCode } = await request(
            `${server}${pathOf(refOf(manifest))}?fieldManager=bench&force=true`,
            {
              dispatcher: agent,
              method: "PATCH",
              headers: { "content-type": "application/apply-patch+yaml" },
              body: JSON.stringify(manifest),
              signal
            }
          )
          await body.dump()
          if (statusCode >= 300) throw new Error(`the API server answered ${statusCode}`)
        },
        catch: (cause) => new BenchFailed({ detail: String(cause) })
      }),
    { concurrency: 16, discard: true }
  )

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    yield* effect
    return performance.now() - start
  })

const pairs = (): { readonly ours: Array<number>; readonly peer: Array<number> } => ({ ours: [], peer: [] })

export const run: Effect.Effect<ReadonlyArray<Measure>, { readonly message: string }> = Effect.gen(
  function* () {
    const given = yield* environment
    const access = yield* KubeConfig.load({ kubeconfig: given.kubeconfig })
    const api = yield* KubernetesApi.make(access)
    const agent = yield* plainAccess(access)
    const results = { created: pairs(), changed: pairs(), one: pairs(), unchanged: pairs() }
    const floor = { created: pairs().peer, changed: pairs().peer }

    const namespace = (name: string) =>
      Effect.acquireRelease(
        api.create(
          { apiVersion: "v1", kind: "Namespace", metadata: { name } },
          { kind: kinds.Namespace, namespace: undefined, name }
        ),
        () =>
          Effect.ignore(
            api.delete({ kind: kinds.Namespace, namespace: undefined, name }, { propagation: "Background" })
          )
      )
    const ours = (name: string, version: string, changed?: string) =>
      timed(applyObjects(api, objectsOf(name, version, changed)))
    const peer = (name: string, version: string, changed?: string) => {
      const list = { apiVersion: "v1", kind: "List", items: objectsOf(name, version, changed) }
      return timed(execute(given, ["apply", "--server-side", "-f", "-"], JSON.stringify(list)))
    }

    // The namespaces are deleted at the end: that is the API server's work too.
    for (let run = 0; run < runs; run++) {
      const stem = `bench-apply-${Date.now().toString(36)}`
      yield* namespace(`${stem}-ours`)
      yield* namespace(`${stem}-peer`)
      yield* namespace(`${stem}-floor`)
      const bare = (version: string) => timed(bareApply(agent, access, objectsOf(`${stem}-floor`, version)))
      const both = [
        { side: "ours", apply: (...version: Version) => ours(`${stem}-ours`, ...version) } as const,
        { side: "peer", apply: (...version: Version) => peer(`${stem}-peer`, ...version) } as const
      ]
      const inTurn = run % 2 === 0 ? both : both.toReversed()
      for (const { apply, side } of inTurn) results.created[side].push(yield* apply("1"))
      floor.created.push(yield* bare("1"))
      for (const { apply, side } of inTurn) results.changed[side].push(yield* apply("2"))
      floor.changed.push(yield* bare("2"))
      for (const { apply, side } of inTurn) results.one[side].push(yield* apply("2", "3"))
      for (const { apply, side } of inTurn) {
        const before = writes
        results.unchanged[side].push(yield* apply("2", "3"))
        const made = writes - before
        if (made !== 0) return yield* new BenchFailed({ detail: `an unchanged apply made ${made} writes` })
      }
    }
    return [
      { label: `apply ${services * 5} objects, all new`, unit: "ms", ...results.created },
      {
        label: "all new, against bare requests",
        unit: "ms",
        ours: results.created.ours,
        peer: floor.created
      },
      { label: `apply ${services * 5} objects, all changed`, unit: "ms", ...results.changed },
      {
        label: "all changed, against bare requests",
        unit: "ms",
        ours: results.changed.ours,
        peer: floor.changed
      },
      { label: `apply ${services * 5} objects, 5 changed`, unit: "ms", ...results.one },
      { label: `apply ${services * 5} objects, unchanged`, unit: "ms", ...results.unchanged }
    ]
  }
).pipe(Effect.scoped)
