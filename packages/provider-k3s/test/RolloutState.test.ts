import { assert, describe, it } from "@effect/vitest"
import { ImageDigest } from "@mcpdeploy/core/domain/Image"
import type { Pod, Terminated } from "../src/workload/PodState.ts"
import { digestOf, troubleOf } from "../src/workload/PodState.ts"
import { type Deployment, judge, otherPort, type RolloutState } from "../src/workload/RolloutState.ts"
import { remember } from "../src/workload/Seen.ts"

const revision = "r2"
const digest = ImageDigest.make(`sha256:${"a".repeat(64)}`)
type Container = NonNullable<Pod["status"]["containerStatuses"]>[number]

const pod = (
  container: Partial<Container>,
  more: Partial<Pod["status"]> = {},
  ofRevision = revision
): Pod => ({
  metadata: {
    name: `pod-${ofRevision}`,
    namespace: "dp-u-p",
    uid: `uid-${ofRevision}`,
    labels: { "mcpdeploy.dev/revision": ofRevision }
  },
  spec: {
    nodeName: "node",
    containers: [{ image: "registry.internal:5000/x@sha256:1", resources: { limits: { memory: "64Mi" } } }]
  },
  status: {
    conditions: [{ type: "Ready", status: container.ready === true ? "True" : "False" }],
    containerStatuses: [{ ready: false, restartCount: 0, imageID: `registry/x@${digest}`, ...container }],
    ...more
  }
})

const deployment = (status: Deployment["status"] = {}, template = revision): Deployment => ({
  metadata: { name: "web", generation: 2 },
  spec: {
    replicas: 1,
    template: {
      metadata: { labels: { "mcpdeploy.dev/revision": template } },
      spec: { containers: [{ image: "x" }] }
    }
  },
  status: { observedGeneration: 2, updatedReplicas: 1, ...status }
})

const state = (over: Partial<RolloutState>): RolloutState => ({
  deployments: [deployment()],
  pods: [],
  events: [],
  seen: new Map(),
  ...over
})
const verdict = (over: Partial<RolloutState>) => judge(state(over), { revision, port: 8080 })
const causeOf = (over: Partial<RolloutState>) => {
  const found = verdict(over)
  return found._tag === "Pending" ? found.trouble : undefined
}

describe("a rollout", () => {
  it("is ready when exactly the applied revision is, with the digests that run", () => {
    assert.deepStrictEqual(verdict({ pods: [pod({ ready: true })] }), {
      _tag: "Ready",
      pods: [{ name: "pod-r2", node: "node", digest }]
    })
  })

  it("is not ready while the controller has not seen it, an old pod stays, or only old pods are ready", () => {
    const ready = [pod({ ready: true })]
    assert.strictEqual(
      verdict({ pods: ready, deployments: [deployment({ observedGeneration: 1 })] })._tag,
      "Pending"
    )
    const old = pod({ ready: true }, {}, "r1")
    assert.strictEqual(verdict({ pods: [...ready, old] })._tag, "Pending")
    assert.strictEqual(verdict({ pods: [...ready, ...ready] })._tag, "Pending", "one too many")
    assert.strictEqual(verdict({ pods: [pod({ ready: true }, {}, "r1")] })._tag, "Pending")
    assert.strictEqual(verdict({ pods: [pod({ ready: true, imageID: "" })] })._tag, "Pending")
  })

  it("is ready as soon as all old pods are ending or have ended", () => {
    const old = pod({ ready: true }, {}, "r1")
    const ending = { ...old, metadata: { ...old.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }
    const evicted = pod({}, { phase: "Failed" }, "r1")
    assert.strictEqual(verdict({ pods: [pod({ ready: true }), ending, evicted] })._tag, "Ready")
  })

  it("is over when the Deployment is gone, or is another deploy's", () => {
    assert.strictEqual(verdict({ deployments: [] })._tag, "Deleted")
    assert.strictEqual(verdict({ deployments: [deployment({}, "r3")] })._tag, "Replaced")
  })

  /** A pod whose container was started `restartCount + 1` times and is down again. */
  const down = (restartCount: number, terminated: Terminated) =>
    pod({
      restartCount,
      state: { waiting: { reason: "CrashLoopBackOff" } },
      lastState: { terminated }
    })
  const ended = (message: string, exitCode = 3, containerID = message): Terminated => ({
    exitCode,
    reason: "Error",
    message,
    containerID
  })
  /** The trouble after these ends, one after the other. */
  const after = (...ends: ReadonlyArray<Terminated>) => {
    let seen: RolloutState["seen"] = new Map()
    let last = pod({})
    for (const [index, end] of ends.entries()) {
      last = down(index, end)
      seen = remember(seen, [last])
    }
    return causeOf({ pods: [last], seen })
  }

  it("does not give up at the first crash, but at the third end, with the lines that stand in it", () => {
    const waits = ended("connect ECONNREFUSED 10.0.0.1:5432")
    const crashed = (restartCount: number) => causeOf({ pods: [down(restartCount, waits)] })
    assert.isFalse(crashed(1)?.isCertain)
    assert.isTrue(crashed(2)?.isCertain)
    assert.strictEqual(crashed(2)?.cause._tag, "AppCrashed")
    assert.include(crashed(2)?.cause.message, "ECONNREFUSED")
  })

  it("does not give up while the third run goes on: it may be the one that succeeds", () => {
    const lastState = { terminated: ended("x") }
    const running = causeOf({ pods: [pod({ restartCount: 2, state: { running: {} }, lastState })] })
    assert.strictEqual(running?.cause._tag, "AppCrashed")
    assert.isFalse(running?.isCertain)
  })

  it("gives up at the second crash that is like the first, but not for an app that says it waits", () => {
    const cases: ReadonlyArray<readonly [string, Terminated, Terminated, boolean]> = [
      [
        "the same words",
        ended("Error: GREETING is not set\n at 1", 1),
        ended("Error: GREETING is not set\n at 1", 1, "b"),
        true
      ],
      [
        "the same words at another time",
        ended("2026-01-01T10:00:00Z [17] bad config"),
        ended("2026-01-01T10:00:02Z [23] bad config"),
        true
      ],
      ["success, twice", ended("", 0, "a"), ended("", 0, "b"), true],
      ["another exit code", ended("bad config", 1), ended("bad config", 2, "b"), false],
      ["other words", ended("step one failed"), ended("step two failed"), false],
      ["no words", ended("", 1, "a"), ended("", 1, "b"), false],
      [
        "a database that is not there",
        ended("connect ECONNREFUSED 10.0.0.1:5432"),
        ended("connect ECONNREFUSED 10.0.0.1:5432", 3, "b"),
        false
      ],
      [
        "a name that is not known",
        ended("getaddrinfo ENOTFOUND db"),
        ended("getaddrinfo ENOTFOUND db", 3, "b"),
        false
      ],
      [
        "a server that starts",
        ended("FATAL: the database system is starting up"),
        ended("FATAL: the database system is starting up", 3, "b"),
        false
      ]
    ]
    for (const [name, one, other, isCertain] of cases)
      assert.strictEqual(after(one, other)?.isCertain, isCertain, name)
    const [one, other] = [ended("bad config", 1, "a"), ended("bad config", 1, "b")]
    assert.isFalse(after(one)?.isCertain, "the first")
    // The same end, seen twice, is one.
    assert.isFalse(after(one, one)?.isCertain)
    // kubelet shows both ends at once before it shows that it waits.
    const both = pod({ restartCount: 1, state: { terminated: other }, lastState: { terminated: one } })
    assert.isTrue(causeOf({ pods: [both], seen: remember(new Map(), [both]) })?.isCertain)
  })

  it("has no trouble with a pod that is taken away, and tells that the cluster ended one", () => {
    const killed = pod({ state: { terminated: { exitCode: 143, reason: "Error" } } })
    const ending = { ...killed, metadata: { ...killed.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }
    assert.isUndefined(troubleOf(ending))
    const evicted = troubleOf(pod({}, { phase: "Failed", reason: "Evicted", message: "low on memory" }))
    assert.strictEqual(evicted?.cause._tag, "PodEvicted")
    assert.include(evicted?.cause.message, "Evicted: low on memory")
    assert.isFalse(evicted?.isCertain)
  })

  it("says which signal ended an app, and that it is sent one from outside", () => {
    const message = (exitCode: number) => causeOf({ pods: [down(0, ended("", exitCode))] })?.cause.message
    assert.include(message(143), "ended by SIGTERM")
    assert.include(message(139), "crashes by SIGSEGV")
    assert.include(message(1), "crashes with exit code 1")
    assert.include(message(255), "crashes with exit code 255")
  })

  it("gives up at once for an image that is not there, and not for a hiccup of the registry", () => {
    const pull = (message: string, attempts = 1) =>
      causeOf({
        pods: [pod({ state: { waiting: { reason: "ErrImagePull", message } } })],
        seen: new Map([["uid-r2", { failedPulls: attempts, isPullFailing: true, ends: [] }]])
      })
    assert.isTrue(pull("rpc error: code = NotFound desc = failed to resolve: not found")?.isCertain)
    assert.isTrue(pull("pull access denied")?.isCertain)
    assert.isFalse(pull("read tcp: connection reset by peer")?.isCertain)
    assert.isFalse(pull("502 Bad Gateway", 2)?.isCertain)
    assert.isTrue(pull("502 Bad Gateway", 3)?.isCertain)
  })

  it("names the memory limit that was too low", () => {
    const trouble = causeOf({
      pods: [
        pod({
          restartCount: 1,
          state: { waiting: { reason: "CrashLoopBackOff" } },
          lastState: { terminated: { exitCode: 137, reason: "OOMKilled" } }
        })
      ]
    })
    assert.strictEqual(trouble?.cause._tag, "OutOfMemory")
    assert.include(trouble?.cause.message, "64Mi")
  })

  it("takes a sandbox that is gone for what took it away, and never for a verdict", () => {
    const gone: Terminated = {
      exitCode: 128,
      reason: "StartError",
      message: "sandbox container 0123 is not running",
      containerID: "b"
    }
    assert.isFalse(causeOf({ pods: [down(3, gone)] })?.isCertain)
    const killed: Terminated = { exitCode: 137, reason: "OOMKilled", containerID: "a" }
    const trouble = after(killed, gone)
    assert.strictEqual(trouble?.cause._tag, "OutOfMemory")
    assert.isTrue(trouble?.isCertain)
  })

  it("tells a quota from another refusal", () => {
    const refused = (message: string) =>
      causeOf({
        deployments: [
          deployment({
            updatedReplicas: 0,
            conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message }]
          })
        ]
      })?.cause._tag
    assert.strictEqual(refused('pods "x" is forbidden: exceeded quota: workload'), "QuotaExceeded")
    assert.strictEqual(refused("maximum memory usage per Container is 16Gi"), "PodsRefused")
  })

  it("tells the scheduler's reason, and is certain only after a while", () => {
    const trouble = causeOf({
      pods: [
        pod(
          {},
          {
            containerStatuses: [],
            conditions: [
              {
                type: "PodScheduled",
                status: "False",
                reason: "Unschedulable",
                message: "0/3 nodes: Insufficient memory"
              }
            ]
          }
        )
      ]
    })
    assert.strictEqual(trouble?.cause._tag, "Unschedulable")
    assert.isFalse(trouble?.isCertain)
    assert.strictEqual(trouble?.certainAfter, 30)
  })

  it("says that a probe fails, also when kubelet has killed the app for it", () => {
    const events = [
      {
        involvedObject: { name: "pod-r2" },
        reason: "Unhealthy",
        message: "Liveness probe failed: dial tcp 10.0.0.1:8080: connect: connection refused"
      }
    ]
    const running = causeOf({ events, pods: [pod({ state: { running: {} } })] })
    const killed = causeOf({
      events,
      pods: [
        pod({
          restartCount: 3,
          state: { waiting: { reason: "CrashLoopBackOff" } },
          lastState: { terminated: { exitCode: 137, reason: "Error" } }
        })
      ]
    })
    assert.include(killed?.cause.message, "the kubelet has ended it 3 times")
    for (const trouble of [running, killed]) {
      assert.strictEqual(trouble?.cause._tag, "AppNotReady")
      assert.include(trouble?.cause.message, "nothing listens on port 8080")
      assert.isFalse(trouble?.isCertain)
    }
  })

  it("says that a command is not in the image", () => {
    const trouble = troubleOf(
      pod({
        restartCount: 1,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: { terminated: { exitCode: 128, reason: "StartError", message: "no such file" } }
      })
    )
    assert.strictEqual(trouble?.cause._tag, "ContainerNotStarted")
    assert.isTrue(trouble?.isCertain)
  })
})

describe("a pod's digest", () => {
  it("is the one by which its image was pulled", () => {
    assert.strictEqual(digestOf(pod({})), digest)
    assert.isUndefined(digestOf(pod({ imageID: "docker://none" })))
    assert.isUndefined(digestOf(pod({ imageID: "" })))
  })
})

describe("the port in an app's output", () => {
  it("is found in the usual phrases, and is not told when it is the expected one", () => {
    assert.strictEqual(otherPort(["Server listening on port 3000"], 8080), 3000)
    assert.strictEqual(otherPort(["Listening on http://0.0.0.0:5000"], 8080), 5000)
    assert.strictEqual(otherPort(["Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C)"], 8080), 8000)
    assert.isUndefined(otherPort(["listening on :8080"], 8080))
    assert.isUndefined(otherPort(["hello 3000"], 8080))
  })
})
