/**
 * Against the real Gitea and cluster of a region: `MCPDEPLOY_TEST_REGION` names the region.json of one that was brought up
 * `--with gitea`.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { GitMirror, MirrorName, MirrorSpec } from "@mcpdeploy/core/GitMirror"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as GiteaApi from "@mcpdeploy/provider-gitea/GiteaApi"
import * as GiteaMirror from "@mcpdeploy/provider-gitea/GiteaMirror"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"

const Region = Schema.fromJsonString(
  Schema.Struct({
    kubeconfig: Schema.String,
    gitea: Schema.optionalKey(Schema.Struct({ url: Schema.String, tokenFile: Schema.String }))
  })
)
const file = process.env["MCPDEPLOY_TEST_REGION"]
const region = file === undefined ? undefined : Schema.decodeSync(Region)(readFileSync(file, "utf8"))
const gitea = region?.gitea
const isReady = gitea !== undefined
const titled = (title: string) =>
  isReady ? title : `${title} (SKIPPED: MCPDEPLOY_TEST_REGION names no region with Gitea)`

const url = gitea?.url ?? "http://127.0.0.1:1"
const token = Redacted.make(gitea === undefined ? "" : readFileSync(gitea.tokenFile, "utf8"))
const run = Date.now().toString(36)
const webhookUrl = "http://127.0.0.1:9/webhooks/gitea"

const mirrors = (change: Partial<GiteaMirror.GiteaMirrorConfig> = {}) =>
  GiteaMirror.layer(
    {
      ...{ url, token, webhookUrl, webhookSecret: Redacted.make("master") },
      ...{ namespace: `test-mirrors-${run}`, ...change }
    },
    new RegionConfig({
      ...(region === undefined ? {} : { kubeconfig: region.kubeconfig }),
      platformDomain: PlatformDomain.make("localhost")
    })
  ).pipe(
    Layer.provide(SecretStore.layer({ TOKEN: Redacted.value(token) })),
    Layer.provideMerge(NodeServices.layer)
  )

const api = GiteaApi.make(url, token)

/** A repository of one commit in Gitea itself stands for one on another forge. It is private: it needs credentials. */
const source = Effect.fnUntraced(function* (name: string) {
  const client = yield* api
  yield* GiteaApi.send(client, "source", "POST", "/user/repos", {
    body: { name, auto_init: true, default_branch: "main", private: true }
  })
  return RepositoryUrl.make(`${url}/mcpdeploy/${name}.git`)
})

let count = 0
const freshSpec = Effect.gen(function* () {
  const name = `web-${run}-${count++}`
  return new MirrorSpec({
    name: MirrorName.make(`mirrors-${run}/${name}`),
    source: yield* source(name),
    credentials: yield* Schema.decodeEffect(MirrorSpec.fields.credentials.schema)({
      username: "mcpdeploy",
      password: "env:TOKEN"
    }),
    intervalMinutes: 10
  })
})

describe.skipIf(!isReady)(titled("GiteaMirror on a real Gitea"), () => {
  it.effect("added twice, it is there once", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const mirror = yield* GitMirror
      const first = yield* mirror.add(spec)
      assert.includeMembers([...first.changes], ["recorded", "repository", "webhook"])
      assert.deepStrictEqual([...(yield* mirror.add(spec)).changes], [])
      assert.lengthOf(yield* GiteaApi.hooks(yield* api, spec.name), 1)
    }).pipe(Effect.scoped, Effect.provide(mirrors()))
  )

  it.effect("drift of the webhook and of the settings is repaired", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const mirror = yield* GitMirror
      const client = yield* api
      yield* mirror.add(spec)
      const [hook] = yield* GiteaApi.hooks(client, spec.name)
      const path = `/repos/${spec.name}`
      yield* GiteaApi.send(client, "drift", "PATCH", `${path}/hooks/${hook?.id}`, { body: { active: false } })
      yield* GiteaApi.send(client, "drift", "PATCH", path, { body: { mirror_interval: "3h0m0s" } })
      assert.deepStrictEqual([...(yield* mirror.add(spec)).changes], ["settings", "webhook"])
      assert.deepStrictEqual([...(yield* mirror.add(spec)).changes], [])
    }).pipe(Effect.scoped, Effect.provide(mirrors()))
  )

  it.effect("removed, nothing is left; removed again, nothing happens", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const mirror = yield* GitMirror
      yield* mirror.add(spec)
      yield* mirror.remove(spec.name)
      yield* mirror.remove(spec.name)
      assert.isUndefined(yield* GiteaApi.repository(yield* api, spec.name))
      assert.isFalse((yield* mirror.list).some((each) => each.spec.name === spec.name))
      assert.strictEqual((yield* Effect.flip(mirror.sync(spec.name)))._tag, "MirrorNotFound")
    }).pipe(Effect.scoped, Effect.provide(mirrors()))
  )

  it.effect("what Gitea lost is rebuilt from the cluster alone", () =>
    Effect.gen(function* () {
      const specs = [yield* freshSpec, yield* freshSpec]
      const mirror = yield* GitMirror
      const client = yield* api
      yield* Effect.forEach(specs, mirror.add)
      yield* Effect.forEach(specs, ({ name }) => GiteaApi.send(client, "loss", "DELETE", `/repos/${name}`))
      const lost = (yield* mirror.list).filter(({ state }) => state === "missing")
      assert.sameMembers(
        lost.map(({ spec }) => spec.name),
        specs.map(({ name }) => name)
      )
      const rebuilt = yield* mirror.rebuild(() => Effect.void)
      const changed = rebuilt.filter(({ changes }) => changes.length > 0)
      assert.sameMembers(
        changed.map(({ spec }) => spec.name),
        specs.map(({ name }) => name)
      )
      for (const { name } of specs) assert.lengthOf(yield* GiteaApi.hooks(client, name), 1)
      yield* Effect.forEach(specs, ({ name }) => mirror.sync(name))
    }).pipe(Effect.scoped, Effect.provide(mirrors({ namespace: `test-rebuild-${run}` })))
  )

  it.effect("a repository that is not the mirror is left as it is", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const other = yield* freshSpec
      const mirror = yield* GitMirror
      yield* mirror.add(spec)
      const error = yield* Effect.flip(mirror.add(new MirrorSpec({ ...other, name: spec.name })))
      assert.strictEqual(error._tag, "MirrorConflict")
      const taken = MirrorName.make(`mcpdeploy/${other.name.split("/")[1]}`)
      const plain = yield* Effect.flip(mirror.add(new MirrorSpec({ ...other, name: taken })))
      assert.strictEqual(plain._tag, "MirrorConflict")
    }).pipe(Effect.scoped, Effect.provide(mirrors()))
  )

  it.effect("a source that is not there is refused with Gitea's words, and not retried", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const missing = new MirrorSpec({ ...spec, source: RepositoryUrl.make(`${url}/mcpdeploy/none.git`) })
      const mirror = yield* GitMirror
      const error = yield* Effect.flip(mirror.add(missing))
      assert.strictEqual(error._tag, "MirrorRefused")
      assert.isFalse((yield* mirror.list).some((each) => each.spec.name === spec.name))
      assert.isUndefined(yield* GiteaApi.repository(yield* api, spec.name))
      assert.strictEqual((yield* mirror.add(spec)).changes[0], "recorded")
      assert.notInclude(error.message, Redacted.value(token))
    }).pipe(Effect.scoped, Effect.provide(mirrors()))
  )

  it.effect("a wrong token is said in one line that does not show it", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const error = yield* Effect.flip((yield* GitMirror).add(spec))
      assert.strictEqual(error._tag, "MirrorRefused")
      assert.include(error.message, "token is not accepted")
      assert.notInclude(error.message, "0000000000")
    }).pipe(Effect.scoped, Effect.provide(mirrors({ token: Redacted.make("0".repeat(40)) })))
  )

  it.effect("Gitea down is retryable", () =>
    Effect.gen(function* () {
      const spec = yield* freshSpec
      const error = yield* Effect.flip((yield* GitMirror).add(spec))
      assert.strictEqual(error._tag, "MirrorUnavailable")
      assert.isTrue(error.retryable)
    }).pipe(Effect.scoped, Effect.provide(mirrors({ url: "http://127.0.0.1:9" })))
  )
})

describe("MirrorSpec", () => {
  const isName = Schema.is(MirrorName)
  it("takes no name that is a path, a suffix that Gitea reserves, or another's", () => {
    for (const name of ["a/b", "acme-org/web.app", "a/_"]) assert.isTrue(isName(name), name)
    for (const name of [
      ...["a", "a/b/c", "/b", "a/", "../b", "a/..", "a/.", "A/b", "a/b.git", "a/b.wiki", "a b/c", "a/b?x"],
      ...["a/b#", "a/%2e%2e", "-a/b", "a/b\n", "a\u0000/b"]
    ])
      assert.isFalse(isName(name), JSON.stringify(name))
  })
  it("takes no source but http and https, and no credentials in it", () => {
    const decode = Schema.decodeUnknownOption(MirrorSpec)
    for (const bad of [
      "file:///etc",
      "ssh://h/x",
      "https://u:p@h/x",
      "git@h:x",
      "https://h/x?y",
      "https://h"
    ])
      assert.strictEqual(decode({ name: "a/b", source: bad, intervalMinutes: 5 })._tag, "None", bad)
  })
  it("derives a secret for each mirror", () => {
    const master = Redacted.make("master")
    const [one, other] = [MirrorName.make("a/b"), MirrorName.make("a/c")].map((name) =>
      Redacted.value(GiteaMirror.webhookSecret(master, name))
    )
    assert.match(one ?? "", /^[0-9a-f]{64}$/)
    assert.notStrictEqual(one, other)
  })
})
