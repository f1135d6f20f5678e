/** The file of who may reach run nodes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { IpRange } from "@mcpdeploy/core/region/Address"
import { combine } from "@mcpdeploy/core/region/RegionInfrastructure"
import { webSourcesFile, webSourcesPart } from "@mcpdeploy/core/region/WebSources"
import * as Effect from "effect/Effect"

const ranges = (...all: ReadonlyArray<string>) => all.map((range) => IpRange.make(range))

describe("the firewall's sources", () => {
  it.effect("are written once, sorted, each once, by family; then only what has changed is told", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-sources-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const part = yield* webSourcesPart(directory)
      const first = combine("r1", [part], {
        webSources: ranges("198.51.100.0/24", "192.0.2.0/24", "192.0.2.0/24", "2001:db8::/32"),
        proxyProtocolSources: ranges("192.0.2.0/24")
      })
      assert.strictEqual((yield* first.apply(new Set())).made[0]?.action, "create")
      yield* first.verify
      assert.strictEqual(
        readFileSync(join(directory, webSourcesFile), "utf8").split("Do not edit.\n")[1],
        'region_web_sources_ipv4:\n  - "192.0.2.0/24"\n  - "198.51.100.0/24"\nregion_web_sources_ipv6:\n  - "2001:db8::/32"\nregion_proxy_protocol_sources:\n  - "192.0.2.0/24"\nregion_http_proxy_sources: []\n'
      )
      const next = combine("r1", [part], {
        webSources: ranges("192.0.2.0/24", "203.0.113.0/24"),
        httpProxySources: ranges("192.0.2.0/24")
      })
      const { changes } = yield* next.plan
      assert.deepStrictEqual(changes[0]?.diff, [
        ...["- 198.51.100.0/24", "- 2001:db8::/32", "- PROXY protocol from 192.0.2.0/24"],
        ...["+ 203.0.113.0/24", "+ X-Forwarded-For from 192.0.2.0/24"]
      ])
      yield* next.apply(new Set())
      yield* next.verify
      assert.deepStrictEqual(readdirSync(join(directory, "inventory/group_vars/all")), ["web_sources.yml"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
