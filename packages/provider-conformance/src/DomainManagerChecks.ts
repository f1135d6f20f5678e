/** What every DomainManager promises. No certificate is ordered: the hosts' DNS says nothing. */
import type { Owner, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { type DomainError, DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Check, check, interruptedAfter } from "./Check.ts"

/** What the suite needs to know of a region's domains. */
export interface DomainConformance {
  /** A zone that nobody has, such as `x1.example`; its name servers answer that there is no such name. */
  readonly zone: Effect.Effect<string>
  /** Deployed services of different customers, as many. */
  readonly services: (count: number) => Effect.Effect<ReadonlyArray<ServiceTarget>, never, Scope.Scope>
  /** A host of the platform's own, which no customer may have. */
  readonly reserved: DomainName
}

const tagOf = ({ _tag }: DomainError): string => _tag

/** 253 characters (RFC 1035, 2.3.4, less the length bytes), of labels of at most 63. */
const longestIn = (zone: string): DomainName => {
  const label = "l".repeat(63)
  const room = 253 - zone.length - 1
  const labels = Array.from({ length: Math.floor((room + 1) / 64) }, () => label)
  const rest = room - labels.length * 64
  return DomainName.make([...(rest > 0 ? ["r".repeat(rest)] : []), ...labels, zone].join("."))
}

/** What every DomainManager promises of hosts, their DNS and their holders. */
export const domainManagerChecks = (of: DomainConformance): ReadonlyArray<Check<DomainManager>> => {
  const one = Effect.map(of.services(1), ([target]) => target)
  const hostsOf = (owner: Owner) =>
    Effect.map(
      DomainManager.use((domains) => domains.list(owner)),
      (all) => all.map(({ host }) => host)
    )
  return [
    check(
      "a host without DNS is claimed, and the error says which record to set; again, it is the same",
      (expect) =>
        Effect.gen(function* () {
          const domains = yield* DomainManager
          const target = yield* one
          if (target === undefined) return yield* expect.fail("the world has no service")
          const host = DomainName.make(`www.${yield* of.zone}`)
          for (const time of ["the first add", "the second add"]) {
            const error = yield* expect.failsWith(domains.add(target, host), ["DnsNotReady"], tagOf, time)
            yield* expect.that(
              error.message.includes("set "),
              `${time} does not say what to set: ${error.message}`
            )
            yield* expect.that(error.retryable, `${time} does not say that it can be repeated`)
          }
          const status = yield* expect.succeeds(domains.status(target, host), "status")
          yield* expect.equal(status.state, "claimed", "the state")
          yield* expect.equal(
            yield* expect.succeeds(hostsOf(target.owner), "list"),
            [host],
            "the project's domains"
          )
          yield* expect.succeeds(domains.remove(target, host), "remove")
          yield* expect.equal(
            yield* expect.succeeds(hostsOf(target.owner), "list"),
            [],
            "the domains afterwards"
          )
        })
    ),
    check("what is not there: its status is a typed error, removing it succeeds", (expect) =>
      Effect.gen(function* () {
        const domains = yield* DomainManager
        const target = yield* one
        if (target === undefined) return yield* expect.fail("the world has no service")
        const host = DomainName.make(`unknown.${yield* of.zone}`)
        yield* expect.failsWith(domains.status(target, host), ["DomainNotFound"], tagOf, "status")
        yield* expect.succeeds(domains.remove(target, host), "remove")
        yield* expect.succeeds(domains.remove(target, host), "remove again")
      })
    ),
    check("the platform's own hosts are refused, and not claimed", (expect) =>
      Effect.gen(function* () {
        const domains = yield* DomainManager
        const target = yield* one
        if (target === undefined) return yield* expect.fail("the world has no service")
        yield* expect.failsWith(domains.add(target, of.reserved), ["DomainReserved"], tagOf, "add")
        yield* expect.equal(
          yield* expect.succeeds(hostsOf(target.owner), "list"),
          [],
          "the project's domains"
        )
      })
    ),
    check("of many customers who add one host at once, exactly one holds it", (expect) =>
      Effect.gen(function* () {
        const domains = yield* DomainManager
        const targets = yield* of.services(4)
        const host = DomainName.make(`shared.${yield* of.zone}`)
        yield* Effect.forEach(targets, (target) => Effect.exit(domains.add(target, host)), {
          concurrency: "unbounded",
          discard: true
        })
        const held = yield* Effect.forEach(targets, (target) =>
          expect.succeeds(hostsOf(target.owner), "list")
        )
        yield* expect.equal(
          held.filter((hosts) => hosts.includes(host)).length,
          1,
          "the number of its holders"
        )
        yield* Effect.forEach(targets, (target) => expect.succeeds(domains.remove(target, host), "remove"), {
          discard: true
        })
        const after = yield* Effect.forEach(targets, (target) =>
          expect.succeeds(hostsOf(target.owner), "list")
        )
        yield* expect.equal(after.flat(), [], "who holds it after all have removed it")
      })
    ),
    check("the longest host, and an add that is interrupted, behave as any other", (expect) =>
      Effect.gen(function* () {
        const domains = yield* DomainManager
        const target = yield* one
        if (target === undefined) return yield* expect.fail("the world has no service")
        const host = longestIn(yield* of.zone)
        yield* interruptedAfter(domains.add(target, host), [5, 40])
        yield* expect.failsWith(domains.add(target, host), ["DnsNotReady"], tagOf, "add")
        yield* expect.succeeds(domains.remove(target, host), "remove")
        yield* expect.equal(
          yield* expect.succeeds(hostsOf(target.owner), "list"),
          [],
          "the domains afterwards"
        )
      })
    )
  ]
}
