/**
 * A way to the region's certificate authority that a test can cut: a forwarder inside the region's network, and an issuer of its own
 * that goes by it. What other tests use is not touched.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import type { ObjectRef } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { variable } from "./AcmeRegion.ts"

const Bundle = Schema.fromJsonString(Schema.Struct({ dataFolder: Schema.String, pid: Schema.Int }))
const path = process.env[variable]
const bundle =
  path === undefined ? { dataFolder: "", pid: 0 } : Schema.decodeSync(Bundle)(readFileSync(path, "utf8"))

const port = 14_100 + Math.floor(Math.random() * 800)
/** Pebble's, inside the region. */
const authority = 14_000

const program = `
const net = require("node:net")
net.createServer((from) => {
  const to = net.connect(${authority}, "127.0.0.1")
  from.pipe(to).pipe(from)
  for (const socket of [from, to]) socket.on("error", () => { from.destroy(); to.destroy() })
}).listen(${port}, "127.0.0.1", () => console.log("up"))`

export class FaultyAuthority {
  #forwarder: ChildProcess | undefined
  readonly issuer: string
  constructor(issuer: string) {
    this.issuer = issuer
  }
  readonly open = Effect.callback<void>((resume) => {
    const inRegion = [
      "-t",
      String(bundle.pid),
      "--mount",
      "--",
      "nsenter",
      `--net=${bundle.dataFolder}/network`,
      "--"
    ]
    const child = spawn("nsenter", [...inRegion, process.execPath, "-e", program], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    this.#forwarder = child
    child.stdout.once("data", () => resume(Effect.void))
  })
  /** From now on connections are accepted, and nothing is answered; until {@link goOn}. */
  readonly hang = Effect.sync(() => {
    this.#forwarder?.kill("SIGSTOP")
  })
  readonly goOn = Effect.sync(() => {
    this.#forwarder?.kill("SIGCONT")
  })
  /** From now on connections are refused, and those that are open are gone. */
  readonly cut = Effect.sync(() => {
    this.#forwarder?.kill("SIGKILL")
  })
}

const issuerRef = (name: string): ObjectRef => ({
  kind: {
    kind: "ClusterIssuer",
    apiVersion: "cert-manager.io/v1",
    plural: "clusterissuers",
    namespaced: false
  },
  namespace: undefined,
  name
})

const IssuerStatus = Schema.Struct({
  status: Schema.Struct({
    conditions: Schema.Array(Schema.Struct({ type: Schema.String, status: Schema.String }))
  })
})

/** Until the scope closes; ready when it has its account. */
export const faultyAuthority = Effect.fn("faultyAuthority")(function* (
  api: KubernetesApi.KubernetesApi,
  name: string
) {
  const faulty = new FaultyAuthority(name)
  yield* Effect.acquireRelease(faulty.open, () => faulty.cut)
  const ca = readFileSync(join(bundle.dataFolder, "certificates", "ca.crt"))
  const ref = issuerRef(name)
  yield* Effect.acquireRelease(
    api.create(
      {
        apiVersion: "cert-manager.io/v1",
        kind: "ClusterIssuer",
        metadata: { name },
        spec: {
          acme: {
            server: `https://127.0.0.1:${port}/dir`,
            caBundle: ca.toString("base64"),
            privateKeySecretRef: { name: `${name}-account` },
            solvers: [{ http01: { ingress: { ingressClassName: "traefik", serviceType: "ClusterIP" } } }]
          }
        }
      },
      ref
    ),
    () => Effect.ignore(api.delete(ref, { propagation: "Background" }))
  )
  yield* api.get(ref).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(IssuerStatus)),
    Effect.filterOrFail(({ status }) =>
      status.conditions.some((each) => each.type === "Ready" && each.status === "True")
    ),
    Effect.retry(Schedule.spaced("300 millis")),
    Effect.timeout("30 seconds")
  )
  return faulty
})
