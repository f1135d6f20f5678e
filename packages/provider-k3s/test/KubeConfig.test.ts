/** Each way to say how a cluster is reached, against a real API server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kubeconfig, titled } from "./support/TestCluster.ts"

interface Given {
  readonly clusters: ReadonlyArray<{
    readonly name: string
    readonly cluster: Readonly<Record<string, string>>
  }>
  readonly users: ReadonlyArray<{ readonly name: string; readonly user: Readonly<Record<string, string>> }>
}

const given = (): Given => JSON.parse(readFileSync(kubeconfig ?? "", "utf8"))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-kubeconfig-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const configOf = (cluster: object, user: object) => ({
  apiVersion: "v1",
  kind: "Config",
  "current-context": "it",
  clusters: [{ name: "there", cluster }],
  users: [{ name: "me", user }],
  contexts: [{ name: "it", context: { cluster: "there", user: "me" } }]
})

const write = (path: string, content: object | string) =>
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 })

/** Whether the cluster lets us in, and knows us. */
const admitted = (options: { readonly kubeconfig?: string }) =>
  Effect.flatMap(KubeConfig.load(options), KubernetesApi.make).pipe(
    Effect.flatMap((api) => api.list({ kind: kinds.Namespace, namespace: undefined, name: "" })),
    Effect.map(({ items }) => items.length > 0),
    Effect.scoped
  )

describe.skipIf(kubeconfig === undefined)(
  titled("a kubeconfig", kubeconfig !== undefined, "MCPDEPLOY_TEST_KUBECONFIG"),
  () => {
    it.live("names certificates by paths beside it", () =>
      Effect.gen(function* () {
        const path = yield* folder
        const [cluster, user] = [given().clusters[0]?.cluster ?? {}, given().users[0]?.user ?? {}]
        for (const [file, data] of [
          ["ca.pem", cluster["certificate-authority-data"]],
          ["me.pem", user["client-certificate-data"]],
          ["me.key", user["client-key-data"]]
        ] as const)
          write(join(path, file), Buffer.from(data ?? "", "base64").toString())
        write(
          join(path, "config"),
          configOf(
            { server: cluster["server"], "certificate-authority": "ca.pem" },
            { "client-certificate": "me.pem", "client-key": "me.key" }
          )
        )
        assert.isTrue(yield* admitted({ kubeconfig: join(path, "config") }))
      }).pipe(Effect.scoped)
    )

    it.live("gets its credentials from an exec plugin", () =>
      Effect.gen(function* () {
        const path = yield* folder
        const [cluster, user] = [given().clusters[0]?.cluster ?? {}, given().users[0]?.user ?? {}]
        const pem = (name: string) => Buffer.from(user[name] ?? "", "base64").toString()
        write(
          join(path, "credential.json"),
          JSON.stringify({
            apiVersion: "client.authentication.k8s.io/v1",
            kind: "ExecCredential",
            status: {
              clientCertificateData: pem("client-certificate-data"),
              clientKeyData: pem("client-key-data")
            }
          })
        )
        const exec = {
          apiVersion: "client.authentication.k8s.io/v1",
          command: "cat",
          args: [join(path, "credential.json")],
          interactiveMode: "Never"
        }
        write(join(path, "config"), configOf(cluster, { exec }))
        assert.isTrue(yield* admitted({ kubeconfig: join(path, "config") }))

        write(join(path, "config"), configOf(cluster, { exec: { ...exec, command: "no-such-plugin" } }))
        const failure = yield* Effect.flip(admitted({ kubeconfig: join(path, "config") }))
        assert.strictEqual(failure._tag, "ClusterConfigInvalid")
        assert.include(failure.message, "no-such-plugin")
      }).pipe(Effect.scoped)
    )

    it.live("may be several files in KUBECONFIG, which are merged", () =>
      Effect.gen(function* () {
        const path = yield* folder
        const [cluster, user] = [given().clusters[0]?.cluster ?? {}, given().users[0]?.user ?? {}]
        const { clusters, users, ...rest } = configOf(cluster, user)
        write(join(path, "a"), { ...rest, clusters, users: [] })
        write(join(path, "b"), { apiVersion: "v1", kind: "Config", clusters: [], contexts: [], users })
        const before = process.env["KUBECONFIG"]
        process.env["KUBECONFIG"] = [join(path, "a"), join(path, "b")].join(delimiter)
        try {
          assert.isTrue(yield* admitted({}))
        } finally {
          if (before === undefined) delete process.env["KUBECONFIG"]
          else process.env["KUBECONFIG"] = before
        }
      }).pipe(Effect.scoped)
    )

    it.live("that is wrong is told by its path and what is wrong", () =>
      Effect.gen(function* () {
        const path = yield* folder
        const file = join(path, "config")
        const cases: ReadonlyArray<readonly [content: object | string, says: string]> = [
          ["{", "config"],
          ["just text", "is no kubeconfig"],
          [
            { ...configOf({ server: "https://127.0.0.1:1" }, {}), "current-context": "other" },
            'no context "other"'
          ],
          [configOf({ server: "https://127.0.0.1:1", "proxy-url": "http://127.0.0.1:2" }, {}), "proxy-url"]
        ]
        for (const [content, says] of cases) {
          write(file, content)
          const failure = yield* Effect.flip(admitted({ kubeconfig: file }))
          assert.strictEqual(failure._tag, "ClusterConfigInvalid")
          assert.include(failure.message, says)
        }
        const absent = yield* Effect.flip(admitted({ kubeconfig: join(path, "none") }))
        assert.strictEqual(absent._tag, "ClusterConfigInvalid")
        assert.include(absent.message, join(path, "none"))
      }).pipe(Effect.scoped)
    )
  }
)
