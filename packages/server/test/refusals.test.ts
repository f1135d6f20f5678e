import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { headersFor, masters, post, previous, pushBody, secretOf, testServer } from "./support/TestServer.ts"

const github = secretOf("github", "acme/web")
const gitea = secretOf("gitea", "acme/web")
const body = pushBody()

type Headers = Record<string, string>
const without = (headers: Headers, ...names: ReadonlyArray<string>): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)))

const hmac = (algorithm: string, secret: string) => createHmac(algorithm, secret).update(body).digest("hex")

describe("signatures", () => {
  const cases: Record<string, readonly [string, Headers, string?]> = {
    "for another body": ["/webhooks/github", headersFor("github", `${body} `, github)],
    "with another secret": ["/webhooks/github", headersFor("github", body, "another-secret-0123456")],
    "with the master itself": ["/webhooks/github", headersFor("github", body, masters.github)],
    "with an empty secret": ["/webhooks/github", headersFor("github", body, "")],
    "of another repository": [
      "/webhooks/github",
      headersFor("github", body, secretOf("github", "acme/other"))
    ],
    "with the other forge's secret": ["/webhooks/github", headersFor("github", body, gitea)],
    "that is missing": [
      "/webhooks/github",
      without(headersFor("github", body, github), "x-hub-signature-256")
    ],
    "that is empty": [
      "/webhooks/github",
      { ...headersFor("github", body, github), "x-hub-signature-256": "" }
    ],
    "that is a prefix alone": [
      "/webhooks/github",
      { ...headersFor("github", body, github), "x-hub-signature-256": "sha256=" }
    ],
    "of SHA-1": [
      "/webhooks/github",
      {
        ...headersFor("github", body, github),
        "x-hub-signature-256": `sha1=${hmac("sha1", github)}`,
        "x-hub-signature": `sha1=${hmac("sha1", github)}`
      }
    ],
    "of SHA-512": [
      "/webhooks/github",
      { ...headersFor("github", body, github), "x-hub-signature-256": `sha512=${hmac("sha512", github)}` }
    ],
    "without its prefix": [
      "/webhooks/github",
      { ...headersFor("github", body, github), "x-hub-signature-256": hmac("sha256", github) }
    ],
    "with digits too many": [
      "/webhooks/github",
      { ...headersFor("github", body, github), "x-hub-signature-256": `sha256=${hmac("sha256", github)}00` }
    ],
    "of GitHub's kind at Gitea's route": [
      "/webhooks/gitea",
      without(headersFor("gitea", body, gitea), "x-gitea-signature")
    ],
    "of Gitea at GitHub's route": ["/webhooks/github", headersFor("gitea", body, gitea)],
    "with an empty secret, as Gitea sends it where none is set": [
      "/webhooks/gitea",
      { ...headersFor("gitea", body, gitea), "x-gitea-signature": "" }
    ]
  }
  for (const [name, [path, headers]] of Object.entries(cases)) {
    it.live(`${name} are refused`, () =>
      Effect.gen(function* () {
        const { recorded, url } = yield* testServer()
        const sent = yield* post(`${url}${path}`, headers, body)
        assert.strictEqual(sent.status, 401, sent.body)
        assert.lengthOf(recorded.pushes, 0)
      })
    )
  }

  it.live("the secret before a rotation still counts, a repository's own replaces the derived one", () =>
    Effect.gen(function* () {
      const { url } = yield* testServer()
      const old = headersFor("gitea", body, secretOf("gitea", "acme/web", previous))
      assert.strictEqual((yield* post(`${url}/webhooks/gitea`, old, body)).status, 202)
      const own = pushBody({ repository: "Acme/Own" })
      const withOwn = headersFor("github", own, "own-secret-0123456789")
      assert.strictEqual((yield* post(`${url}/webhooks/github`, withOwn, own)).status, 200)
      const withDerived = headersFor("github", own, secretOf("github", "acme/own"))
      assert.strictEqual((yield* post(`${url}/webhooks/github`, withDerived, own)).status, 401)
    })
  )

  it.live("whoever holds one repository's secret cannot speak for another", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      // The stranger's repository is named as well, so that his secret is tried.
      const mixed = pushBody({
        more: {
          decoy: { full_name: "mallory/own" },
          repository: { full_name: "acme/web", default_branch: "main" }
        }
      })
      const his = headersFor("github", mixed, secretOf("github", "mallory/own"))
      const sent = yield* post(`${url}/webhooks/github`, his, mixed)
      assert.strictEqual(sent.status, 401, sent.body)
      // A clone URL in the payload counts for nothing.
      const elsewhere = pushBody({
        more: { repository: { full_name: "mallory/own", clone_url: "https://git.example/acme/web.git" } }
      })
      const signed = headersFor("github", elsewhere, secretOf("github", "mallory/own"))
      const ignored = yield* post(`${url}/webhooks/github`, signed, elsewhere)
      assert.deepStrictEqual([ignored.status, JSON.parse(ignored.body).outcome], [200, "ignored"])
      assert.lengthOf(recorded.pushes, 0)
    })
  )
})

describe("payloads that are signed", () => {
  const cases: Record<string, readonly [string | Buffer, number, string?]> = {
    "but not JSON": ['{"full_name": "acme/web", ', 400],
    "but not UTF-8": [
      Buffer.concat([Buffer.from('{"full_name":"acme/web","x":"'), Buffer.from([0xff]), Buffer.from('"}')]),
      400
    ],
    "but lack fields": [JSON.stringify({ repository: { full_name: "acme/web" } }), 400],
    "but are another event": [JSON.stringify({ zen: "x", repository: { full_name: "acme/web" } }), 400],
    "but have a commit that is none": [pushBody({ after: "HEAD" }), 400],
    "but hold an array": [JSON.stringify([{ full_name: "acme/web" }]), 400],
    "of an event that nobody knows": [body, 200, "workflow_job"],
    "of a repository that nobody deploys": [pushBody({ repository: "acme/unknown" }), 200]
  }
  for (const [name, [payload, status, event = "push"]] of Object.entries(cases)) {
    it.live(`${name} deploy nothing`, () =>
      Effect.gen(function* () {
        const { recorded, url } = yield* testServer()
        const repository = payload.includes("acme/unknown") ? "acme/unknown" : "acme/web"
        const headers = headersFor("github", payload, secretOf("github", repository), { event })
        const sent = yield* post(`${url}/webhooks/github`, headers, payload)
        assert.strictEqual(sent.status, status, sent.body)
        assert.lengthOf(recorded.pushes, 0)
        assert.isBelow(sent.body.length, 500)
      })
    )
  }

  it.live("without an event or a usable delivery id are refused", () =>
    Effect.gen(function* () {
      const { recorded, url } = yield* testServer()
      const headers = headersFor("github", body, github)
      for (const changed of [
        without(headers, "x-github-delivery"),
        { ...headers, "x-github-delivery": "a b" },
        { ...headers, "x-github-delivery": "x".repeat(65) }
      ]) {
        assert.strictEqual((yield* post(`${url}/webhooks/github`, changed, body)).status, 400)
      }
      assert.strictEqual(
        (yield* post(`${url}/webhooks/github`, without(headers, "x-github-event"), body)).status,
        200
      )
      assert.lengthOf(recorded.pushes, 0)
    })
  )
})
