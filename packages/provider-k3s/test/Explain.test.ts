/** What can happen to a crashed app's log between the look at its pod and the look at the log. */
import { assert, describe, it } from "@effect/vitest"
import { ClusterUnreachable, ObjectInvalid } from "@mcpdeploy/core/ClusterApplier"
import { AppCrashed } from "@mcpdeploy/core/domain/RolloutCause"
import type { ApiFailure } from "../src/kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../src/kubernetes/KubernetesApi.ts"
import { explain } from "../src/workload/Explain.ts"
import type { Terminated } from "../src/workload/PodState.ts"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { targetOf } from "./support/Sample.ts"

type Log = ReadonlyArray<string> | ApiFailure | "hangs"

const unused = () => Effect.die("not asked here")

/** An API server that has only these two logs. */
const apiWith = (logs: { readonly current: Log; readonly previous: Log }): KubernetesApi => ({
  get: unused,
  list: unused,
  create: unused,
  validate: unused,
  apply: unused,
  replace: unused,
  patch: unused,
  merge: unused,
  delete: unused,
  stream: (_ref, _subresource, { previous }) => {
    const log = previous === "true" ? logs.previous : logs.current
    if (log === "hangs") return Stream.never
    return "_tag" in log
      ? Stream.fail(log)
      : Stream.make(new TextEncoder().encode(log.map((line) => `${line}\n`).join("")))
  }
})

const target = targetOf("ann", "shop", "web")
const end: Terminated = {
  exitCode: 0,
  reason: "Completed",
  startedAt: "2026-01-01T10:00:10Z",
  finishedAt: "2026-01-01T10:00:11Z"
}
const failed: Terminated = { ...end, exitCode: 3, reason: "Error" }
const itsLog = ["2026-01-01T10:00:10.1Z hello", "2026-01-01T10:00:11.25Z no database"]
const nextLog = ["2026-01-01T10:00:31.5Z hello"]
const gone = ["unable to retrieve container logs for containerd://0123"]
const noPrevious = new ObjectInvalid({
  object: "Pod x",
  detail: 'previous terminated container "app" in pod "x" not found',
  causes: []
})

const linesFrom = (logs: { readonly current: Log; readonly previous: Log }, run: Terminated | "running") =>
  Effect.gen(function* () {
    const cause = new AppCrashed({ pod: "x", exitCode: 3, restarts: 2, lines: [] })
    const fiber = yield* Effect.forkChild(explain(apiWith(logs), target, { cause, run, isCertain: true }))
    yield* TestClock.adjust("30 seconds")
    const explained = yield* Fiber.join(fiber)
    assert(explained._tag === "AppCrashed")
    return explained.lines
  })

describe("the last lines of an app that has ended", () => {
  const cases = {
    "are its own while it is the present run": [{ current: itsLog, previous: noPrevious }, end],
    "are its own when the next run has begun meanwhile": [{ current: nextLog, previous: itsLog }, end],
    "are its own when kubelet has taken away the run before": [{ current: itsLog, previous: gone }, end],
    "stand in its end when both logs are gone": [
      { current: gone, previous: gone },
      { ...failed, message: "hello\nno database\n" }
    ],
    "stand in its end when nothing answers": [
      { current: "hangs", previous: "hangs" },
      { ...failed, message: "hello\nno database\n" }
    ]
  } satisfies Record<string, readonly [{ readonly current: Log; readonly previous: Log }, Terminated]>
  for (const [name, [logs, run]] of Object.entries(cases))
    it.effect(name, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* linesFrom(logs, run), ["hello", "no database"])
      })
    )

  it.effect("are those of its log where its end holds only a part of them", () =>
    Effect.gen(function* () {
      const long = { ...failed, message: "x".repeat(2048) }
      assert.deepStrictEqual(yield* linesFrom({ current: nextLog, previous: itsLog }, long), [
        "hello",
        "no database"
      ])
      assert.deepStrictEqual(yield* linesFrom({ current: gone, previous: gone }, long), [long.message])
    })
  )

  it.effect("are said to be unreadable, not to be none, when they cannot be had", () =>
    Effect.gen(function* () {
      const unreachable = new ClusterUnreachable({ detail: "down" })
      for (const log of [gone, unreachable, "hangs"] as const)
        for (const run of [end, failed, "running"] as const) {
          const lines = yield* linesFrom({ current: log, previous: log }, run)
          assert.lengthOf(lines, 1)
          assert.include(lines[0], "its log cannot be read")
        }
    })
  )

  it.effect("are none when it wrote nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* linesFrom({ current: [], previous: noPrevious }, end), [])
      assert.deepStrictEqual(yield* linesFrom({ current: nextLog, previous: [] }, end), [])
    })
  )

  it.effect("keep what a progress bar writes", () =>
    Effect.gen(function* () {
      const bar = ["2026-01-01T10:00:10.1Z 10%\r20%", "2026-01-01T10:00:11Z done"]
      assert.deepStrictEqual(yield* linesFrom({ current: bar, previous: noPrevious }, end), [
        "10%",
        "20%",
        "done"
      ])
    })
  )
})
