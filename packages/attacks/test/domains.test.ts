/** Hostile hosts: another customer's, the platform's, and everybody's share of certificates. */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import {
  type DomainError,
  type DomainInvalid,
  DomainManager,
  parseDomainName
} from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import { unique } from "./support/Builds.ts"
import { deploy, describeAttacks, endpoints, ownerOf, project, region, targetOf } from "./support/Region.ts"
import { repository } from "./support/Repository.ts"

const page = {
  Dockerfile: 'FROM busybox\nCOPY . /www\nCMD ["sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
  "index.html": "hello\n"
}

/** A deployed service of a customer of its own. */
const service = Effect.fn("service")(function* (name: string) {
  const target = targetOf(yield* project(ownerOf(`${name}${unique()}`, "p")))
  const outcome = yield* deploy(target, yield* repository(page))
  assert.strictEqual(outcome._tag, "Deployed", JSON.stringify(outcome))
  return target
})

/** The answer to a host as a person types it. */
const added = (target: ServiceTarget, input: string) =>
  Effect.gen(function* () {
    const domains = yield* DomainManager
    return yield* domains.add(target, yield* parseDomainName(input))
  }).pipe(
    Effect.map(({ state }): string => state),
    Effect.catch((error: DomainError | DomainInvalid) => Effect.succeed<string>(error._tag))
  )

/** Publishes a zone in the DNS of this region, until the scope closes; the name server looks every second. */
const publish = (zone: string, records: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const file = join(endpoints.acme?.zones ?? "", `db.${zone}`)
      const soa = `@ IN SOA ns hostmaster ${Math.floor(Date.now() / 1000)} 60 60 60 1`
      writeFileSync(file, `$ORIGIN ${zone}.\n$TTL 1\n${soa}\n@ IN NS ns\nns IN A 127.0.0.1\n${records}\n`)
      return file
    }),
    (file) => Effect.sync(() => rmSync(file, { force: true }))
  ).pipe(Effect.andThen(Effect.sleep("2500 millis")))

const alias = `IN CNAME ${endpoints.acme?.cnameTarget}.`

describeAttacks(
  "a hostile host",
  () => {
    layer(region, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect(
        "is not another customer's, in no spelling, and not beside it (subdomain takeover, cert-manager GHSA-8rvj-mm4h-c258)",
        () =>
          Effect.gen(function* () {
            const [victim, attacker] = yield* Effect.all([service("v"), service("a")], { concurrency: 2 })
            const name = `shop-${unique()}`
            const zone = `${name}.com`
            yield* publish(zone, `www ${alias}\n* ${alias}\n@ IN A ${endpoints.acme?.loadBalancer}`)
            assert.strictEqual(yield* added(victim, `www.${zone}`), "served")
            for (const spelling of [
              `www.${zone}`,
              `WWW.${zone.toUpperCase()}`,
              `www.${zone}.`,
              `ｗｗｗ.${zone}`,
              `www。${zone}`,
              `w\u00adww.${zone}`,
              `www.${name}\u200b.com`
            ])
              assert.include(["DomainTaken", "DomainInvalid"], yield* added(attacker, spelling), spelling)
            // Its records lead here for every name, so a name alone proves nothing.
            for (const host of [`api.${zone}`, zone, `a.b.${zone}`, `www.www.${zone}`])
              assert.strictEqual(yield* added(attacker, host), "OwnershipUnproven", host)
            for (const host of [
              `www.${zone}/x`,
              `www.${zone}:80`,
              `x@www.${zone}`,
              `*.${zone}`,
              `www.${zone}\n`,
              `www.${zone} `
            ])
              assert.strictEqual(yield* added(attacker, host), "DomainInvalid", JSON.stringify(host))
            const domains = yield* DomainManager
            const host = yield* parseDomainName(`www.${zone}`)
            yield* domains.remove(attacker, host)
            assert.strictEqual((yield* Effect.flip(domains.status(attacker, host)))._tag, "DomainNotFound")
            assert.deepStrictEqual(yield* domains.list(attacker.owner), [])
            assert.strictEqual((yield* domains.status(victim, host)).state, "served")
          }).pipe(Effect.scoped),
        120_000
      )

      it.effect(
        "named by a squatter first goes to who owns its DNS; one customer cannot name them all",
        () =>
          Effect.gen(function* () {
            const [owner, squatter] = yield* Effect.all([service("o"), service("s")], { concurrency: 2 })
            const domains = yield* DomainManager
            const zone = `squat-${unique()}.com`
            const host = yield* parseDomainName(`www.${zone}`)
            assert.strictEqual(yield* added(squatter, host), "DnsNotReady")
            const unproven = yield* Effect.flip(domains.add(owner, host))
            assert.strictEqual(unproven._tag, "OwnershipUnproven")
            if (unproven._tag !== "OwnershipUnproven") return
            // A proof is its asker's: the squatter's own does not help another, nor the other's the squatter.
            yield* publish(zone, `www ${alias}\n_mcpdeploy.www IN TXT "${unproven.set.value}"`)
            assert.strictEqual(yield* added(owner, host), "served")
            assert.strictEqual(yield* added(squatter, host), "DomainTaken")

            const names = Array.from({ length: 5 }, (_, index) => `h${index}.${unique()}.com`)
            for (const each of names) assert.strictEqual(yield* added(squatter, each), "DnsNotReady")
            assert.strictEqual(yield* added(squatter, `more.${unique()}.com`), "TooManyDomains")
            assert.strictEqual(yield* added(squatter, names[0] ?? ""), "DnsNotReady")
          }).pipe(Effect.scoped),
        120_000
      )

      it.effect("is not the platform's own, nor a suffix that everybody has (deny the platform apex)", () =>
        Effect.gen(function* () {
          const attacker = targetOf(ownerOf(`p${unique()}`, "p"))
          for (const host of [
            "cname.region.example",
            "CNAME.Region.Example.",
            "x.cname.region.example",
            "cname.region\u00ad.example",
            "web-abcdefghij234567.localhost",
            "x.localhost",
            "grafana.localhost",
            "kubernetes.default.svc.cluster.local",
            "registry.internal",
            "co.uk",
            "github.io",
            "xn--a.com"
          ])
            assert.strictEqual(yield* added(attacker, host), "DomainReserved", host)
          for (const host of [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "0x7f.1",
            "2130706433",
            "1.1",
            "a..com",
            "..",
            "-",
            "a".repeat(64) + ".com"
          ])
            assert.strictEqual(yield* added(attacker, host), "DomainInvalid", host)
        })
      )
    })
  },
  "acme"
)
