/** The checks of DomainManager tested themselves: each implementation in memory that breaks one promise is refused by its check. */
import { assert, describe, it } from "@effect/vitest"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import {
  DnsNotReady,
  DomainManager,
  DomainName,
  DomainNotFound,
  DomainReserved,
  DomainTaken
} from "@mcpdeploy/core/DomainManager"
import { domainManagerChecks } from "@mcpdeploy/provider-conformance/DomainManagerChecks"
import * as Effect from "effect/Effect"
import { brokenOf } from "./support/BrokenOf.ts"

const reserved = DomainName.make("platform.example")

interface Faults {
  readonly claimsNothing?: true
  readonly keepsTheRecordToItself?: true
  readonly failsToRemoveNothing?: true
  readonly givesAwayThePlatform?: true
  readonly looksBeforeItClaims?: true
  readonly refusesLongHosts?: true
}

const memory = (faults: Faults) => {
  const holders = new Map<string, Array<ServiceTarget>>()
  const holdersOf = (host: DomainName) => holders.get(host) ?? []
  const isHeldBy = (target: ServiceTarget, host: DomainName) =>
    holdersOf(host).some(({ key }) => key === target.key)
  const add = Effect.fnUntraced(function* (target: ServiceTarget, host: DomainName) {
    if (host === reserved && faults.givesAwayThePlatform !== true)
      return yield* new DomainReserved({ host, detail: "it is the platform's" })
    if (faults.refusesLongHosts === true && host.length > 200)
      return yield* new DomainReserved({ host, detail: "it is long" })
    const isFree = holdersOf(host).length === 0
    if (faults.looksBeforeItClaims === true) yield* Effect.sleep("5 millis")
    if (!isFree && !isHeldBy(target, host)) return yield* new DomainTaken({ host })
    if (!isHeldBy(target, host) && faults.claimsNothing !== true)
      holders.set(host, [...holdersOf(host), target])
    const record = { name: host, type: "CNAME", value: "cname.platform.example" } as const
    return yield* new DnsNotReady({
      host,
      problem: "NoSuchName",
      detail: "there is no such name",
      set: faults.keepsTheRecordToItself === true ? [] : [record],
      remove: []
    })
  })
  return DomainManager.of({
    add,
    remove: (target, host) =>
      Effect.suspend(() => {
        if (!isHeldBy(target, host) && faults.failsToRemoveNothing === true)
          return Effect.fail(new DomainNotFound({ target, host }))
        holders.set(
          host,
          holdersOf(host).filter(({ key }) => key !== target.key)
        )
        return Effect.void
      }),
    status: (target, host) =>
      Effect.suspend(() =>
        isHeldBy(target, host)
          ? Effect.succeed({ host, target, state: "claimed" as const })
          : Effect.fail(new DomainNotFound({ target, host }))
      ),
    list: (owner) =>
      Effect.sync(() =>
        [...holders].flatMap(([host, targets]) =>
          targets
            .filter((target) => target.namespace === owner.namespace)
            .map((target) => ({ host: DomainName.make(host), target, state: "claimed" as const }))
        )
      )
  })
}

let count = 0
const serviceOf = () =>
  new ServiceTarget({
    owner: new Owner({ user: UserId.make(`user${++count}`), project: ProjectName.make("shop") }),
    service: ServiceName.make("web")
  })

const broken = (faults: Faults) =>
  Effect.suspend(() => {
    const checks = domainManagerChecks({
      zone: Effect.sync(() => `zone${++count}.example`),
      services: (many) => Effect.sync(() => Array.from({ length: many }, serviceOf)),
      reserved
    })
    const domains = memory(faults)
    return brokenOf(checks, (effect) => Effect.provideService(effect, DomainManager, domains))
  })

describe("the checks of DomainManager", () => {
  it.live("pass for an implementation that keeps its promises", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken({}), [])
    })
  )
  for (const [fault, promise] of [
    [
      "claimsNothing",
      "a host without DNS is claimed, and the error says which record to set; again, it is the same"
    ],
    [
      "keepsTheRecordToItself",
      "a host without DNS is claimed, and the error says which record to set; again, it is the same"
    ],
    ["failsToRemoveNothing", "what is not there: its status is a typed error, removing it succeeds"],
    ["givesAwayThePlatform", "the platform's own hosts are refused, and not claimed"],
    ["looksBeforeItClaims", "of many customers who add one host at once, exactly one holds it"],
    ["refusesLongHosts", "the longest host, and an add that is interrupted, behave as any other"]
  ] as const)
    it.live(`refuse one that ${fault}`, () =>
      Effect.gen(function* () {
        assert.include(yield* broken({ [fault]: true }), promise)
      })
    )
})
