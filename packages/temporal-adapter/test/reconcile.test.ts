import { assert, describe, it } from "@effect/vitest"
import { DeployRequest, Generation, TriggerSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { CommitSha, GitRef, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { GitSource, GitSourceError, HostUnreachable } from "@mcpdeploy/core/GitSource"
import { previewRequest } from "@mcpdeploy/core/pipeline/Preview"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import { decide } from "../src/reconcile/Decide.ts"
import { PushQueue } from "../src/reconcile/PushQueue.ts"
import { Reconciler } from "@mcpdeploy/temporal-adapter/reconcile/Reconciler"
import type { Push, PushRecord, Verdict } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"

const changed = { message: "change", paths: ["web/index.html"] }

const sha = (digit: string) => CommitSha.make(digit.repeat(40))
const [a, b] = [sha("a"), sha("b")]
const digest = `sha256:${"0".repeat(64)}`

const requestAt = (generation: number, service = "web", url = "https://git.example/o/app") =>
  Schema.decodeSync(DeployRequest)({
    owner: { user: "ann", project: "shop" },
    service,
    source: { repository: { url }, ref: "main" },
    build: {},
    run: { port: 8080 },
    generation
  })

const receiptOf = (commit: CommitSha, generation: number, rollback = false) =>
  Schema.decodeSync(Receipt)({
    commit,
    image: { registry: "registry.internal:5000", namespace: "dp-ann-shop", service: "web", commit },
    digest,
    buildKey: "key",
    generation,
    source: { repository: { url: "https://git.example/o/app" }, ref: "main" },
    build: {},
    run: { port: 8080 },
    pods: [],
    steps: [],
    ...(rollback ? { rollback } : {}),
    deployedAt: "1970-01-01T00:00:00.000Z"
  })

const recordOf = (commit: CommitSha, generation: number, verdict: Verdict): PushRecord => ({
  generation,
  deliveryIds: [String(generation)],
  commit,
  origin: "github",
  receivedAt: new Date(generation).toISOString(),
  verdict
})
const failed = (retryable: boolean): Verdict => ({
  _tag: "Failed",
  failure: { error: { _tag: "X" }, message: "x", retryable }
})
const superseded: Verdict = { _tag: "Superseded", by: 9 }

describe("what is submitted", () => {
  const known = {
    head: b,
    askedAt: 1000,
    request: requestAt(1),
    isUnderWay: false,
    receipts: [receiptOf(a, 1)],
    records: []
  }
  const cases = {
    "a commit that no one has seen": [known, true],
    "the deployed commit": [{ ...known, head: a }, false],
    "a commit that waits": [{ ...known, records: [recordOf(b, 2, { _tag: "Waiting" })] }, false],
    "a commit that failed for good": [{ ...known, records: [recordOf(b, 2, failed(false))] }, false],
    "a commit that failed by chance": [{ ...known, records: [recordOf(b, 2, failed(true))] }, true],
    "a commit that has failed by chance for a day": [
      { ...known, askedAt: 86_400_000, records: [recordOf(b, 2, failed(true))] },
      false
    ],
    "a commit that was filtered": [
      { ...known, records: [recordOf(b, 2, { _tag: "Filtered", rule: "paths", detail: "" })] },
      false
    ],
    "a commit that was rolled back from": [
      {
        ...known,
        receipts: [receiptOf(a, 3, true), receiptOf(b, 2), receiptOf(a, 1)],
        records: [recordOf(b, 2, { _tag: "Superseded", by: 3 })]
      },
      false
    ],
    "an old commit to which the branch was set back": [
      { ...known, head: a, records: [recordOf(a, 1, superseded), recordOf(b, 2, failed(false))] },
      true
    ],
    "an answer that is older than the newest push": [
      { ...known, head: a, records: [recordOf(b, 1001, { _tag: "Running" })] },
      false
    ],
    "an answer that is older than the newest request": [{ ...known, request: requestAt(1001) }, false],
    "the head of a service whose deploy by the command line goes on": [
      { ...known, request: requestAt(5), isUnderWay: true },
      false
    ],
    "the head of a service whose first deploy by the command line goes on": [
      { ...known, request: requestAt(5), isUnderWay: true, receipts: [] },
      false
    ],
    "the head of a service whose deploy by the command line has failed": [
      { ...known, request: requestAt(5) },
      true
    ],
    "a newer head than the push that is tried again": [
      { ...known, request: requestAt(2), isUnderWay: true, records: [recordOf(a, 2, failed(true))] },
      true
    ]
  } as const
  for (const [name, [input, expected]] of Object.entries(cases)) {
    it(`${expected ? "submits" : "leaves"} ${name}`, () => {
      assert.strictEqual(decide(input)._tag, expected ? "Submit" : "UpToDate")
    })
  }
})

describe("Reconciler", () => {
  /** Hosts that answer 429, the questions asked, and the pushes submitted. */
  const setup = (
    requests: ReadonlyArray<DeployRequest>,
    {
      branches = ["refs/heads/main"],
      busy = new Set(),
      changes = Effect.succeed(changed),
      underWay = [],
      users
    }: {
      readonly branches?: ReadonlyArray<string>
      readonly busy?: ReadonlySet<string>
      readonly changes?: ReturnType<GitSource["Service"]["changes"]>
      readonly underWay?: ReadonlyArray<DeployRequest>
      readonly users?: ReadonlySet<string>
    } = {}
  ) => {
    const asked: Array<string> = []
    const pushes: Array<Push> = []
    const removed: Array<string> = []
    const services = Layer.mergeAll(
      Layer.mock(ServiceCatalog, { all: Effect.succeed(requests), underWay: () => Effect.succeed(underWay) }),
      Layer.mock(Receipts, { history: () => Effect.succeed([receiptOf(a, 1)]) }),
      Layer.mock(GitSource, {
        changes: () => changes,
        branches: ({ url }) => {
          asked.push(url)
          return busy.has(new URL(url).host)
            ? Effect.fail(
                new GitSourceError({
                  operation: "resolve",
                  url: RepositoryUrl.make(url),
                  reason: new HostUnreachable({ detail: "returned error: 429" })
                })
              )
            : Effect.succeed(new Map(branches.map((branch) => [branch, b])))
        }
      }),
      Layer.mock(PushQueue, {
        records: () => Effect.succeed([]),
        submit: (_target, push) => Effect.sync(() => void pushes.push(push)),
        remove: ({ key }) => Effect.sync(() => void removed.push(key))
      })
    )
    return {
      asked,
      pushes,
      removed,
      layer: Reconciler.layer(users === undefined ? {} : { users }).pipe(Layer.provide(services))
    }
  }
  const round = Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Reconciler.use(({ reconcile }) => reconcile))
    yield* TestClock.adjust("10 seconds")
    return yield* Fiber.join(fiber)
  })

  it.effect("asks once for all services of a repository, and submits at the time of the question", () =>
    Effect.gen(function* () {
      const { asked, layer, pushes } = setup([
        requestAt(1, "web"),
        requestAt(1, "api", "https://git.example/o/App.git"),
        requestAt(1, "other", "https://git.example/o/other")
      ])
      yield* TestClock.adjust("5 seconds")
      const report = yield* round.pipe(Effect.provide(layer))
      assert.strictEqual(asked.length, 2)
      assert.deepStrictEqual(
        { ...report, submitted: report.submitted.toSorted() },
        {
          services: 3,
          repositories: 2,
          submitted: ["ann/shop/api", "ann/shop/other", "ann/shop/web"],
          filtered: [],
          removed: [],
          failures: [],
          resting: []
        }
      )
      // Two repositories of one host: the second is asked 200 ms later.
      assert.deepStrictEqual(
        pushes.map(({ generation }) => generation),
        [5000, 5000, 5200]
      )
      assert.isTrue(pushes.every(({ commit, origin }) => commit === b && origin === "reconcile"))
    })
  )

  it.effect("does not overtake a deploy that the command line has begun", () =>
    Effect.gen(function* () {
      const begun = requestAt(2, "web")
      yield* TestClock.adjust("5 seconds")
      for (const [underWay, submitted] of [
        [[begun], []],
        [[requestAt(2, "other")], ["ann/shop/web"]],
        [[], ["ann/shop/web"]]
      ] as const)
        assert.deepStrictEqual(
          (yield* round.pipe(Effect.provide(setup([begun], { underWay }).layer))).submitted,
          submitted
        )
    })
  )

  it.effect("compares only the services of the users that it is told to", () =>
    Effect.gen(function* () {
      const requests = [requestAt(1, "web")]
      yield* TestClock.adjust("5 seconds")
      for (const [users, services] of [
        [new Set(["ann"]), 1],
        [new Set(["bob"]), 0]
      ] as const)
        assert.strictEqual(
          (yield* round.pipe(Effect.provide(setup(requests, { users }).layer))).services,
          services
        )
    })
  )

  it.effect("previews are removed when their branch is gone or their time is over, and services never", () =>
    Effect.gen(function* () {
      const preview = (name: string, branch: string, expiresAt?: number) =>
        previewRequest(requestAt(1, name), GitRef.make(branch), {
          generation: Generation.make(1),
          ...(expiresAt === undefined ? {} : { expiresAt })
        })
      const kept = preview("kept", "main", 1_000_000)
      const gone = preview("gone", "feature/x")
      const over = preview("over", "main", 4999)
      const orphan = new DeployRequest({
        ...requestAt(1, "orphan"),
        source: { ...requestAt(1).source, ref: GitRef.make("feature/x") }
      })
      const requests = [kept, gone, over, orphan]
      yield* TestClock.adjust("5 seconds")
      const world = setup(requests)
      const report = yield* round.pipe(Effect.provide(world.layer))
      assert.deepStrictEqual(world.removed.toSorted(), [gone.target.key, over.target.key])
      assert.deepStrictEqual(report.removed.toSorted(), [gone.target.key, over.target.key])
      assert.deepStrictEqual(report.failures, [])
      const emptied = setup(requests, { branches: [] })
      yield* round.pipe(Effect.provide(emptied.layer))
      assert.deepStrictEqual(emptied.removed, [over.target.key], "an empty repository removes nothing")
      const unreachable = setup(requests, { busy: new Set(["git.example"]) })
      yield* round.pipe(Effect.provide(unreachable.layer))
      assert.deepStrictEqual(unreachable.removed, [over.target.key], "nor one that cannot be asked")
    })
  )

  it.effect("a lost push deploys nothing where one that came would not", () =>
    Effect.gen(function* () {
      const ofPaths = new DeployRequest({
        ...requestAt(1),
        trigger: new TriggerSpec({ paths: ["docs/"] })
      })
      const unknown = new GitSourceError({
        operation: "compare",
        url: RepositoryUrl.make("https://git.example/o/app"),
        reason: new HostUnreachable({ detail: "no" })
      })
      yield* TestClock.adjust("5 seconds")
      for (const [request, changes, expected] of [
        [requestAt(1), Effect.succeed(changed), "Deploy"],
        [requestAt(1), Effect.succeed({ ...changed, message: "typo [skip ci]" }), "Filtered"],
        [ofPaths, Effect.succeed(changed), "Filtered"],
        [ofPaths, Effect.succeed({ ...changed, paths: ["docs/a.md"] }), "Deploy"],
        [ofPaths, Effect.fail(unknown), "Deploy"]
      ] as const) {
        const { layer, pushes } = setup([request], { changes })
        const report = yield* round.pipe(Effect.provide(layer))
        assert.deepStrictEqual(
          pushes.map(({ action }) => action._tag),
          [expected]
        )
        assert.lengthOf(report.filtered, expected === "Filtered" ? 1 : 0)
      }
    })
  )

  it.effect("a host that answers 429 is left alone, longer each time, and stops no other", () =>
    Effect.gen(function* () {
      const { asked, layer } = setup(
        [
          requestAt(1, "one", "https://busy.example/o/1"),
          requestAt(1, "two", "https://busy.example/o/2"),
          requestAt(1, "three", "https://git.example/o/3")
        ],
        { busy: new Set(["busy.example"]) }
      )
      const questions = () => asked.filter((url) => url.includes("busy")).length
      yield* Effect.gen(function* () {
        yield* TestClock.adjust("5 seconds")
        const first = yield* round
        assert.deepStrictEqual(first.submitted, ["ann/shop/three"])
        assert.deepStrictEqual(first.resting, ["busy.example"])
        assert.strictEqual(questions(), 1)
        yield* round
        assert.strictEqual(questions(), 1)
        yield* TestClock.adjust("60 seconds")
        yield* round
        assert.strictEqual(questions(), 2)
        yield* TestClock.adjust("60 seconds")
        yield* round
        assert.strictEqual(questions(), 2)
      }).pipe(Effect.provide(layer))
    })
  )
})
