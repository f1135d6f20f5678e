/** Against a region with certificates: cert-manager, an ACME authority, validation through Traefik. */
import { assert, describe, layer } from "@effect/vitest"
import { DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import {
  connectApi,
  deployPage,
  publish,
  region,
  regionLayer,
  variable,
  visit
} from "./support/AcmeRegion.ts"
import { targetOf } from "./support/Sample.ts"
import { titled } from "./support/TestCluster.ts"

/** The promise is for a machine that does nothing else. */
const limitSeconds = process.env["MCPDEPLOY_TEST_FULL"] === "1" ? 15 : 60
const isReady = region !== undefined
const run = Date.now().toString(36)
let count = 0

/** A service in a project of its own; the project's namespace goes when the scope closes. */
const service = Effect.acquireRelease(
  Effect.sync(() => targetOf(`domains${count++}`, run, "web")),
  ({ namespace }) =>
    connectApi.pipe(
      Effect.flatMap((api) =>
        api.delete(
          { kind: kinds.Namespace, namespace: undefined, name: namespace },
          { propagation: "Background" }
        )
      ),
      Effect.scoped,
      Effect.ignore
    )
)

describe.skipIf(!isReady)(titled("a domain in a region with certificates", isReady, variable), () => {
  layer(regionLayer, { excludeTestServices: true, timeout: "60 seconds" })("with a cluster", (it) => {
    it.effect("whose DNS is wrong in any of 12 ways is told which, and no certificate is ordered", () =>
      Effect.gen(function* () {
        const domains = yield* DomainManager
        const target = yield* service
        yield* deployPage(target, "never seen")
        const zone = `wrong-${run}.com`
        const right = `IN CNAME ${region?.acme.cnameTarget}.`
        yield* publish(
          zone,
          [
            "@ IN A 203.0.113.9",
            'text IN TXT "exists"',
            "other IN A 203.0.113.9",
            `elsewhere IN CNAME other.${zone}.`,
            `dangling IN CNAME gone.${zone}.`,
            `loop IN CNAME round.${zone}.`,
            `round IN CNAME loop.${zone}.`,
            "wrong IN A 203.0.113.9",
            "proxied IN A 104.16.1.1",
            `www.caa ${right}`,
            'caa IN CAA 0 issue "ca.example.net"',
            `www.none ${right}`,
            'none IN CAA 0 issue ";"',
            `www.dns01 ${right}`,
            'dns01 IN CAA 0 issue "letsencrypt.org; validationmethods=dns-01"',
            `www.strange ${right}`,
            'strange IN CAA 128 tbs "Unknown"'
          ].join("\n")
        )
        const expected = {
          [`absent.${zone}`]: "NoSuchName",
          [`text.${zone}`]: "NoAddress",
          [`elsewhere.${zone}`]: "WrongAlias",
          [`dangling.${zone}`]: "DanglingAlias",
          [`loop.${zone}`]: "AliasLoop",
          [`wrong.${zone}`]: "WrongAddress",
          [zone]: "WrongAddress",
          [`proxied.${zone}`]: "Proxied",
          [`www.caa.${zone}`]: "CaaForbids",
          [`www.none.${zone}`]: "CaaForbids",
          [`www.dns01.${zone}`]: "CaaForbids",
          [`www.strange.${zone}`]: "CaaForbids"
        }
        const found = yield* Effect.forEach(Object.keys(expected), (name) =>
          Effect.flip(domains.add(target, DomainName.make(name))).pipe(
            Effect.map((error) => [name, error._tag === "DnsNotReady" ? error.problem : error.message])
          )
        )
        assert.deepStrictEqual(Object.fromEntries(found), expected)
        const api = yield* connectApi
        for (const kind of [kinds.Certificate, kinds.CertificateRequest, kinds.Order, kinds.Challenge])
          assert.lengthOf((yield* api.list({ kind, namespace: target.namespace, name: "" })).items, 0)
        yield* Effect.forEach(
          Object.keys(expected),
          (name) => domains.remove(target, DomainName.make(name)),
          {
            discard: true
          }
        )
      })
    )

    it.effect(
      "is served with a verified certificate, removed, and then needs a proof from others",
      () =>
        Effect.gen(function* () {
          const domains = yield* DomainManager
          const [target, other] = yield* Effect.all([service, service])
          yield* Effect.all([deployPage(target, "first"), deployPage(other, "second")], { concurrency: 2 })
          const zone = `shop-${run}.com`
          const host = DomainName.make(`www.${zone}`)
          const api = yield* connectApi
          assert.strictEqual((yield* Effect.flip(domains.add(target, host)))._tag, "DnsNotReady")
          for (const kind of [kinds.Certificate, kinds.Order])
            assert.lengthOf((yield* api.list({ kind, namespace: target.namespace, name: "" })).items, 0)
          yield* publish(zone, `www IN CNAME ${region?.acme.cnameTarget}.`)

          const begun = performance.now()
          const added = yield* domains.add(target, host)
          const { fingerprint, page } = yield* visit(host)
          const seconds = (performance.now() - begun) / 1000
          process.stdout.write(`verified TLS answer after ${seconds.toFixed(1)} s\n`)
          assert.strictEqual(added.state, "served")
          assert.include(page, "first")
          assert.isBelow(seconds, limitSeconds)

          // Again: nothing is asked for anew.
          yield* domains.add(target, host)
          assert.strictEqual((yield* visit(host)).fingerprint, fingerprint)
          assert.deepStrictEqual(
            (yield* domains.list(target.owner)).map((each) => [each.host, each.state, each.problem]),
            [[host, "served", undefined]]
          )
          assert.strictEqual((yield* Effect.flip(domains.add(other, host)))._tag, "DomainTaken")

          yield* domains.remove(target, host)
          yield* domains.remove(target, host)
          assert.strictEqual((yield* Effect.flip(domains.status(target, host)))._tag, "DomainNotFound")
          // Traefik hears of it a moment later.
          yield* Effect.flip(visit(host)).pipe(
            Effect.retry(Schedule.spaced("200 millis")),
            Effect.timeout("10 seconds")
          )

          const unproven = yield* Effect.flip(domains.add(other, host))
          assert.strictEqual(unproven._tag, "OwnershipUnproven")
          if (unproven._tag !== "OwnershipUnproven") return
          const { name, value } = unproven.set
          yield* publish(zone, `www IN CNAME ${region?.acme.cnameTarget}.\n${name}. IN TXT "${value}"`)
          assert.strictEqual((yield* domains.add(other, host)).state, "served")
          assert.include((yield* visit(host)).page, "second")
        }).pipe(Effect.scoped),
      120_000
    )
  })
})
