/** The client: token, errors, rate limit. */
import { CloudflareApi, layer } from "../src/api/CloudflareApi.ts"
import { reasonOf } from "../src/api/CloudflareFailure.ts"
import * as RateLimit from "../src/api/RateLimit.ts"
import {
  fetchAddressRanges,
  renderAnsible,
  renderNftables
} from "@mcpdeploy/provider-cloudflare/AddressRanges"
import { publishedRanges } from "../src/testing/PublishedRanges.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { desiredOf, makeWorld, token } from "./fixtures.ts"

describe("the token", () => {
  it.live("a wrong one is a typed error that names the permissions and not the token", () =>
    Effect.gen(function* () {
      for (const wrong of ["canary-wrong", "canary with spaces", "canary\nline"]) {
        const { plan } = yield* makeWorld({}, { token: Redacted.make(wrong), retries: 0 })
        const error = yield* Effect.flip(plan(desiredOf()))
        assert.include(["CloudflareUnauthorized", "CloudflareUnavailable"], error._tag)
        assert.notInclude(JSON.stringify(error) + error.message + error.stack, "canary")
        if (error._tag === "CloudflareUnauthorized") assert.include(error.message, "Zone › DNS › Edit")
      }
    })
  )

  it.live("does not go out without encryption, but on loopback", () =>
    Effect.gen(function* () {
      for (const baseUrl of [
        "http://api.cloudflare.com/client/v4",
        "http://127.0.0.1.example.com/",
        "ftp://x/"
      ]) {
        const build = Layer.build(layer({ token: Redacted.make(token), baseUrl }))
        const error = yield* Effect.flip(build)
        assert.strictEqual(error._tag, "CloudflareRejected")
        assert.notInclude(JSON.stringify(error) + error.message, token)
      }
    })
  )
})

describe("Cloudflare's errors", () => {
  const answer = (status: number, code?: number, headers: Record<string, string> = {}) => ({
    status,
    headers,
    body: JSON.stringify({ success: false, errors: code === undefined ? [] : [{ code, message: "m" }] })
  })
  const cases: ReadonlyArray<readonly [string, boolean, number, number?]> = [
    ["CloudflareUnauthorized", false, 403, 10000],
    ["CloudflareUnauthorized", false, 403, 9109],
    ["CloudflareUnauthorized", false, 400, 6003],
    ["CloudflareThrottled", true, 429, 971],
    ["CloudflareThrottled", true, 400, 10100],
    ["CloudflareThrottled", true, 429],
    ["CloudflareDuplicate", false, 400, 81053],
    ["CloudflareDuplicate", false, 400, 81057],
    ["CloudflareDuplicate", false, 400, 81058],
    ["CloudflareDuplicate", false, 400, 1003],
    ["CloudflareInUse", false, 412, 1005],
    ["CloudflareNotFound", false, 404, 81044],
    ["CloudflareNotFound", false, 404, 7003],
    ["CloudflareRejected", false, 400, 1002],
    ["CloudflareUnavailable", true, 500],
    ["CloudflareUnavailable", true, 503, 10001]
  ]
  for (const [tag, retryable, status, code] of cases) {
    it(`${status} with code ${code ?? "none"} is ${tag}`, () => {
      const reason = reasonOf("GET /x", answer(status, code), 0)
      assert.strictEqual(reason._tag, tag)
      assert.strictEqual(reason.retryable, retryable)
      assert.include(reason.message, "GET /x")
    })
  }

  it("Retry-After is seconds or a date", () => {
    const now = Date.parse("2026-01-01T00:00:00Z")
    const date = new Date(now + 30_000).toUTCString()
    for (const value of ["30", date]) {
      const reason = reasonOf("x", answer(429, 971, { "retry-after": value }), now)
      assert.deepInclude(reason, { _tag: "CloudflareThrottled", retryAfterSeconds: 30 })
    }
  })

  it.effect.prop("any body of an error is a typed reason", [Schema.String], ([body]) =>
    Effect.sync(() => assert.isString(reasonOf("x", { status: 400, headers: {}, body }, 0).message))
  )
})

describe("the rate limit", () => {
  it.effect("waits when the window's requests are used up, and when Cloudflare says that none is left", () =>
    Effect.gen(function* () {
      const limit = yield* RateLimit.make({ requests: 2, windowSeconds: 300 })
      yield* limit.take
      yield* limit.take
      const third = yield* Effect.forkChild(limit.take)
      yield* TestClock.adjust("299 seconds")
      assert.isUndefined(third.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(third)
      yield* limit.learn('"default";r=0;t=10')
      const fourth = yield* Effect.forkChild(limit.take)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fourth.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fourth)
    })
  )

  it.live("the double's limit is kept to without a refusal", () =>
    Effect.gen(function* () {
      const rateLimit = { requests: 6, windowSeconds: 0.3 }
      const { apply, double } = yield* makeWorld(
        { rateLimit: { requests: 6, windowSeconds: 0.25 } },
        { rateLimit }
      )
      yield* apply(desiredOf())
      assert.isTrue(double.calls.length > 18)
      assert.strictEqual(double.records.all().length, 5)
    })
  )

  it.effect.prop("any header is read without an exception", [Schema.String], ([header]) =>
    Effect.sync(() => assert.isArray(RateLimit.parseRateLimit(header)))
  )
})

describe("address ranges", () => {
  it.live("are fetched, checked and rendered", () =>
    Effect.gen(function* () {
      const { api } = yield* makeWorld()
      const ranges = yield* fetchAddressRanges().pipe(Effect.provide(api))
      assert.strictEqual(ranges.ipv4.length, 15)
      assert.strictEqual(ranges.ipv6.length, 7)
      const yaml = renderAnsible(ranges)
      assert.include(yaml, "cloudflare_ipv4:\n  - 103.21.244.0/22\n")
      assert.include(yaml, "cloudflare_ipv6:\n  - 2400:cb00::/32\n")
      assert.include(renderNftables(ranges), "define cloudflare_ipv4 = {\n  103.21.244.0/22,\n")
    })
  )

  it.effect("that would open or shut a node are refused", () =>
    Effect.gen(function* () {
      const { api } = yield* makeWorld()
      const real = Context.get(api, CloudflareApi)
      const suspect = [
        { ...publishedRanges, ipv4_cidrs: ["0.0.0.0/0"] },
        { ...publishedRanges, ipv4_cidrs: ["10.0.0.0/12"] },
        { ...publishedRanges, ipv4_cidrs: [] },
        { ...publishedRanges, ipv4_cidrs: ["103.21.244.0/22; drop"] },
        { ...publishedRanges, ipv6_cidrs: ["::/0"] },
        { ...publishedRanges, ipv6_cidrs: ["fd00::/32"] }
      ]
      for (const published of suspect) {
        const changed = { ...real, addressRanges: Effect.succeed(published) }
        const error = yield* Effect.flip(
          fetchAddressRanges().pipe(Effect.provideService(CloudflareApi, changed))
        )
        assert.strictEqual(error._tag, "AddressRangesSuspect")
      }
    })
  )
})
