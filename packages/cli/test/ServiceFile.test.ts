import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { parseServiceFile, serviceFileJsonSchema } from "@mcpdeploy/cli/ServiceFile"

const valid = "user: ann\nproject: shop\nservices:\n  web:\n    run: { port: 80 }\n"

const problemsOf = (text: string) =>
  Effect.map(Effect.flip(parseServiceFile("mcpdeploy.yaml", text)), ({ message }) => message.split("\n"))

describe("the service file", () => {
  it.effect("is decoded", () =>
    Effect.gen(function* () {
      const file = yield* parseServiceFile("mcpdeploy.yaml", valid)
      assert.deepStrictEqual(Object.keys(file.services), ["web"])
    })
  )

  for (const [name, text, says] of [
    [
      "a wrong type",
      valid.replace("80", "eighty"),
      /^mcpdeploy\.yaml:5:18: services\.web\.run\.port: .*[Ii]nt|number/
    ],
    [
      "a port out of range",
      valid.replace("80", "70000"),
      /^mcpdeploy\.yaml:5:18: services\.web\.run\.port: .*65535/
    ],
    ["an unknown field", `${valid}colour: red\n`, /^mcpdeploy\.yaml:6:\d+: colour: /],
    ["a missing field", valid.replace("user: ann\n", ""), /^mcpdeploy\.yaml:1:1: user: /],
    ["an invalid name", valid.replace("ann", "Ann!"), /^mcpdeploy\.yaml:1:7: user: .*lower-case/],
    [
      "a secret by value",
      valid.replace("port: 80", "port: 80, secrets: { A: hunter2 }"),
      /secrets\.A: .*env:NAME/
    ],
    ["no YAML", "user: [ann\nproject: shop\n", /^mcpdeploy\.yaml:\d+:\d+: /],
    ["the same field twice", `${valid}user: bob\n`, /^mcpdeploy\.yaml:6:1: .*unique/]
  ] as const) {
    it.effect(`with ${name} is refused with the place and what was expected`, () =>
      Effect.gen(function* () {
        assert.match((yield* problemsOf(text))[0] ?? "", says)
      })
    )
  }

  it.effect("keeps a secret's value out of the message", () =>
    Effect.gen(function* () {
      const problems = yield* problemsOf(valid.replace("port: 80", "port: 80, secrets: { A: hunter2 }"))
      assert.notInclude(problems.join("\n"), "hunter2")
    })
  )

  it("has the JSON Schema that is shipped", () => {
    const shipped: unknown = JSON.parse(
      readFileSync(new URL("../mcpdeploy.schema.json", import.meta.url), "utf8")
    )
    assert.deepStrictEqual(shipped, JSON.parse(JSON.stringify(serviceFileJsonSchema)))
  })
})
