/** Against a whole region: real pods under gVisor, real kubelet, real ingress. */
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { HealthCheck } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import { Projects } from "@mcpdeploy/core/Projects"
import { Workloads } from "@mcpdeploy/core/Workloads"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { copyImage } from "./support/CopyImage.ts"
import { workloadOf } from "./support/Sample.ts"
import { clusterLayer, freshTarget, ingress, kubeconfig, registry, titled } from "./support/TestCluster.ts"

const isReady = kubeconfig !== undefined && ingress !== undefined && registry !== undefined
const needs = "MCPDEPLOY_TEST_KUBECONFIG, MCPDEPLOY_TEST_INGRESS, MCPDEPLOY_TEST_REGISTRY"

const shell = (script: string) => ["sh", "-c", script] as const
const serve = (page: string) =>
  shell(`mkdir /w; ${page} > /w/index.html; echo up; exec busybox httpd -f -p 8080 -h /w`)

const seed = (target: ServiceTarget) =>
  copyImage(registry ?? "", "library/busybox", `${target.namespace}/${target.service}`)

describe.skipIf(!isReady)(titled("a rollout in a region", isReady, needs), () => {
  layer(clusterLayer, { excludeTestServices: true })("with a cluster", (it) => {
    it.effect("runs the image, with its environment verbatim, and answers through the ingress", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const workloads = yield* Workloads
        const target = yield* freshTarget()
        const digest = yield* seed(target)
        const hostile = "a $(PORT) $$ ${X} 'q' \"\\ {{x}}: - #\nline"
        const workload = workloadOf(target, 1, {
          digest,
          run: {
            command: serve('printf "%s|%s" "$PLAIN" "$SECRET"'),
            env: { PLAIN: hostile },
            memory: "64Mi"
          },
          secrets: { SECRET: hostile }
        })
        const applied = yield* applier.apply(workload)
        const pods = yield* applier.awaitRollout(workload, applied)
        assert.deepStrictEqual(
          pods.map((pod) => pod.digest),
          [digest]
        )
        const probe = yield* applier.probe(workload)
        assert.strictEqual(probe?.status, 200)
        const { host } = new URL(probe?.url ?? "")
        const page = yield* Effect.promise(() =>
          import("undici").then(({ request }) =>
            request(ingress ?? "", { headers: { host } }).then(({ body }) => body.text())
          )
        )
        assert.strictEqual(page, `${hostile}|${hostile}`)
        const status = yield* workloads.status(target)
        assert.strictEqual(status.readyReplicas, 1)
        assert.strictEqual(status.pods[0]?.digest, digest)
        // The same template again is ready at once.
        const next = { ...workload, generation: workloadOf(target, 2).generation }
        assert.deepStrictEqual(yield* applier.awaitRollout(next, yield* applier.apply(next)), pods)
      })
    )

    it.effect("answers all the time while a new revision takes over, and logs go on across it", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const workloads = yield* Workloads
        const target = yield* freshTarget()
        const digest = yield* seed(target)
        const version = (number: number) =>
          workloadOf(target, number, {
            digest,
            run: {
              command: shell(
                `mkdir /w; echo version ${number} > /w/index.html; echo started ${number}; exec busybox httpd -f -p 8080 -h /w`
              ),
              memory: "64Mi"
            }
          })
        yield* applier.awaitRollout(version(1), yield* applier.apply(version(1)))
        const probe = yield* applier.probe(version(1))
        const { host } = new URL(probe?.url ?? "")
        const { request } = yield* Effect.promise(() => import("undici"))
        const answers: Array<number> = []
        const load = yield* Effect.promise(async () => {
          const { body, statusCode } = await request(ingress ?? "", { headers: { host } })
          await body.dump()
          answers.push(statusCode)
        }).pipe(Effect.andThen(Effect.sleep("10 millis")), Effect.forever, Effect.forkScoped)
        const seen: Array<string> = []
        yield* workloads.logs(target, { follow: true, tail: 10 }).pipe(
          Stream.runForEach(({ line }) => Effect.sync(() => seen.push(line))),
          Effect.forkScoped
        )
        yield* applier.awaitRollout(version(2), yield* applier.apply(version(2)))
        yield* Effect.sleep("8 seconds")
        yield* Fiber.interrupt(load)
        assert.isAbove(answers.length, 100)
        assert.deepStrictEqual([...new Set(answers)], [200])
        assert.deepStrictEqual(seen, ["started 1", "started 2"])
      })
    )

    const fails = (
      title: string,
      run: Parameters<typeof workloadOf>[2] & {},
      expected: string,
      text: string,
      withinSeconds: number
    ) =>
      it.effect(title, () =>
        Effect.gen(function* () {
          const applier = yield* ClusterApplier
          const target = yield* freshTarget()
          const digest = yield* seed(target)
          const workload = workloadOf(target, 1, { digest, ...run })
          const applied = yield* applier.apply(workload)
          const started = Date.now()
          const error = yield* Effect.flip(applier.awaitRollout(workload, applied))
          assert.strictEqual(error.reason._tag, expected, error.message)
          assert.include(error.message, text)
          assert.isBelow(Date.now() - started, withinSeconds * 1000)
        })
      )

    fails(
      "names the exit code and the last lines of an app that crashes",
      { run: { command: shell("echo hello; echo bad config >&2; exit 3") } },
      "AppCrashed",
      "bad config",
      60
    )
    fails(
      "says that the image is not there",
      { digest: ImageDigest.make(`sha256:${"ab".repeat(32)}`) },
      "ImagePullFailed",
      "not found",
      30
    )
    fails(
      "says that the command is not there",
      { run: { command: ["/nope"] } },
      "ContainerNotStarted",
      "/nope",
      60
    )
    fails(
      "says that the memory was too little",
      { run: { command: shell("echo eating; exec tail /dev/zero"), memory: "64Mi" } },
      "OutOfMemory",
      "64Mi",
      // Its sandbox is made anew in between.
      120
    )
    fails(
      "says on which port the app listens instead",
      {
        run: {
          command: shell("echo listening on port 3000; mkdir /w; exec busybox httpd -f -p 3000 -h /w"),
          rolloutSeconds: 15
        }
      },
      "AppNotReady",
      "set run.port to 3000",
      40
    )
    fails(
      "says that the health check fails",
      {
        run: {
          command: serve("echo hi"),
          healthCheck: new HealthCheck({ path: "/nope" }),
          rolloutSeconds: 15
        }
      },
      "AppNotReady",
      "404",
      40
    )
    fails(
      "says that the quota is too small",
      { run: { command: serve("echo hi"), memory: "16Gi", replicas: 3 } },
      "QuotaExceeded",
      "32Gi",
      30
    )

    it.effect("ends when a newer deploy takes over", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const target = yield* freshTarget()
        const digest = yield* seed(target)
        const stuck = workloadOf(target, 1, { digest, run: { command: shell("sleep 1000") } })
        const applied = yield* applier.apply(stuck)
        const waiting = yield* Effect.forkChild(Effect.flip(applier.awaitRollout(stuck, applied)))
        yield* Effect.sleep("1 second")
        yield* applier.apply(workloadOf(target, 2, { digest, run: { replicas: 0 } }))
        const error = yield* Fiber.join(waiting)
        assert.strictEqual(error.reason._tag, "SupersededByNewer")
      })
    )

    it.effect("deletes a running service and waits until its pods are gone", () =>
      Effect.gen(function* () {
        const applier = yield* ClusterApplier
        const projects = yield* Projects
        const workloads = yield* Workloads
        const target = yield* freshTarget()
        const digest = yield* seed(target)
        const workload = workloadOf(target, 1, { digest, run: { command: serve("echo hi") } })
        yield* applier.awaitRollout(workload, yield* applier.apply(workload))
        yield* applier.delete(target)
        const lines = yield* Stream.runCollect(workloads.logs(target, { follow: false, tail: 10 }))
        assert.lengthOf(lines, 0)
        yield* projects.delete(target.owner)
        yield* projects.delete(target.owner)
      })
    )
  })
})
