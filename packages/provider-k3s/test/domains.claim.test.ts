/** Claims against a real API server; host rules, budget and certificate states as pure functions. */
import { assert, describe, it } from "@effect/vitest"
import { DomainName, parseDomainName } from "@mcpdeploy/core/DomainManager"
import { UserId } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { limits, openAt } from "../src/domains/Budget.ts"
import * as Budget from "../src/domains/Budget.ts"
import * as Claim from "../src/domains/Claim.ts"
import { domainSettings } from "@mcpdeploy/provider-k3s/domains/DomainsConfig"
import { checkHost } from "../src/domains/HostPolicy.ts"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { targetOf } from "./support/Sample.ts"
import { connect, kubeconfig, titled } from "./support/TestCluster.ts"

const tenants = process.env["MCPDEPLOY_TEST_FULL"] === "1" ? 1000 : 50
const run = Date.now().toString(36)
let count = 0
const unproven = () => Effect.succeed(false)
const proven = () => Effect.succeed(true)

/** The API server, and a namespace of claims, which goes when the scope closes. */
const cluster = Effect.acquireRelease(
  Effect.map(connect, (api) => ({ api, namespace: `mcpdeploy-test-domains-${run}-${count++}` })),
  ({ api, namespace }) =>
    Effect.ignore(
      api.delete(
        { kind: kinds.Namespace, namespace: undefined, name: namespace },
        { propagation: "Background" }
      )
    )
)

describe.skipIf(kubeconfig === undefined)(
  titled("claims of a host", kubeconfig !== undefined, "MCPDEPLOY_TEST_KUBECONFIG"),
  () => {
    it.live(
      `of ${tenants} customers at once give it to exactly one; its release leaves it to those who prove it`,
      () =>
        Effect.gen(function* () {
          const { api, namespace } = yield* cluster
          const host = DomainName.make("www.contested.com")
          const targets = Array.from({ length: tenants }, (_, index) => targetOf(`t${index}`, "p", "web"))
          const outcomes = yield* Effect.forEach(
            targets,
            (target) => Claim.acquire(api, namespace, host, target, unproven),
            { concurrency: "unbounded" }
          )
          const winners = targets.filter((_, index) => outcomes[index]?._tag === "Held")
          assert.lengthOf(winners, 1)
          assert.isTrue(outcomes.every(({ _tag }) => _tag === "Held" || _tag === "Unproven"))
          const [winner] = winners
          const loser = targets.find((target) => target !== winner)
          const held = outcomes.find(({ _tag }) => _tag === "Held")
          if (winner === undefined || loser === undefined || held?._tag !== "Held") return
          yield* Claim.markVerified(api, namespace, held.claim)
          assert.strictEqual((yield* Claim.acquire(api, namespace, host, loser, proven))._tag, "Taken")

          const claim = yield* Claim.beginRemoval(api, namespace, host, winner)
          assert.strictEqual(
            (yield* Claim.acquire(api, namespace, host, loser, proven))._tag,
            "Taken",
            "while its objects are still there"
          )
          if (claim !== undefined) yield* Claim.release(api, namespace, claim)
          assert.isUndefined(yield* Claim.beginRemoval(api, namespace, host, winner))

          const refused = yield* Claim.acquire(api, namespace, host, loser, unproven)
          assert.strictEqual(refused._tag, "Unproven")
          const taken = yield* Claim.acquire(api, namespace, host, loser, proven)
          assert.strictEqual(taken._tag === "Held" ? taken.claim.user : taken._tag, loser.owner.user)
          if (taken._tag === "Held") yield* Claim.markVerified(api, namespace, taken.claim)
          assert.strictEqual((yield* Claim.acquire(api, namespace, host, winner, proven))._tag, "Taken")
        }).pipe(Effect.scoped),
      120_000
    )

    it.live(
      "in a domain that leads here for another customer need a proof, and the proof is the asker's own",
      () =>
        Effect.gen(function* () {
          const { api, namespace } = yield* cluster
          const [one, two] = [targetOf("one", "p", "web"), targetOf("two", "p", "web")]
          const first = yield* Claim.acquire(api, namespace, DomainName.make("www.above.com"), one, unproven)
          if (first._tag === "Held") yield* Claim.markVerified(api, namespace, first.claim)
          const below = DomainName.make("x.y.above.com")
          for (const host of [below, DomainName.make("above.com"), DomainName.make("api.above.com")])
            assert.strictEqual((yield* Claim.acquire(api, namespace, host, two, unproven))._tag, "Unproven")
          assert.notStrictEqual(Claim.proofOf("n", "one", below), Claim.proofOf("n", "two", below))
          assert.strictEqual((yield* Claim.acquire(api, namespace, below, one, unproven))._tag, "Held")
        }).pipe(Effect.scoped)
    )

    it.live("whose DNS never led here give way to who proves to own it, and hinder nobody else", () =>
      Effect.gen(function* () {
        const { api, namespace } = yield* cluster
        const [squatter, owner] = [targetOf("squatter", "p", "web"), targetOf("owner", "p", "web")]
        const host = DomainName.make("www.shop.com")
        const squatted = yield* Claim.acquire(api, namespace, host, squatter, unproven)
        const neighbour = DomainName.make("api.shop.com")
        assert.strictEqual((yield* Claim.acquire(api, namespace, neighbour, owner, unproven))._tag, "Held")
        assert.strictEqual((yield* Claim.acquire(api, namespace, host, owner, unproven))._tag, "Unproven")
        const taken = yield* Claim.acquire(api, namespace, host, owner, proven)
        assert.strictEqual(taken._tag === "Held" ? taken.claim.user : taken._tag, "owner")
        if (squatted._tag !== "Held" || taken._tag !== "Held") return
        assert.isFalse(yield* Claim.isCurrent(api, namespace, squatted.claim))
        // Too late: the host has changed hands.
        yield* Claim.markVerified(api, namespace, squatted.claim)
        yield* Claim.markVerified(api, namespace, taken.claim)
        assert.strictEqual((yield* Claim.acquire(api, namespace, host, squatter, proven))._tag, "Taken")
      }).pipe(Effect.scoped)
    )

    it.live("that ask for more certificates than the limits are told when it is possible again", () =>
      Effect.gen(function* () {
        const { api, namespace } = yield* cluster
        const host = DomainName.make("www.budget.com")
        const user = UserId.make("one")
        yield* Claim.acquire(api, namespace, host, targetOf("one", "p", "web"), unproven)
        for (let order = 0; order < limits.host.count; order++)
          yield* Budget.reserve(api, namespace, host, user)
        const error = yield* Effect.flip(Budget.reserve(api, namespace, host, user))
        assert.strictEqual(error._tag, "CertificateLimited")
        yield* Budget.reserve(api, namespace, DomainName.make("other.budget.com"), user)
        const many = UserId.make("many")
        for (let order = 0; order < limits.customer.count; order++)
          yield* Budget.reserve(api, namespace, DomainName.make(`www.budget-${order % 10}${order}.com`), many)
        const over = yield* Effect.flip(Budget.reserve(api, namespace, DomainName.make("www.more.com"), many))
        assert.include(over.message, limits.customer.name)
        yield* Budget.reserve(api, namespace, DomainName.make("www.more.com"), user)
      }).pipe(Effect.scoped)
    )
  }
)

describe("a host", () => {
  const settings = domainSettings(
    new RegionConfig({ platformDomain: PlatformDomain.make("ml.ink"), domains: { reserved: ["corp.com"] } })
  )

  it.effect("is the same however it is written", () =>
    Effect.gen(function* () {
      for (const text of ["www.example.com", "WWW.Example.COM", "www.example.com.", "ｗｗｗ.example。com"])
        assert.strictEqual(yield* parseDomainName(text), "www.example.com")
      assert.strictEqual(yield* parseDomainName("MÜNCHEN.de"), "xn--mnchen-3ya.de")
      for (const text of [
        "*.example.com",
        "http://x.com",
        "1.2.3.4",
        "0x7f.1",
        "a..com",
        "a_b.com",
        "com",
        "",
        "-a.com"
      ])
        assert.strictEqual((yield* Effect.flip(parseDomainName(text)))._tag, "DomainInvalid", text)
    })
  )

  const label = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9]{1,8}$/))
  it.effect.prop("that is parsed is parsed to itself", [label, label], ([one, two]) =>
    Effect.gen(function* () {
      const parsed = yield* parseDomainName(`${one}.${two}.Example.COM.`)
      assert.strictEqual(parsed, `${one}.${two}.example.com`.toLowerCase())
      assert.strictEqual(yield* parseDomainName(parsed), parsed)
    })
  )

  it.effect("of the platform, of everybody, or of nobody is refused", () =>
    Effect.gen(function* () {
      for (const host of [
        "ml.ink",
        "cname.ml.ink",
        "a.b.ml.ink",
        "x.corp.com",
        "co.uk",
        "github.io",
        "web.internal",
        "a.svc.cluster.local",
        "xn--a.com"
      ])
        assert.strictEqual(
          (yield* Effect.flip(checkHost(DomainName.make(host), settings)))._tag,
          "DomainReserved",
          host
        )
      for (const host of [
        "example.com",
        "notml.ink",
        "ml.ink.example.com",
        "me.github.io",
        "xn--mnchen-3ya.de"
      ])
        yield* checkHost(DomainName.make(host), settings)
      assert.isFalse(Schema.is(DomainName)("UPPER.com"))
    })
  )

  it("may have as many certificates as the window allows", () => {
    const limit = { count: 2, millis: 100, name: "test" }
    assert.isUndefined(openAt([950], 1000, limit))
    assert.strictEqual(openAt([940, 950], 1000, limit), 1040)
    assert.strictEqual(openAt([910, 940, 950], 1000, limit), 1040)
    assert.isUndefined(openAt([850, 899, 950], 1000, limit))
  })
})
