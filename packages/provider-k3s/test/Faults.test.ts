/** The API server behind a proxy that breaks connections. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as K3sCluster from "@mcpdeploy/provider-k3s/K3sCluster"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { LiveObject } from "@mcpdeploy/provider-k3s/kubernetes/LiveObject"
import { watch } from "../src/kubernetes/Watch.ts"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { workloadOf } from "./support/Sample.ts"
import { clusterRegion, freshTarget, kubeconfig, titled } from "./support/TestCluster.ts"

const isReady = kubeconfig !== undefined

/** A proxy to the API server, and a region that goes through it. */
const proxied = Effect.gen(function* () {
  const { server: address } = yield* KubeConfig.load(clusterRegion)
  const { hostname, port } = new URL(address)
  const open = new Set<net.Socket>()
  let isDown = false
  const server = net.createServer((socket) => {
    if (isDown) return void socket.resetAndDestroy()
    const upstream = net.connect(Number(port), hostname)
    open.add(socket)
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket]
    ] as const) {
      from.on("error", () => to.destroy())
      from.on("close", () => to.destroy())
      from.pipe(to)
    }
    socket.on("close", () => open.delete(socket))
  })
  const own = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.sync(() => {
        for (const socket of open) socket.destroy()
        server.close()
      })
  )
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-test-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const file = join(folder, "kubeconfig")
  const text = readFileSync(kubeconfig ?? "", "utf8")
  writeFileSync(file, text.replaceAll(address, `https://127.0.0.1:${own}`), { mode: 0o600 })
  return {
    region: new RegionConfig({ ...clusterRegion, kubeconfig: file }),
    resetAll: Effect.sync(() => {
      for (const socket of open) socket.resetAndDestroy()
    }),
    setDown: (down: boolean) => Effect.sync(() => void (isDown = down))
  }
})

describe.skipIf(!isReady)(
  titled("a broken connection to the API server", isReady, "MCPDEPLOY_TEST_KUBECONFIG"),
  () => {
    it.live("in the middle of applies is retried, and the result is the same", () =>
      Effect.gen(function* () {
        const { region, resetAll } = yield* proxied
        const target = yield* freshTarget()
        const workload = workloadOf(target, 1, { run: { replicas: 0 }, secrets: { TOKEN: "x" } })
        yield* Effect.gen(function* () {
          const applier = yield* ClusterApplier
          const chaos = yield* resetAll.pipe(Effect.delay("35 millis"), Effect.forever, Effect.forkChild)
          const chaotic = yield* Effect.forkChild(
            Effect.gen(function* () {
              for (let round = 0; round < 5; round++) yield* applier.apply(workload)
            })
          )
          yield* Effect.sleep("3 seconds")
          yield* Fiber.interrupt(chaos)
          yield* Fiber.join(chaotic)
          const { changes } = yield* applier.apply(workload)
          assert.deepStrictEqual(new Set(changes.map(({ action }) => action)), new Set(["unchanged"]))
        }).pipe(Effect.provide(K3sCluster.layer(region)))
      }).pipe(Effect.scoped)
    )

    it.live("does not end a watch", () =>
      Effect.gen(function* () {
        const { region, resetAll } = yield* proxied
        const target = yield* freshTarget()
        const api = yield* Effect.flatMap(KubeConfig.load(region), KubernetesApi.make)
        const ref = { kind: kinds.Namespace, namespace: undefined, name: target.namespace }
        const appeared = yield* watch(api, { ...ref, name: "" }, LiveObject, {
          field: `metadata.name=${target.namespace}`
        }).pipe(
          Stream.filter((items) => items.length > 0),
          Stream.runHead,
          Effect.forkChild
        )
        yield* Effect.sleep("300 millis")
        yield* resetAll
        yield* Effect.sleep("300 millis")
        yield* api.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: target.namespace } }, ref)
        const found = yield* Fiber.join(appeared).pipe(Effect.timeout("10 seconds"))
        assert.strictEqual(found._tag, "Some")
      }).pipe(Effect.scoped)
    )

    it.live(
      "that stays away fails as unreachable, and can be retried",
      () =>
        Effect.gen(function* () {
          const { region, setDown } = yield* proxied
          const target = yield* freshTarget()
          yield* Effect.gen(function* () {
            const applier = yield* ClusterApplier
            yield* setDown(true)
            const error = yield* Effect.flip(applier.claim(target))
            assert.strictEqual(error.reason._tag, "ClusterUnreachable")
            assert.isTrue(error.retryable)
            yield* setDown(false)
            yield* applier.claim(target)
          }).pipe(Effect.provide(K3sCluster.layer(region)))
        }).pipe(Effect.scoped),
      60_000
    )

    it.live("is a wrong configuration when there is none", () =>
      Effect.gen(function* () {
        for (const [kubeconfig, text] of [
          ["/nonexistent/kubeconfig", "cannot be read"],
          ["/etc/passwd", "no kubeconfig"]
        ] as const) {
          const error = yield* Effect.flip(KubeConfig.load({ kubeconfig }))
          assert.strictEqual(error._tag, "ClusterConfigInvalid")
          assert.include(error.message, kubeconfig)
          assert.isAbove(error.message.length, text.length)
        }
      })
    )
  }
)
