import { parseYaml } from "@mcpdeploy/core/YamlFile"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Texts = Schema.Struct({
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  command: Schema.optionalKey(Schema.Array(Schema.String)),
  port: Schema.optionalKey(Schema.Int),
  isOn: Schema.optionalKey(Schema.Boolean),
  pin: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^file:/, { expected: "a reference" })))
})

const decode = (text: string, words = true) =>
  parseYaml("f.yaml", text).pipe(Effect.flatMap((file) => file.decode(Texts, [], { words })))
const problemsOf = (text: string, words = true) =>
  Effect.map(Effect.flip(decode(text, words)), ({ problems }) => problems)

describe("text in a YAML file", () => {
  for (const source of ["8080", "0", "-5", "1.5", "0.25", "true", "false", "12345678901234567890", "1.2.3"]) {
    it.effect(`${source} is the text that stands there`, () =>
      Effect.gen(function* () {
        const { command, env, port } = yield* decode(
          `env: { N: ${source} }\ncommand: [${source}]\nport: 8080\n`
        )
        assert.deepStrictEqual([env, command, port], [{ N: source }, [source], 8080])
      })
    )
  }

  for (const [source, reading] of [
    ["01234", "the number 1234"],
    ["1.0", "the number 1"],
    ["1e3", "the number 1000"],
    ["0x10", "the number 16"],
    ["0o17", "the number 15"],
    ["+5", "the number 5"],
    [".5", "the number 0.5"],
    ["True", "true"],
    ["null", "nothing"],
    ["yes", "true"],
    ["Off", "false"],
    ["2026-01-01", "a date"],
    ["22:22", "the number 1342"],
    ["1_000", "the number 1000"]
  ] as const) {
    it.effect(`${source} is refused with the quoted form, which is taken`, () =>
      Effect.gen(function* () {
        const [problem, ...others] = yield* problemsOf(`env:\n  A: x\n  N: ${source}\n`)
        assert.deepStrictEqual(others, [])
        assert.deepStrictEqual(problem, {
          line: 3,
          column: 6,
          field: "env.N",
          problem: `Expected text: write "${source}", since ${source} can be read as ${reading}`
        })
        assert.deepStrictEqual((yield* decode(`env: { N: "${source}" }`)).env, { N: source })
        assert.deepStrictEqual((yield* decode(`env: { N: '${source}' }`)).env, { N: source })
      })
    )
  }

  it.effect("a long one is refused without being repeated", () =>
    Effect.gen(function* () {
      const [problem] = yield* problemsOf(`env: { N: ${"0".repeat(100_000)} }`)
      assert.strictEqual(
        problem?.problem,
        "Expected text: write it in quotes, since it can be read as a number"
      )
    })
  )

  it.effect("an empty value is refused with the quoted form", () =>
    Effect.gen(function* () {
      const [problem] = yield* problemsOf("env:\n  N:\n")
      assert.strictEqual(
        problem?.problem,
        `Expected text: write "", since an empty value can be read as nothing`
      )
    })
  )

  it.effect("what the schema wants as a number or a boolean stays one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* decode("port: 0x10\nisOn: True\n"), { port: 16, isOn: true })
    })
  )

  it.effect("words are left as YAML 1.2 reads them where it is not asked", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* decode("env: { A: yes, B: 7 }", false)).env, { A: "yes", B: "7" })
    })
  )

  it.effect("names may be words such as N and on; a number keeps how it was written, or is refused", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* decode("env: { N: 1, on: 2, 7: 3 }")).env, { N: "1", on: "2", "7": "3" })
      const [problem] = yield* problemsOf("env: { 01: x }")
      assert.include(problem?.problem, 'write "01"')
    })
  )

  it.effect("is found behind an alias", () =>
    Effect.gen(function* () {
      const shared = yield* decode("env: &e { N: &n 8080 }\ncommand: [*n]\n")
      assert.deepStrictEqual([shared.env, shared.command], [{ N: "8080" }, ["8080"]])
      assert.include((yield* problemsOf("env: { A: &n 010 }\ncommand: [*n]\n"))[1]?.problem, 'write "010"')
    })
  )

  it.effect("another problem of the field is told instead, without the value", () =>
    Effect.gen(function* () {
      const problems = yield* problemsOf("pin: 01234\nport: yes\n")
      assert.deepStrictEqual(
        problems.map(({ field, problem }) => [field, problem]),
        [
          ["pin", "Expected a reference"],
          ["port", "Expected number"]
        ]
      )
    })
  )

  it.effect.prop(
    "is the source, or refused with a form that is taken as the source",
    [
      Schema.Array(Schema.Literals([..."-+._:~0123489abefnorstuxyNTY"])).check(
        Schema.isMinLength(1),
        Schema.isMaxLength(8)
      )
    ],
    ([characters]) =>
      Effect.gen(function* () {
        const source = characters.join("")
        const text = `env:\n  N: ${source}\n`
        const parsed = yield* Effect.result(parseYaml("f.yaml", text))
        if (Result.isFailure(parsed)) return
        const taken = yield* Effect.result(decode(text))
        if (Result.isSuccess(taken)) return assert.deepStrictEqual(taken.success.env, { N: source })
        const [problem] = taken.failure.problems
        // a mapping (`a:`) or a list is no text at all
        const form = /write ("[^"]*")/.exec(problem?.problem ?? "")?.[1]
        if (form === undefined) return assert.strictEqual(problem?.problem, "Expected text")
        assert.deepStrictEqual((yield* decode(`env: { N: ${form} }`)).env, { N: source })
      }),
    { arbitrary: { runs: 2000 } }
  )
})
