/** Against CoreDNS with zone files: each way in which a DNS can be wrong. */
import { assert, describe, it } from "@effect/vitest"
import { type DnsProblem, type DnsRecord, DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import { judge, parseIssue } from "../src/domains/Caa.ts"
import { check } from "../src/domains/DnsCheck.ts"
import * as NameServers from "../src/domains/NameServers.ts"
import { program, start } from "./support/NameServer.ts"
import { titled } from "./support/TestCluster.ts"

const settings = {
  caaIdentity: "letsencrypt.org",
  cnameTarget: "cname.ml.ink",
  loadBalancerAddresses: ["198.51.100.7", "2001:db8::7"]
}

const shop = `
good       IN CNAME cname.ml.ink.
deep       IN CNAME alias
alias      IN CNAME cname.ml.ink.
both       IN A 198.51.100.7
both       IN AAAA 2001:db8:0::7
allowed    IN CNAME cname.ml.ink.
allowed    IN CAA 0 issue "letsencrypt.org; validationmethods=http-01"
text       IN TXT "exists"
elsewhere  IN CNAME host.example.net.
dangling   IN CNAME gone.example.net.
loop       IN CNAME round
round      IN CNAME loop
wrong      IN A 203.0.113.9
mixed      IN A 198.51.100.7
mixed      IN A 203.0.113.9
stale      IN A 198.51.100.7
stale      IN AAAA 2001:db8::bad
proxied    IN A 104.16.1.1
caa        IN A 198.51.100.7
caa        IN CAA 0 issue "ca.example.net"
none       IN A 198.51.100.7
none       IN CAA 0 issue ";"
dns01      IN A 198.51.100.7
dns01      IN CAA 0 issue "letsencrypt.org; validationmethods=dns-01"
strange    IN A 198.51.100.7
strange    IN CAA 128 tbs "Unknown"
parent     IN CAA 0 issue "ca.example.net"
www.parent IN CNAME cname.ml.ink.
`

const zones = {
  ".": "",
  "ml.ink": "cname IN A 198.51.100.7\ncname IN AAAA 2001:db8::7\nother IN A 198.51.100.8",
  "example.net": "host IN A 203.0.113.9",
  "shop.com": shop,
  "apex.com": "@ IN A 203.0.113.9"
}

/** Zones whose server fails, and one whose server says nothing. */
const faults = (port: number) =>
  `broken.com:${port} {\n bind 127.0.0.1\n template ANY ANY {\n rcode SERVFAIL\n }\n}\n` +
  `silent.com:${port} {\n bind 127.0.0.1\n erratic {\n drop 1\n }\n}\n`

const cname = (host: string): DnsRecord => ({ name: host, type: "CNAME", value: "cname.ml.ink" })

const wrong: ReadonlyArray<
  readonly [
    host: string,
    problem: DnsProblem,
    set: ReadonlyArray<DnsRecord>,
    remove?: ReadonlyArray<DnsRecord>
  ]
> = [
  ["absent.shop.com", "NoSuchName", [cname("absent.shop.com")]],
  ["text.shop.com", "NoAddress", [cname("text.shop.com")]],
  [
    "elsewhere.shop.com",
    "WrongAlias",
    [cname("elsewhere.shop.com")],
    [{ name: "elsewhere.shop.com", type: "CNAME", value: "host.example.net" }]
  ],
  [
    "dangling.shop.com",
    "DanglingAlias",
    [cname("dangling.shop.com")],
    [{ name: "dangling.shop.com", type: "CNAME", value: "gone.example.net" }]
  ],
  [
    "loop.shop.com",
    "AliasLoop",
    [cname("loop.shop.com")],
    [{ name: "loop.shop.com", type: "CNAME", value: "round.shop.com" }]
  ],
  [
    "wrong.shop.com",
    "WrongAddress",
    [cname("wrong.shop.com")],
    [{ name: "wrong.shop.com", type: "A", value: "203.0.113.9" }]
  ],
  [
    "apex.com",
    "WrongAddress",
    [
      { name: "apex.com", type: "A", value: "198.51.100.7" },
      { name: "apex.com", type: "AAAA", value: "2001:db8::7" }
    ],
    [{ name: "apex.com", type: "A", value: "203.0.113.9" }]
  ],
  ["mixed.shop.com", "MixedAddresses", [], [{ name: "mixed.shop.com", type: "A", value: "203.0.113.9" }]],
  ["stale.shop.com", "StaleIpv6", [], [{ name: "stale.shop.com", type: "AAAA", value: "2001:db8::bad" }]],
  ["proxied.shop.com", "Proxied", [cname("proxied.shop.com")]],
  ["caa.shop.com", "CaaForbids", [{ name: "caa.shop.com", type: "CAA", value: '0 issue "letsencrypt.org"' }]],
  [
    "none.shop.com",
    "CaaForbids",
    [{ name: "none.shop.com", type: "CAA", value: '0 issue "letsencrypt.org"' }]
  ],
  [
    "dns01.shop.com",
    "CaaForbids",
    [{ name: "dns01.shop.com", type: "CAA", value: '0 issue "letsencrypt.org"' }]
  ],
  [
    "www.parent.shop.com",
    "CaaForbids",
    [{ name: "parent.shop.com", type: "CAA", value: '0 issue "letsencrypt.org"' }]
  ],
  ["www.broken.com", "ServerFailure", []],
  ["www.silent.com", "NoAnswer", []]
]

describe.skipIf(program === undefined)(
  titled("a host's DNS", program !== undefined, "MCPDEPLOY_TEST_NAMESERVER"),
  () => {
    it.live(
      "is accepted when it leads to the region, and otherwise told with the record that mends it",
      () =>
        Effect.gen(function* () {
          const servers = NameServers.make([yield* start(zones, faults)])
          for (const host of ["good", "deep", "both", "allowed"])
            yield* check(servers, DomainName.make(`${host}.shop.com`), settings)
          const found = yield* Effect.forEach(
            wrong,
            ([host]) => Effect.flip(check(servers, DomainName.make(host), settings)),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual<ReadonlyArray<unknown>>(
            found.map(({ host, problem, remove, set }) => [host, problem, set, remove]),
            wrong.map(([host, problem, set, remove = []]) => [host, problem, set, remove])
          )
        }).pipe(Effect.scoped),
      30_000
    )

    it.live("is NoAnswer when no name server is there", () =>
      Effect.gen(function* () {
        const servers = NameServers.make(["127.0.0.1:1"])
        const error = yield* Effect.flip(check(servers, DomainName.make("www.shop.com"), settings))
        assert.strictEqual(error.problem, "NoAnswer")
      })
    )
  }
)

describe("a CAA set", () => {
  const permits = (...issues: ReadonlyArray<string>) =>
    judge(
      "shop.com",
      issues.map((issue) => ({ critical: 0, issue })),
      "letsencrypt.org"
    ) === undefined
  it("names the authority, among others, in any case, with parameters", () => {
    assert.isTrue(permits())
    assert.isTrue(permits("ca.example", "LetsEncrypt.org ; accounturi=https://x/1"))
    assert.isTrue(permits("letsencrypt.org;validationmethods=dns-01,http-01"))
    assert.isFalse(permits(";"))
    assert.isFalse(permits("letsencrypt.org.evil.com"))
    assert.isTrue(judge("shop.com", [{ critical: 0, issuewild: ";" }], "letsencrypt.org") === undefined)
    assert.deepStrictEqual(parseIssue(" A.b. ; X = 1").issuer, "a.b")
  })
  it("with an unknown critical property forbids", () => {
    const refusal = judge("shop.com", [{ critical: 128, ...{ tbs: "Unknown" } }], "letsencrypt.org")
    assert.deepStrictEqual(refusal?.remove, [{ name: "shop.com", type: "CAA", value: "128 tbs" }])
  })
})
