/** Hostile names and specifications: another customer's namespace, service, host, images, and the worker's own secrets. */
import { assert, it, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { decodeDeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { PlatformDomain, platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import { Registry } from "@mcpdeploy/core/Registry"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { Projects } from "@mcpdeploy/core/Projects"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import { unique } from "./support/Builds.ts"
import { deploy, describeAttacks, ownerOf, project, region, targetOf } from "./support/Region.ts"
import { repository } from "./support/Repository.ts"

const page = {
  Dockerfile: 'FROM busybox\nCOPY . /www\nCMD ["sh", "-c", "exec httpd -f -p $PORT -h /www"]\n',
  "index.html": "hello\n"
}

const request = {
  owner: { user: "u", project: "p" },
  service: "web",
  source: { repository: { url: "https://git.example/a/b" }, ref: "main" },
  build: {},
  run: { port: 8080 },
  generation: 1
}

const refused = (changes: object) => Effect.flip(decodeDeployRequest({ ...request, ...changes }))

it.effect("names cannot leave the places they are put in (CVE-2026-27130)", () =>
  Effect.gen(function* () {
    yield* decodeDeployRequest(request)
    const names = [
      ...[
        "../other",
        "a/b",
        "a.b",
        "A",
        "a_b",
        "-a",
        "a-",
        "",
        "a\u0000b",
        "a\nb",
        "a b",
        "a;id",
        "$(id)",
        "%2e%2e"
      ],
      ...["а", "a\u200bb", "x".repeat(64), "kube-system/x", "a'b", 'a"b', "{{a}}", "--flag"]
    ]
    for (const name of names) {
      yield* refused({ owner: { user: name, project: "p" } })
      yield* refused({ owner: { user: "u", project: name } })
      yield* refused({ service: name })
    }
    for (const path of ["../x", "/etc", "a/../../b", "a\\..\\b", ".git/config", "a\u0000"]) {
      yield* refused({ source: { ...request.source, rootDirectory: path } })
      yield* refused({ build: { dockerfile: path } })
    }
    for (const url of [
      "ext::sh -c id",
      "file://host/x",
      "ssh://-oProxyCommand=id/x",
      "https://user:pass@git.example/a",
      "https://git.example/a%0aHost:x",
      "git@git.example:a/b"
    ])
      yield* refused({ source: { repository: { url }, ref: "main" } })
    for (const ref of ["--upload-pack=id", "a..b", "-x", "a b", "HEAD@{1}"])
      yield* refused({ source: { ...request.source, ref } })
    for (const env of [{ "A=B": "" }, { "A\nB": "" }, { "A\u0000": "" }, { PORT: "1" }, { A: "a\u0000" }])
      yield* refused({ run: { port: 1, env } })
    for (const secret of ["plain", "env:A\nB", "file:relative", "http://x", "file:/a\nb"])
      yield* refused({ run: { port: 1, secrets: { A: secret } } })
    yield* refused({ run: { port: 1, hostNetwork: true } })
    yield* refused({ run: { port: 1, healthCheck: { path: "/ HTTP/1.1\r\nHost: x" } } })
  })
)

it.effect("no service has the host of another, and finding one that has takes longer than there is", () =>
  Effect.sync(() => {
    const domain = PlatformDomain.make("ml.ink")
    const host = platformHost(targetOf(ownerOf("victim", "shop")), domain)
    // 16 characters of base32: 2^80 names of projects to try.
    assert.match(host, /^web-[a-z2-7]{16}\.ml\.ink$/)
    for (const other of [
      targetOf(ownerOf("victim-shop", "web")),
      targetOf(ownerOf("attacker", "shop")),
      targetOf(ownerOf("victim", "shop"), host.split(".")[0] ?? "")
    ])
      assert.notStrictEqual(platformHost(other, domain), host)
  })
)

describeAttacks("a hostile owner", () => {
  layer(region, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("gets nothing of a namespace that bears the same name (dp-{user}-{project} collides)", () =>
      Effect.gen(function* () {
        const name = `n${unique()}`
        const victim = targetOf(yield* project(ownerOf(name, "b-c")))
        const attacker = targetOf(ownerOf(`${name}-b`, "c"))
        assert.strictEqual(victim.namespace, attacker.namespace)
        const source = yield* repository(page)
        const first = yield* deploy(victim, source)
        assert.strictEqual(first._tag, "Deployed", first._tag === "Failed" ? first.error.message : "")

        const cluster = yield* ClusterApplier
        const projects = yield* Projects
        const receipts = yield* Receipts
        const workloads = yield* Workloads
        const domains = yield* DomainManager
        const outcome = yield* deploy(attacker, source)
        assert.include(
          outcome._tag === "Failed" ? outcome.error.message : outcome._tag,
          "belongs to another owner"
        )
        const [receipt] = yield* receipts.history(victim)
        assert.isDefined(receipt)
        if (receipt === undefined) return
        const attempts = {
          claim: cluster.claim(attacker),
          status: workloads.status(attacker),
          history: receipts.history(attacker),
          logs: Stream.runCollect(workloads.logs(attacker, { follow: false, tail: 10 })),
          record: receipts.record(attacker, receipt),
          restore: cluster.restore(attacker, receipt, receipt.generation),
          delete: cluster.delete(attacker),
          deleteProject: projects.delete(attacker.owner),
          domain: domains.add(attacker, DomainName.make("www.example.com")),
          domainStatus: domains.status(attacker, DomainName.make("www.example.com"))
        }
        for (const [call, attempt] of Object.entries<Effect.Effect<unknown, { readonly message: string }>>(
          attempts
        )) {
          const error = yield* Effect.flip(attempt).pipe(Effect.orDie)
          assert.match(error.message, /belongs to another owner|is no domain of/, call)
        }
        assert.strictEqual((yield* workloads.status(victim)).commit, receipt.commit)
      }).pipe(Effect.scoped)
    )

    it.effect("reads no secret of the worker, by variable or by file (confused deputy)", () =>
      Effect.gen(function* () {
        const attacker = targetOf(yield* project(ownerOf(`s${unique()}`, "p")))
        const source = yield* repository(page)
        for (const ref of [
          "env:PATH",
          "env:KUBECONFIG",
          "file:/etc/shadow",
          "file:/proc/self/environ",
          "file:/../etc/shadow"
        ]) {
          const outcome = yield* deploy(attacker, source, { run: { secrets: { LOOT: SecretRef.make(ref) } } })
          assert.strictEqual(
            outcome._tag === "Failed" ? outcome.error._tag : outcome._tag,
            "SecretUnavailable",
            ref
          )
        }
      }).pipe(Effect.scoped)
    )

    it.effect("cannot take a folder outside the repository for the service's (CVE-2024-32021)", () =>
      Effect.gen(function* () {
        const attacker = targetOf(yield* project(ownerOf(`f${unique()}`, "p")))
        const source = yield* repository(page, { out: "/etc", up: "../..", loop: "loop" })
        for (const rootDirectory of ["out", "up", "loop", "out/ssl"]) {
          const outcome = yield* deploy(attacker, source, { rootDirectory })
          assert.strictEqual(outcome._tag, "Failed", rootDirectory)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("leads the registry's client nowhere else (paths with .. and escapes)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const tag = "a".repeat(40)
        for (const repository of [
          "dp-a-b/../dp-victim-shop/web",
          "dp-a-b/%2e%2e/dp-victim-shop/web",
          "../v2/_catalog",
          "dp-a-b/web?n=1",
          "dp-a-b/web#",
          "dp-a-b//web",
          "/dp-a-b/web",
          "http://169.254.169.254/x"
        ])
          for (const call of [
            registry.resolve({ registry: internalRegistry, repository }, tag),
            registry.list({ registry: internalRegistry, repository })
          ])
            assert.strictEqual(
              (yield* Effect.flip<unknown, { readonly reason: { readonly _tag: string } }, never>(call))
                .reason._tag,
              "InvalidReference",
              repository
            )
        for (const reference of ["../tags/list", "a/b", "%2e%2e", "a b", "a?b", `sha256:${"g".repeat(64)}`])
          assert.strictEqual(
            (yield* Effect.flip(
              registry.delete({ registry: internalRegistry, repository: "dp-a-b/web" }, reference)
            )).reason._tag,
            "InvalidReference",
            reference
          )
      })
    )
  })
})
