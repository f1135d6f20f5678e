/** Services that are deployed at the same time, and need each other at their start. */
import { assert, describe, it } from "@effect/vitest"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { type DeployEvent, DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { AppCrashed, QuotaExceeded } from "@mcpdeploy/core/domain/RolloutCause"
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { recordManifest } from "../src/apply/Record.ts"
import { manifestOf, textOf } from "../src/catalog/RequestObject.ts"
import { note } from "../src/catalog/UnderWay.ts"
import { type Failure, NotFound } from "../src/kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../src/kubernetes/KubernetesApi.ts"
import { type ObjectRef, nameOf } from "../src/kubernetes/Kind.ts"
import { LiveObject } from "../src/kubernetes/LiveObject.ts"
import type { Manifest } from "../src/manifests/Manifest.ts"
import { patiently } from "../src/workload/Siblings.ts"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { targetOf, workloadOf } from "./support/Sample.ts"

const unused = () => Effect.die("not used here")

/** A namespace's ConfigMaps, and what `ObjectRef`s of them answer. */
const memory = () => {
  const objects = new Map<string, LiveObject>()
  let version = 0
  const put = (manifest: Manifest) => {
    const live = Schema.decodeUnknownSync(LiveObject)({
      ...manifest,
      metadata: {
        ...manifest.metadata,
        uid: manifest.metadata.name,
        resourceVersion: String(version++),
        managedFields: [{ time: "1970-01-01T00:00:00Z" }]
      }
    })
    objects.set(manifest.metadata.name, live)
    return live
  }
  const api: KubernetesApi = {
    get: (ref: ObjectRef) => {
      const live = objects.get(ref.name)
      return live === undefined ? Effect.fail(new NotFound({ object: nameOf(ref) })) : Effect.succeed(live)
    },
    list: () =>
      Effect.sync(() => ({
        metadata: { resourceVersion: "0" },
        items: [...objects.values()].filter(({ metadata }) => metadata.name.endsWith(".request"))
      })),
    replace: (manifest) => Effect.sync(() => put(manifest)),
    create: unused,
    validate: unused,
    apply: unused,
    patch: unused,
    merge: unused,
    delete: unused,
    stream: () => Stream.die("not used here")
  }
  return { api, put }
}

const requestOf = (service: string) =>
  new DeployRequest({
    ...targetOf("ann", "shop", service),
    source: new SourceSpec({
      repository: new GitRepository({ url: RepositoryUrl.make("https://git.example.com/shop") }),
      ref: GitRef.make("main")
    }),
    build: new BuildSpec({}),
    run: new RunSpec({ port: 8080 }),
    generation: Generation.make(1)
  })

interface Service {
  /** What has to run for it to start; without it, it crashes. */
  readonly needs: ReadonlyArray<string>
  /** Seconds until it is applied. */
  readonly built: number
  /** Its build fails. */
  readonly isBroken?: boolean
}

/** Deploys all at once. Whether each runs in the end, when that was known, and what it said. */
const deployed = (services: Readonly<Record<string, Service>>) =>
  Effect.gen(function* () {
    const { api, put } = memory()
    const running = new Set<string>()
    const said: Array<string> = []
    const crash = new AppCrashed({ pod: "x", exitCode: 1, restarts: 1, lines: [] })
    for (const service of Object.keys(services)) {
      const request = requestOf(service)
      put(manifestOf(request, yield* textOf(request), undefined))
    }
    const deploy = Effect.fnUntraced(function* ([service, { built, isBroken, needs }]: readonly [
      string,
      Service
    ]) {
      const target = targetOf("ann", "shop", service)
      const workload = workloadOf(target, 1)
      const attempt: Effect.Effect<void, Failure> = Effect.sleep("3 seconds").pipe(
        Effect.andThen(
          Effect.suspend(() => (needs.every((name) => running.has(name)) ? Effect.void : Effect.fail(crash)))
        )
      )
      yield* Effect.sleep(`${built} seconds`)
      yield* (
        isBroken === true ? Effect.fail(crash) : patiently(api, workload, "deploy", attempt, Effect.void)
      ).pipe(
        Effect.andThen(Effect.sync(() => running.add(service))),
        Effect.andThen(DateTime.now),
        Effect.flatMap((now) =>
          recordManifest(target, {
            generation: workload.generation,
            commit: workload.image.commit,
            token: 1,
            isPublic: true,
            restoredFrom: undefined,
            receipts: [
              Schema.decodeSync(Receipt)({
                commit: workload.image.commit,
                image: Schema.encodeSync(Receipt.fields.image)(workload.image),
                digest: workload.digest,
                buildKey: "key",
                generation: 1,
                source: { repository: { url: "https://git.example.com/shop" }, ref: "main" },
                build: {},
                run: { port: 8080 },
                pods: [],
                steps: [],
                deployedAt: DateTime.formatIso(now)
              })
            ]
          })
        ),
        Effect.map(put),
        // As a deploy's steps do when they fail.
        Effect.catch(() => note(api, target, workload.generation, "failed"))
      )
    })
    const all = Effect.forEach(Object.entries(services), deploy, { concurrency: "unbounded" }).pipe(
      Effect.provideService(DeployEvents, (event: DeployEvent) =>
        Effect.sync(() => {
          if (event._tag === "StepProgress") said.push(event.message)
        })
      )
    )
    const fiber = yield* Effect.forkChild(all)
    yield* TestClock.adjust("10 minutes")
    yield* Fiber.join(fiber)
    return { running: [...running].toSorted(), said }
  })

describe("services that are deployed at the same time", () => {
  const cases = {
    "one that needs another waits for it": [
      { web: { needs: ["db"], built: 1 }, db: { needs: [], built: 60 } },
      ["db", "web"]
    ],
    "so do those that need one that waits": [
      {
        web: { needs: ["api"], built: 1 },
        api: { needs: ["db"], built: 2 },
        db: { needs: [], built: 60 }
      },
      ["api", "db", "web"]
    ],
    "none waits for one that has failed": [
      { web: { needs: ["db"], built: 1 }, db: { needs: [], built: 60, isBroken: true } },
      []
    ],
    "two that need each other both fail, and nobody waits for ever": [
      { web: { needs: ["api"], built: 1 }, api: { needs: ["web"], built: 1 } },
      []
    ],
    "of a circle beside a service that comes nobody waits for ever either": [
      {
        web: { needs: ["api"], built: 1 },
        api: { needs: ["web", "db"], built: 3 },
        db: { needs: [], built: 30 }
      },
      ["db"]
    ]
  } satisfies Record<string, readonly [Readonly<Record<string, Service>>, ReadonlyArray<string>]>
  for (const [name, [services, expected]] of Object.entries(cases))
    it.effect(name, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual((yield* deployed(services)).running, expected)
      })
    )

  const names = ["a", "b", "c", "d"]
  const anyService = Schema.Struct({
    needs: Schema.Array(Schema.Literals(["a", "b", "c", "d"])).check(Schema.isMaxLength(2)),
    built: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
    isBroken: Schema.Boolean
  })
  /** Those whose needs can all be met, one after the other. */
  const canRun = (services: Readonly<Record<string, Service>>): ReadonlyArray<string> => {
    const running = new Set<string>()
    for (const _ of names)
      for (const [name, { isBroken, needs }] of Object.entries(services))
        if (isBroken !== true && needs.every((need) => running.has(need))) running.add(name)
    return [...running].toSorted()
  }
  it.effect.prop(
    "run if they can, whoever needs whom and whenever they come, and otherwise fail",
    [Schema.Tuple([anyService, anyService, anyService, anyService])],
    ([services]) =>
      Effect.gen(function* () {
        const all = Object.fromEntries(services.map((service, index) => [names[index] ?? "", service]))
        assert.deepStrictEqual((yield* deployed(all)).running, canRun(all))
      })
  )

  it.effect("are named while they are waited for", () =>
    Effect.gen(function* () {
      const { said } = yield* deployed({ web: { needs: ["db"], built: 1 }, db: { needs: [], built: 60 } })
      assert.lengthOf(said, 1)
      assert.match(said[0] ?? "", /^waiting for db, deployed at the same time, because the app crashes/)
    })
  )

  it.effect("do not delay a failure that another service does not heal", () =>
    Effect.gen(function* () {
      const { api, put } = memory()
      const request = requestOf("db")
      put(manifestOf(request, yield* textOf(request), undefined))
      const quota = new QuotaExceeded({ detail: "full" })
      const workload = workloadOf(targetOf("ann", "shop", "web"), 1)
      const error = yield* Effect.flip(patiently(api, workload, "deploy", Effect.fail(quota), Effect.void))
      assert.strictEqual(error, quota)
    })
  )
})
