/** The suite tested itself: an implementation in memory passes, and each that breaks one promise is refused by the check of that promise. */
import { assert, describe, it } from "@effect/vitest"
import { ImageDigest, RegistryName } from "@mcpdeploy/core/domain/Image"
import { ImageNotFound, Registry, RegistryError } from "@mcpdeploy/core/Registry"
import { combine, type RegionPart } from "@mcpdeploy/core/region/RegionInfrastructure"
import { regionInfrastructureChecks } from "@mcpdeploy/provider-conformance/RegionInfrastructureChecks"
import { registryChecks } from "@mcpdeploy/provider-conformance/RegistryChecks"
import * as Effect from "effect/Effect"
import { brokenOf } from "./support/BrokenOf.ts"

/** What a vendor in memory does wrong. */
interface Faults {
  readonly planWrites?: true
  readonly rewrites?: true
  readonly ignoresRemoval?: true
  readonly destroysUnasked?: true
  readonly createsTwice?: true
  readonly verifyIsBlind?: true
}

const wantedOf = (nodes: number) =>
  Array.from({ length: nodes }, (_, index) => ({ name: `target-${index}`, costs: index === 0 }))

const worldOf = (faults: Faults) =>
  Effect.sync(() => {
    const stored: Array<string> = []
    let writes = 0
    const put = (name: string) => {
      writes++
      stored.push(name)
    }
    const partOf = (nodes: number): RegionPart => {
      const wanted = wantedOf(nodes)
      const planned = () => {
        const missing = wanted.filter(({ name }) => !stored.includes(name))
        const extra = [...new Set(stored)].filter((name) => !wanted.some((one) => one.name === name))
        return [
          ...missing.map(({ costs, name }) => ({
            area: "loadBalancer" as const,
            action: "create" as const,
            resource: name,
            diff: [`+ ${name}`],
            destructive: costs
          })),
          ...(faults.ignoresRemoval === true ? [] : extra).map((name) => ({
            area: "loadBalancer" as const,
            action: "delete" as const,
            resource: name,
            diff: [`- ${name}`],
            destructive: false
          }))
        ]
      }
      return {
        provider: "memory",
        facts: Effect.succeed({}),
        plan: () =>
          Effect.sync(() => {
            if (faults.planWrites === true) writes++
            return {
              changes: faults.verifyIsBlind === true && stored.length > 0 ? [] : planned(),
              conflicts: []
            }
          }),
        apply: Effect.fnUntraced(function* (_, allow) {
          const due = planned().filter(
            ({ destructive, resource }) =>
              !destructive || allow.has(resource) || faults.destroysUnasked === true
          )
          if (faults.rewrites === true) {
            writes++
          }
          for (const { action, resource } of due) {
            // A vendor's call: begun, then done, then answered.
            yield* Effect.sleep("1 millis")
            if (action === "delete") {
              writes++
              stored.splice(stored.indexOf(resource), 1)
            } else if (faults.createsTwice === true || !stored.includes(resource)) put(resource)
            yield* Effect.sleep("1 millis")
          }
          return { made: due, left: planned() }
        })
      }
    }
    return {
      region: combine("r", [partOf(3)]),
      larger: combine("r", [partOf(4)]),
      allow: new Set(["memory target-0"]),
      writes: () => writes,
      contents: () => JSON.stringify(stored.toSorted())
    }
  })

const regionChecks = (faults: Faults) =>
  regionInfrastructureChecks({ world: worldOf(faults), interruptions: [1, 3, 5] })

describe("the checks of RegionInfrastructure", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* brokenOf(regionChecks({}), (effect) => effect), [])
    })
  )
  for (const [fault, promise] of [
    ["planWrites", "plan writes nothing"],
    ["rewrites", "after apply, plan is empty, verify succeeds, and applying again writes nothing"],
    [
      "ignoresRemoval",
      "another input is a plan of exactly what differs, and verify fails until it is applied"
    ],
    [
      "verifyIsBlind",
      "another input is a plan of exactly what differs, and verify fails until it is applied"
    ],
    ["destroysUnasked", "a destructive change is made only when it is named"],
    ["createsTwice", "two applies at once, and then one more, leave what one alone does"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* brokenOf(regionChecks({ [fault]: true }), (effect) => effect), promise)
      })
    )
})

interface RegistryFaults {
  readonly alwaysChanged?: true
  readonly keepsFirst?: true
  readonly deleteFails?: true
  readonly inventsDigests?: true
  readonly shortTags?: true
}

const digests = [
  ImageDigest.make(`sha256:${"a0".repeat(32)}`),
  ImageDigest.make(`sha256:${"b0".repeat(32)}`)
] as const

const memoryRegistry = (faults: RegistryFaults) => {
  const manifests = new Set<string>(digests)
  const tags = new Map<string, ImageDigest>()
  const absent = (image: string) =>
    new RegistryError({ operation: "resolve", image, reason: new ImageNotFound() })
  return Registry.of({
    resolve: (_, reference) =>
      Effect.suspend(() => {
        const digest = tags.get(reference) ?? digests.find((one) => one === reference && manifests.has(one))
        if (digest !== undefined) return Effect.succeed(digest)
        return faults.inventsDigests === true && reference.startsWith("sha256:")
          ? Effect.succeed(digests[0])
          : Effect.fail(absent(reference))
      }),
    publish: (_, tag, digest) =>
      Effect.suspend(() => {
        if (faults.shortTags === true && tag.length > 63) return Effect.fail(absent(tag))
        const before = tags.get(tag)
        if (before === undefined || faults.keepsFirst !== true) tags.set(tag, digest)
        return Effect.succeed({ changed: before !== digest || faults.alwaysChanged === true })
      }),
    list: ({ repository }) => Effect.sync(() => (repository.endsWith("x") ? [] : [...tags.keys()])),
    delete: (_, reference) =>
      Effect.suspend(() => {
        const isThere = tags.has(reference) || manifests.delete(reference)
        for (const [tag, digest] of tags) if (tag === reference || digest === reference) tags.delete(tag)
        return isThere || faults.deleteFails !== true ? Effect.void : Effect.fail(absent(reference))
      }),
    repositories: () => Effect.succeed(["dp-ann-shop/web"]),
    read: (_, reference) => Effect.fail(absent(reference))
  })
}

const registryBroken = (faults: RegistryFaults) =>
  Effect.suspend(() => {
    let registry = memoryRegistry(faults)
    const checks = registryChecks({
      repository: () =>
        Effect.sync(() => {
          registry = memoryRegistry(faults)
          return {
            repository: {
              registry: RegistryName.make("registry.internal:5000"),
              repository: "dp-ann-shop/web"
            },
            digests
          }
        })
    })
    // Each repository is a registry of its own here: calls go to the one that was made last.
    const current = Registry.of({
      resolve: (...args) => registry.resolve(...args),
      publish: (...args) => registry.publish(...args),
      list: (...args) => registry.list(...args),
      delete: (...args) => registry.delete(...args),
      repositories: (...args) => registry.repositories(...args),
      read: (...args) => registry.read(...args)
    })
    return brokenOf(checks, (effect) => Effect.provideService(effect, Registry, current))
  })

describe("the checks of Registry", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* registryBroken({}), [])
    })
  )
  for (const [fault, promise] of [
    ["alwaysChanged", "publishing the same again succeeds and changes nothing"],
    ["keepsFirst", "publishing another digest moves the tag, and the first manifest stays"],
    ["deleteFails", "what is not there: a typed error to resolve, none to list, success to delete"],
    ["inventsDigests", "a digest that is not in the repository is not found"],
    ["shortTags", "the longest names work"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* registryBroken({ [fault]: true }), promise)
      })
    )
})
