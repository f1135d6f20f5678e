/** What each event means, seen through the whole server. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { headersFor, post, pushBody, requestOf, secretOf, sha, testServer } from "./support/TestServer.ts"

const github = secretOf("github", "acme/web")
const gitea = secretOf("gitea", "acme/web")

const Recorded = Schema.Struct({ headers: Schema.Record(Schema.String, Schema.String), body: Schema.String })
const giteaFixture = (name: string) =>
  Schema.decodeSync(Schema.fromJsonString(Recorded))(
    readFileSync(
      new URL(`../../provider-gitea/test/fixtures/mirror-sync-${name}.json`, import.meta.url),
      "utf8"
    )
  )
const githubFixture = (name: string): string =>
  readFileSync(new URL(`fixtures/github-${name}.json`, import.meta.url), "utf8")

const one = Effect.fnUntraced(function* (
  forge: "github" | "gitea",
  body: string,
  options: {
    readonly event?: string
    readonly request?: Record<string, unknown>
    readonly isForward?: boolean
    readonly secret?: string
  } = {}
) {
  const { recorded, url } = yield* testServer({
    requests: [requestOf(options.request)],
    ...(options.isForward === undefined ? {} : { isForward: options.isForward })
  })
  const secret = options.secret ?? (forge === "github" ? github : gitea)
  const headers = headersFor(forge, body, secret, { event: options.event ?? "push" })
  const sent = yield* post(`${url}/webhooks/${forge}`, headers, body)
  const action = recorded.pushes[0]?.push.action
  return {
    status: sent.status,
    answer: sent.body,
    verdict: action?._tag === "Filtered" ? action.rule : action?._tag,
    push: recorded.pushes[0]?.push
  }
})

const watches = (...paths: ReadonlyArray<string>) => ({ trigger: { paths } })

describe("a push", () => {
  const cases: Record<string, readonly [string, string | undefined, Record<string, unknown>?]> = {
    "to the branch deploys": [pushBody(), "Deploy"],
    "to another branch is filtered": [pushBody({ ref: "refs/heads/feature" }), "branch"],
    "of a tag of the branch's name deploys": [pushBody({ ref: "refs/tags/main" }), "Deploy"],
    "of a tag is filtered": [pushBody({ ref: "refs/tags/v1" }), "branch"],
    "to the default branch deploys HEAD": [
      pushBody(),
      "Deploy",
      { source: { repository: { url: "https://git.example/acme/web" }, ref: "HEAD" } }
    ],
    "of a commit by name is filtered": [
      pushBody(),
      "branch",
      { source: { repository: { url: "https://git.example/acme/web" }, ref: sha("b") } }
    ],
    "that deletes the branch is filtered": [pushBody({ after: sha("0"), more: { commits: [] } }), "deleted"],
    "with [skip ci] is filtered": [pushBody({ message: "text\n\n[SKIP CI] more" }), "skip-ci"],
    "with the trailer skip-checks is filtered": [
      pushBody({ message: "text\n\n\nskip-checks: true" }),
      "skip-ci"
    ],
    "with skip ci as plain words deploys": [pushBody({ message: "do not skip ci here" }), "Deploy"],
    "to a service that is switched off is filtered": [
      pushBody(),
      "disabled",
      { trigger: { enabled: false } }
    ],
    "of a path that is watched deploys": [
      pushBody({ paths: ["apps/web/a.ts"] }),
      "Deploy",
      watches("apps/web/**")
    ],
    "of no path that is watched is filtered": [
      pushBody({ paths: ["docs/a.md"], more: { forced: false } }),
      "paths",
      watches("apps/web/**")
    ],
    "of a path that is excepted is filtered": [
      pushBody({ paths: ["apps/a.md"], more: { forced: false } }),
      "paths",
      watches("apps/**", "!*.md")
    ],
    "of letters in another case is filtered": [
      pushBody({ paths: ["Apps/a"], more: { forced: false } }),
      "paths",
      watches("apps/**")
    ],
    "that was forced deploys whatever it lists": [
      pushBody({ paths: ["docs/a.md"], more: { forced: true } }),
      "Deploy",
      watches("apps/**")
    ],
    "of a new branch deploys whatever it lists": [
      pushBody({ before: sha("0"), paths: ["docs/a.md"], more: { forced: false } }),
      "Deploy",
      watches("apps/**")
    ],
    "that lists no commits deploys": [
      pushBody({ more: { forced: false, commits: [], head_commit: null } }),
      "Deploy",
      watches("apps/**")
    ],
    "whose newest commit is not listed deploys": [
      pushBody({ more: { forced: false, commits: [{ id: sha("c"), message: "", modified: ["docs/a"] }] } }),
      "Deploy",
      watches("apps/**")
    ],
    "of a commit with very many paths deploys": [
      pushBody({ more: { forced: false }, paths: Array.from({ length: 1000 }, (_, n) => `docs/${n}`) }),
      "Deploy",
      watches("apps/**")
    ]
  }
  for (const [name, [body, verdict, request]] of Object.entries(cases)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const seen = yield* one("github", body, request === undefined ? {} : { request })
        assert.strictEqual(seen.verdict, verdict, seen.answer)
        assert.strictEqual(seen.status, verdict === "Deploy" ? 202 : 200)
      })
    )
  }

  it.live("on Gitea a path filter holds only where no commit was thrown away", () =>
    Effect.gen(function* () {
      const body = pushBody({ paths: ["docs/a.md"], more: { total_commits: 1 } })
      const request = watches("apps/**")
      assert.strictEqual((yield* one("gitea", body, { request, isForward: true })).verdict, "paths")
      assert.strictEqual((yield* one("gitea", body, { request, isForward: false })).verdict, "Deploy")
      const cut = pushBody({ paths: ["docs/a.md"], more: { total_commits: 7 } })
      assert.strictEqual((yield* one("gitea", cut, { request, isForward: true })).verdict, "Deploy")
    })
  )

  it.live("keeps its place by the forge's clock, never in our future", () =>
    Effect.gen(function* () {
      const generationAt = Effect.fnUntraced(function* (pushedAt: number) {
        const body = pushBody({
          more: { repository: { full_name: "acme/web", default_branch: "main", pushed_at: pushedAt } }
        })
        return (yield* one("github", body)).push?.generation ?? Number.NaN
      })
      const now = Math.floor(Date.now() / 1000)
      assert.strictEqual(yield* generationAt(now - 3600), (now - 3600) * 1000 + 999)
      assert.isAtMost(yield* generationAt(now + 3600), Date.now())
      assert.isAtLeast(yield* generationAt(now + 3600), now * 1000)
    })
  )
})

describe("what the forges really send", () => {
  it.live("Gitea's push, new branch, forced push, tag and deleted branch of a mirror", () =>
    Effect.gen(function* () {
      const repository = { url: "https://git.example/acme-org/web" }
      const request = { source: { repository, ref: "main" } }
      for (const [name, status, verdict] of [
        ["push", 202, "Deploy"],
        ["forced-push", 202, "Deploy"],
        ["branch-created", 200, "branch"],
        ["tag-created", 200, "branch"],
        ["branch-deleted", 200, "branch"]
      ] as const) {
        const { body, headers } = giteaFixture(name)
        const { recorded, url } = yield* testServer({ requests: [requestOf(request)] })
        const own = headersFor("gitea", body, secretOf("gitea", "acme-org/web"))
        const sent = yield* post(
          `${url}/webhooks/gitea`,
          { ...headers, "x-gitea-signature": own["x-gitea-signature"] ?? "" },
          body
        )
        assert.strictEqual(sent.status, status, `${name}: ${sent.body}`)
        const action = recorded.pushes[0]?.push.action
        assert.strictEqual(action?._tag === "Filtered" ? action.rule : action?._tag, verdict, name)
        assert.strictEqual(recorded.pushes[0]?.push.deliveryId, headers["x-gitea-delivery"])
      }
    })
  )

  it.live("GitHub's push, tag, deleted tag, ping and delete (payloads of its documentation)", () =>
    Effect.gen(function* () {
      const repository = { url: "https://git.example/codertocat/hello-world" }
      const of = (ref: string) => ({
        secret: secretOf("github", "codertocat/hello-world"),
        request: { source: { repository, ref } }
      })
      const push = yield* one("github", githubFixture("branch-created"), of("master"))
      assert.deepStrictEqual([push.status, push.verdict], [202, "Deploy"])
      const tag = yield* one("github", githubFixture("tag-created"), of("simple-tag"))
      assert.deepStrictEqual([tag.status, tag.verdict], [202, "Deploy"])
      const gone = yield* one("github", githubFixture("tag-deleted"), of("refs/tags/simple-tag"))
      assert.deepStrictEqual([gone.status, gone.verdict], [200, "deleted"])
      const deleted = yield* one("github", githubFixture("delete"), { ...of("simple-tag"), event: "delete" })
      assert.deepStrictEqual([deleted.status, deleted.verdict], [200, "deleted"])
      const ping = yield* one("github", githubFixture("ping"), {
        secret: secretOf("github", "octocoders/hello-world"),
        event: "ping"
      })
      assert.deepStrictEqual([ping.status, ping.verdict], [200, undefined], ping.answer)
    })
  )
})
