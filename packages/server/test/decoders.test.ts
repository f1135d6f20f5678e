/** What strangers choose: no input breaks a decoder, and nothing but the right bytes is signed. */
import { createHmac, createSecretKey } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Forge } from "@mcpdeploy/server/Forge"
import { decodeEvent } from "../src/ForgeEvent.ts"
import { arrivals, generationOf } from "../src/Generation.ts"
import { namesIn } from "../src/RepositoryName.ts"
import { isSigned } from "../src/Signature.ts"
import { WebhookSecrets } from "@mcpdeploy/server/WebhookSecrets"
import { webhookSecret } from "@mcpdeploy/provider-gitea/GiteaMirror"
import { MirrorName } from "@mcpdeploy/core/GitMirror"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { pushBody, sha } from "./support/TestServer.ts"

const Secret = Schema.String.pipe(Schema.check(Schema.isMinLength(1)))
const Bytes = Schema.Uint8Array
const Name = Schema.Literals(["acme/web", "a.b/c-d_e", "0/x.y"])

const headerOf = (forge: Forge, secret: string, body: Uint8Array) =>
  `${forge === "github" ? "sha256=" : ""}${createHmac("sha256", secret).update(body).digest("hex")}`
const keyOf = (secret: string) => createSecretKey(Buffer.from(secret))

describe("signatures", () => {
  it.prop(
    "the forge's own signature is accepted with each of the keys",
    [Forge, Secret, Secret, Bytes],
    ([forge, a, b, body]) => {
      const keys = [keyOf(a), keyOf(b)]
      assert.isTrue(isSigned(forge, headerOf(forge, a, body), body, keys))
      assert.isTrue(isSigned(forge, headerOf(forge, b, body), body, keys))
    }
  )

  it.prop(
    "a changed byte, another secret, no key and an empty key are not",
    [Forge, Secret, Bytes, Schema.Int],
    ([forge, secret, body, at]) => {
      const header = headerOf(forge, secret, body)
      const changed = Uint8Array.from(body.length === 0 ? [0] : body)
      if (body.length > 0)
        changed[Math.abs(at) % body.length] = (changed[Math.abs(at) % body.length] ?? 0) ^ 1
      assert.isFalse(isSigned(forge, header, changed, [keyOf(secret)]))
      assert.isFalse(isSigned(forge, header, body, [keyOf(`${secret}x`)]))
      assert.isFalse(isSigned(forge, header, body, []))
      const empty = createSecretKey(Buffer.alloc(0))
      assert.isFalse(isSigned(forge, headerOf(forge, "", body), body, [empty]))
    }
  )

  it.prop(
    "any other header is not, and breaks nothing",
    [Forge, Schema.String, Bytes, Secret],
    ([forge, header, body, secret]) => {
      assert.isFalse(isSigned(forge, header, body, [keyOf(secret)]))
    }
  )

  it.prop(
    "the secret of a mirror is the one that its webhook was given",
    [Name, Secret],
    ([name, master]) => {
      const secrets = WebhookSecrets.make(new Map([["gitea", [master]]]))
      const given = Redacted.value(webhookSecret(Redacted.make(master), MirrorName.make(name)))
      assert.isTrue(
        isSigned(
          "gitea",
          headerOf("gitea", given, Buffer.from("{}")),
          Buffer.from("{}"),
          secrets.keysOf("gitea", name)
        )
      )
      assert.deepStrictEqual(secrets.keysOf("github", name), [])
    }
  )
})

describe("names in a body", () => {
  it.prop("no bytes break the search", [Bytes], ([bytes]) => {
    assert.deepStrictEqual([...namesIn(Buffer.from(bytes))], [])
  })

  it.prop("a text in the payload cannot pretend to be a key", [Schema.String], ([text]) => {
    for (const message of [
      text,
      `"full_name":"evil/one"`,
      `\\"full_name\\":"evil/one"`,
      `${text}"full_name" : "evil/one"`
    ]) {
      for (const space of [undefined, 2]) {
        const body = Buffer.from(JSON.stringify(JSON.parse(pushBody({ message })), undefined, space))
        assert.deepStrictEqual([...namesIn(body)], ["acme/web"])
      }
    }
  })

  it("many names are cut short", () => {
    const many = JSON.stringify(Array.from({ length: 1000 }, (_, n) => ({ full_name: `o/r${n}` })))
    assert.lengthOf([...namesIn(Buffer.from(many))], 4)
  })
})

describe("payloads", () => {
  const delivery = (body: string | Buffer, event = "push") => ({
    forge: "github" as const,
    event,
    id: "1",
    signature: undefined,
    body: Buffer.from(body)
  })

  it.prop(
    "no JSON and no bytes break the decoder; a failure is one short line",
    [Schema.Json, Bytes, Schema.Literals(["push", "delete", "ping"])],
    ([json, bytes, event]) => {
      for (const body of [JSON.stringify(json), Buffer.from(bytes)]) {
        const decoded = decodeEvent(delivery(body, event))
        if (Result.isFailure(decoded)) assert.match(decoded.failure, /^[^\n]{1,400}$/)
      }
    }
  )

  it.prop(
    "each field that is missing or of another type is refused",
    [
      Schema.Literals(["ref", "before", "after", "commits", "repository"]),
      Schema.Union([Schema.Undefined, Schema.Int, Schema.Boolean])
    ],
    ([field, value]) => {
      const body = JSON.stringify({ ...JSON.parse(pushBody()), [field]: value })
      assert.isTrue(Result.isFailure(decodeEvent(delivery(body))))
    }
  )

  it.prop(
    "paths come from all that a commit added, changed and removed",
    [Schema.Array(Schema.String)],
    ([paths]) => {
      const commit = {
        id: sha("b"),
        message: "",
        added: paths.slice(0, 2),
        modified: paths.slice(2, 4),
        removed: paths.slice(4)
      }
      const decoded = decodeEvent(delivery(pushBody({ more: { commits: [commit] } })))
      const event = Result.getOrThrow(decoded)
      assert.deepStrictEqual(event._tag === "Push" ? [...event.changes.paths] : undefined, [
        ...new Set(paths)
      ])
    }
  )
})

describe("generations", () => {
  it.prop(
    "arrivals rise, and stay near the clock",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })))],
    ([steps]) => {
      const arrival = arrivals()
      let now = 1_000_000
      let last = 0
      for (const step of steps) {
        now += step
        const at = arrival(now)
        assert.isAbove(at, last)
        assert.isAtMost(at - now, 1000)
        last = at
      }
    }
  )

  it.prop(
    "a push that comes late stays before what was pushed in a later second",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2e9 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e6 }))
    ],
    ([second, late]) => {
      const next = generationOf((second + 1) * 1000, second + 1)
      assert.isBelow(generationOf((second + late) * 1000, second), next)
    }
  )
})
