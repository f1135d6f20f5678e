import { assert, describe, it } from "@effect/vitest"
import { ClusterForbidden } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { LiveObject } from "@mcpdeploy/provider-k3s/kubernetes/LiveObject"
import type { ObjectRef } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import type { Pod } from "../src/workload/PodState.ts"
import { hurry } from "../src/workload/ReadinessRequests.ts"

const podOf = (name: string, state: "waiting" | "running" | "ready" | "ending"): Pod => ({
  metadata: {
    name,
    namespace: "dp-u-p",
    uid: name,
    ...(state === "ending" ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {})
  },
  spec: { containers: [] },
  status: {
    conditions: [{ type: "Ready", status: state === "ready" ? "True" : "False" }],
    containerStatuses: [
      { ready: state === "ready", restartCount: 0, state: state === "waiting" ? {} : { running: {} } }
    ]
  }
})

const live: LiveObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", uid: "a", resourceVersion: "1" }
}

/** How often each pod is asked for within `seconds`. */
const asked = (pods: () => ReadonlyArray<Pod>, seconds: number, fails = false) =>
  Effect.gen(function* () {
    const counts: Record<string, number> = {}
    const merge = ({ name }: ObjectRef) =>
      Effect.suspend(() => {
        counts[name] = (counts[name] ?? 0) + 1
        return fails ? Effect.fail(new ClusterForbidden({ detail: "no" })) : Effect.succeed(live)
      })
    yield* Effect.forkScoped(hurry({ merge }, pods))
    yield* TestClock.adjust(`${seconds} seconds`)
    return counts
  }).pipe(Effect.scoped)

describe("while a rollout is awaited", () => {
  it.effect("only pods are asked that run and are not ready", () =>
    Effect.gen(function* () {
      const pods = [podOf("a", "waiting"), podOf("b", "running"), podOf("c", "ready"), podOf("d", "ending")]
      assert.deepStrictEqual(Object.keys(yield* asked(() => pods, 1)), ["b"])
    })
  )

  it.effect("a pod is asked at once, several times in the first second, and then once a second", () =>
    Effect.gen(function* () {
      const pods = () => [podOf("a", "running")]
      assert.strictEqual((yield* asked(pods, 0.1))["a"], 1)
      assert.isAtLeast((yield* asked(pods, 1))["a"] ?? 0, 4)
      assert.isAtMost((yield* asked(pods, 60))["a"] ?? 0, 70)
    })
  )

  it.effect("it goes on though a request is refused", () =>
    Effect.gen(function* () {
      assert.isAtLeast((yield* asked(() => [podOf("a", "running")], 1, true))["a"] ?? 0, 4)
    })
  )
})
