/** The checks of a cluster's contracts tested themselves: each implementation in memory that breaks one promise is refused by its check. */
import { assert, describe, it } from "@effect/vitest"
import {
  type Applied,
  ClusterApplier,
  ClusterApplierError,
  type ClusterApplierReason,
  GenerationTaken,
  ProjectNotEmpty,
  restoredWorkload,
  ServiceNotFound,
  SupersededByNewer,
  type Workload
} from "@mcpdeploy/core/ClusterApplier"
import {
  NamespaceOwnedByOther,
  type Owner,
  ServiceName,
  ServiceTarget
} from "@mcpdeploy/core/domain/Identity"
import { keptReceipts, type Receipt } from "@mcpdeploy/core/domain/Receipt"
import { Projects } from "@mcpdeploy/core/Projects"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import type { Check } from "@mcpdeploy/provider-conformance/Check"
import { clusterApplierChecks } from "@mcpdeploy/provider-conformance/ClusterApplierChecks"
import type { ClusterConformance } from "@mcpdeploy/provider-conformance/ClusterSample"
import { projectsChecks } from "@mcpdeploy/provider-conformance/ProjectsChecks"
import { receiptsChecks } from "@mcpdeploy/provider-conformance/ReceiptsChecks"
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
  readonly keepsOneReceiptLess?: true
  readonly storesReceiptsTwice?: true
  readonly restoresNewestSecret?: true
  readonly showsReceiptsToAll?: true
  readonly losesImages?: true
  readonly deletesFullProjects?: true
  readonly deletesForeignProjects?: true
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

  const withSecret = (applied: Applied, secrets: Workload["secrets"]): Applied =>
    Object.keys(secrets).length === 0 ? applied : { ...applied, secretName: "secret" }

  const applier = Layer.mock(ClusterApplier, {
    claim: Effect.fnUntraced(function* ({ namespace, owner }) {
      owners.set(namespace, `${owner.user}/${owner.project}`)
      yield* Effect.void
    }),
    apply: (workload) => Effect.map(apply(workload), (applied) => withSecret(applied, workload.secrets)),
    restore: (target, receipt, generation) =>
      Effect.map(apply(restoredWorkload(target, receipt, generation)), (applied) =>
        faults.restoresNewestSecret === true || receipt.secretName === undefined
          ? applied
          : { ...applied, secretName: receipt.secretName }
      ),
    plan: (workload) =>
      Effect.sync(() => {
        const plan = planOf(workload)
        if (faults.planWrites === true) running.set(nameOf(workload.target), workload)
        return plan
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
  const histories = new Map<string, ReadonlyArray<Receipt>>()
  const receipts = Layer.mock(Receipts, {
    history: Effect.fnUntraced(function* (target) {
      if (faults.showsReceiptsToAll !== true) yield* owned("history", target)
      return histories.get(nameOf(target)) ?? []
    }),
    record: Effect.fnUntraced(function* (target, receipt) {
      yield* owned("record", target)
      const others = (histories.get(nameOf(target)) ?? []).filter(
        ({ generation }) => generation !== receipt.generation || faults.storesReceiptsTwice === true
      )
      const kept = keptReceipts - (faults.keepsOneReceiptLess === true ? 1 : 0)
      histories.set(nameOf(target), [receipt, ...others].slice(0, kept))
    })
  })

  const ownedProject = (operation: string, owner: Owner) =>
    owned(operation, new ServiceTarget({ owner, service: ServiceName.make("web") }))
  const servicesOf = (owner: Owner) =>
    [...running.values()].filter(({ target }) => target.namespace === owner.namespace)
  const projects = Layer.mock(Projects, {
    exists: (owner) => Effect.as(ownedProject("look-up", owner), owners.has(owner.namespace)),
    services: (owner) =>
      Effect.as(
        ownedProject("look-up", owner),
        servicesOf(owner).map(({ target }) => target)
      ),
    images: (namespace) =>
      Effect.sync(() =>
        [...running.values()]
          .filter(({ target }) => namespace === undefined || target.namespace === namespace)
          .map(({ digest, image }) => ({
            repository: image.repository,
            digests: faults.losesImages === true ? [] : [digest]
          }))
      ),
    delete: Effect.fnUntraced(function* (owner) {
      if (faults.deletesForeignProjects !== true) yield* ownedProject("delete", owner)
      const { namespace } = owner
      const services = servicesOf(owner).map(({ target }) => target.service)
      const [first] = servicesOf(owner)
      if (first !== undefined && faults.deletesFullProjects !== true)
        return yield* failed("delete", first.target, new ProjectNotEmpty({ namespace, services }))
      return owners.delete(namespace)
    })
  })

  const layer = Layer.mergeAll(
    applier,
    receipts,
    projects,
    Layer.mock(Workloads, {
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
        })
    })
  )
  return { layer, leftOf: (target: ServiceTarget) => [...(objects.get(nameOf(target)) ?? [])] }
}

let count = 0
const broken = (faults: Faults) =>
  Effect.suspend(() => {
    const { layer, leftOf } = memory(faults)
    const of: ClusterConformance = {
      unique: Effect.sync(() => `u${++count}`),
      cleanUp: () => Effect.void,
      leftOf: (target) => Effect.sync(() => leftOf(target))
    }
    const checks: ReadonlyArray<Check<ClusterApplier | Projects | Receipts | Workloads>> = [
      ...clusterApplierChecks(of),
      ...receiptsChecks(of),
      ...projectsChecks(of)
    ]
    return brokenOf(checks, Effect.provide(layer))
  })

describe("the checks of ClusterApplier, Receipts and Projects", () => {
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
    ],
    [
      "keepsOneReceiptLess",
      "the last receipts are kept whole, newest first, and storing one again changes nothing"
    ],
    [
      "storesReceiptsTwice",
      "the last receipts are kept whole, newest first, and storing one again changes nothing"
    ],
    [
      "restoresNewestSecret",
      "what a receipt says can be restored, also when later deploys had other secrets"
    ],
    ["showsReceiptsToAll", "another owner's receipts are neither read nor written, and nobody has none"],
    ["losesImages", "what there is of a project is told: its services, and the images that they need"],
    [
      "deletesFullProjects",
      "a project with a service is not deleted; without one it is, also after an interruption"
    ],
    ["deletesForeignProjects", "another owner's project is neither told nor deleted"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* broken({ [fault]: true }), promise)
      })
    )
})
