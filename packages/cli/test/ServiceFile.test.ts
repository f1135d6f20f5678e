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

  it.effect("takes numbers and true as the text that stands there", () =>
    Effect.gen(function* () {
      const run =
        "run: { port: 80, env: { N: 8080, ON: true }, command: [sleep, 10] }\n    build: { args: { V: 1.5 } }"
      const { services } = yield* parseServiceFile("mcpdeploy.yaml", valid.replace("run: { port: 80 }", run))
      const [web] = Object.values(services)
      assert.deepStrictEqual(web?.run.env, { N: "8080", ON: "true" })
      assert.deepStrictEqual(web?.run.command, ["sleep", "10"])
      assert.deepStrictEqual(web?.build?.args, { V: "1.5" })
    })
  )

  it.effect("says that a service is too large, by how much and where", () =>
    Effect.gen(function* () {
      const env = Array.from({ length: 30 }, (_, index) => `CERT_${index}: ${"a".repeat(39_000)}`).join(", ")
      const problems = yield* problemsOf(valid.replace("port: 80", `port: 80, env: { ${env} }`))
      assert.deepStrictEqual(problems, [
        "mcpdeploy.yaml:5:27: services.web.run.env: takes 1,170,381 of the 1,170,407 bytes that the service has as JSON, and 524,288 are allowed: put large values into files of the image"
      ])
    })
  )

  it.effect("says how to write what YAML reads in two ways", () =>
    Effect.gen(function* () {
      const run =
        "run: { port: 80, env: { ZIP: 01234, DEBUG: yes } }\n    build: { args: { V: 1.0, SINCE: 2026-01-01 } }"
      const problems = yield* problemsOf(valid.replace("run: { port: 80 }", run))
      assert.deepStrictEqual(
        problems.map((line) => /: services\.web\.(\S+): Expected text: write (\S+),/.exec(line)?.slice(1)),
        [
          ["run.env.ZIP", '"01234"'],
          ["run.env.DEBUG", '"yes"'],
          ["build.args.V", '"1.0"'],
          ["build.args.SINCE", '"2026-01-01"']
        ]
      )
    })
  )

  it.effect("keeps a secret's value out of the message", () =>
    Effect.gen(function* () {
      for (const value of ["hunter2", "0451", "2026-01-01"]) {
        const problems = yield* problemsOf(valid.replace("port: 80", `port: 80, secrets: { A: ${value} }`))
        assert.notInclude(problems.join("\n"), value)
      }
    })
  )

  it("has the JSON Schema that is shipped", () => {
    const shipped: unknown = JSON.parse(
      readFileSync(new URL("../mcpdeploy.schema.json", import.meta.url), "utf8")
    )
    assert.deepStrictEqual(shipped, JSON.parse(JSON.stringify(serviceFileJsonSchema)))
  })
})
