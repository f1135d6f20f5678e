/** The checks of ClusterApplier tested themselves: each implementation in memory that breaks one promise is refused by its check. */
import { assert, describe, it } from "@effect/vitest"
import {
  ClusterApplier,
  ClusterApplierError,
  type ClusterApplierReason,
  GenerationTaken,
  ServiceNotFound,
  SupersededByNewer,
  type Workload
} from "@mcpdeploy/core/ClusterApplier"
import { NamespaceOwnedByOther, type ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { clusterApplierChecks } from "@mcpdeploy/provider-conformance/ClusterApplierChecks"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { brokenOf } from "./support/BrokenOf.ts"

interface Faults {
  readonly writesAlways?: true
  readonly showsSecrets?: true
  readonly planWrites?: true
  readonly takesOlderOnes?: true
  readonly looksBeforeItWrites?: true
  readonly keepsHalf?: true
  readonly sharesNamespaces?: true
  readonly losesLongNames?: true
  readonly failsToDeleteNothing?: true
  readonly deletesNeighbours?: true
  readonly forgetsSecrets?: true
}

const kinds = ["Secret", "Deployment", "Service"] as const

const memory = (faults: Faults) => {
  const owners = new Map<string, string>()
  const running = new Map<string, Workload>()
  const objects = new Map<string, Set<string>>()
  const nameOf = ({ namespace, service }: ServiceTarget) => `${namespace}/${service}`

  const failed = (operation: string, target: ServiceTarget, reason: ClusterApplierReason) =>
    new ClusterApplierError({ operation, target, reason })
  const owned = (operation: string, target: ServiceTarget) =>
    Effect.suspend(() => {
      const { namespace, owner } = target
      const holder = owners.get(namespace)
      const own = `${owner.user}/${owner.project}`
      return holder === undefined || holder === own || faults.sharesNamespaces === true
        ? Effect.void
        : Effect.fail(failed(operation, target, new NamespaceOwnedByOther({ namespace, requested: owner })))
    })

  const textOf = ({ digest, run }: Workload) => JSON.stringify([digest, run.env])
  const planOf = (workload: Workload) => {
    const before = running.get(nameOf(workload.target))
    const there = objects.get(nameOf(workload.target)) ?? new Set()
    return kinds.map((kind) => ({
      object: `${kind} ${workload.target.service}`,
      action: !there.has(kind)
        ? ("create" as const)
        : (before !== undefined && textOf(before) !== textOf(workload)) || faults.writesAlways === true
          ? ("update" as const)
          : ("unchanged" as const),
      lines:
        faults.showsSecrets === true ? Object.values(workload.secrets).map((one) => Redacted.value(one)) : []
    }))
  }

  const apply = Effect.fnUntraced(function* (workload: Workload) {
    const { generation, image, target } = workload
    yield* owned("apply", target)
    const name = nameOf(target)
    const before = running.get(name)
    if (faults.looksBeforeItWrites === true) yield* Effect.sleep(`${20 - 2 * generation} millis`)
    if (before !== undefined && before.generation > generation && faults.takesOlderOnes !== true)
      return yield* failed(
        "apply",
        target,
        new SupersededByNewer({ generation, newer: before.generation, newerCommit: before.image.commit })
      )
    if (before?.generation === generation && before.image.commit !== image.commit)
      return yield* failed(
        "apply",
        target,
        new GenerationTaken({ generation, commit: image.commit, other: before.image.commit })
      )
    const changes = planOf(workload)
    owners.set(target.namespace, `${target.owner.user}/${target.owner.project}`)
    const there = objects.get(name) ?? new Set<string>()
    objects.set(name, there)
    running.set(name, workload)
    if (faults.keepsHalf === true && there.size > 0 && there.size < kinds.length)
      return { revision: textOf(workload), changes: changes.slice(0, there.size) }
    for (const kind of kinds) {
      there.add(kind)
      yield* Effect.sleep("4 millis")
    }
    return { revision: textOf(workload), changes }
  })

  const layer = Layer.mock(ClusterApplier, {
    apply,
    plan: (workload) =>
      Effect.sync(() => {
        const plan = planOf(workload)
        if (faults.planWrites === true) running.set(nameOf(workload.target), workload)
        return plan
      }),
    history: () => Effect.succeed([]),
    status: (target) =>
      Effect.suspend(() => {
        const found = running.get(nameOf(target))
        return found === undefined || (faults.losesLongNames === true && target.service.length > 40)
          ? Effect.fail(failed("status", target, new ServiceNotFound({ target })))
          : Effect.succeed({
              target: found.target,
              generation: found.generation,
              commit: found.image.commit,
              digest: found.digest,
              replicas: 0,
              readyReplicas: 0,
              pods: []
            })
      }),
    delete: Effect.fnUntraced(function* (target) {
      yield* owned("delete", target)
      const name = nameOf(target)
      const there = [...(objects.get(name) ?? [])]
      if (there.length === 0 && faults.failsToDeleteNothing === true)
        return yield* failed("delete", target, new ServiceNotFound({ target }))
      running.delete(name)
      if (faults.deletesNeighbours === true) running.clear()
      if (faults.forgetsSecrets === true && there.length > 0) objects.set(name, new Set(["Secret"]))
      else objects.delete(name)
      return there
    })
  })
  return { layer, leftOf: (target: ServiceTarget) => [...(objects.get(nameOf(target)) ?? [])] }
}

let count = 0
const broken = (faults: Faults) =>
  Effect.suspend(() => {
    const { layer, leftOf } = memory(faults)
    const checks = clusterApplierChecks({
      unique: Effect.sync(() => `u${++count}`),
      cleanUp: () => Effect.void,
      leftOf: (target) => Effect.sync(() => leftOf(target))
    })
    return brokenOf(checks, Effect.provide(layer))
  })

describe("the checks of ClusterApplier", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken({}), [])
    })
  )
  for (const [fault, promise] of [
    ["writesAlways", "the same workload again succeeds, changes nothing, and shows no secret"],
    ["showsSecrets", "the same workload again succeeds, changes nothing, and shows no secret"],
    ["planWrites", "plan changes nothing, and another workload is another revision"],
    ["takesOlderOnes", "an older deploy never overwrites a newer one, and one generation is one commit"],
    ["looksBeforeItWrites", "many deploys at once: the newest is what is there in the end"],
    ["keepsHalf", "interrupted in the middle and applied again, it is as if it had not been"],
    [
      "sharesNamespaces",
      "two owners whose namespaces would have one name: the second is refused, and changes nothing"
    ],
    ["losesLongNames", "the longest names work"],
    [
      "failsToDeleteNothing",
      "a service that is not there: no history, deleting it succeeds, its status is a typed error"
    ],
    [
      "deletesNeighbours",
      "delete leaves nothing of the service, also when it was interrupted first, and other services stay"
    ],
    [
      "forgetsSecrets",
      "delete leaves nothing of the service, also when it was interrupted first, and other services stay"
    ]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* broken({ [fault]: true }), promise)
      })
    )
})
