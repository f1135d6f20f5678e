/**
 * The double, and what the client asks of it, held against Hetzner's own description of the Cloud API: an OpenAPI document at
 * https://docs.hetzner.cloud/cloud.spec.json, which MCPDEPLOY_HETZNER_OPENAPI names a copy of.
 */
import { readFileSync } from "node:fs"
import { Ajv2019 } from "ajv/dist/2019.js"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { buying, desiredOf, hosts, makeWorld } from "./fixtures.ts"

const document = process.env["MCPDEPLOY_HETZNER_OPENAPI"] ?? ""
const lacks =
  document === ""
    ? "(skipped: set MCPDEPLOY_HETZNER_OPENAPI to a copy of https://docs.hetzner.cloud/cloud.spec.json)"
    : ""

type Json = Schema.Json
const isObject = (value: Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)
const isList = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)
const fieldOf = (value: Json | undefined, ...keys: ReadonlyArray<string>): Json | undefined =>
  keys.reduce<Json | undefined>((inner, key) => (isObject(inner) ? inner[key] : undefined), value)

const composed = ["allOf", "anyOf", "oneOf"]
const isOfFields = (schema: Schema.JsonObject): boolean =>
  ["$ref", "properties", ...composed].some((key) => key in schema) && !("additionalProperties" in schema)

/**
 * A schema of OpenAPI 3.0 as JSON Schema has it. `closed`: a field that is not described is refused. What is `required` of an answer is
 * not: a double gives what its client reads.
 */
const jsonSchemaOf = (schema: Json, closed: boolean, isPart = false): Json => {
  if (isList(schema)) return schema.map((one) => jsonSchemaOf(one, closed, isPart))
  if (!isObject(schema)) return schema
  const { nullable, ...fields } = schema
  const inner = Object.fromEntries(
    Object.entries(fields).flatMap(([key, value]) => {
      if (key === "$ref") return [[key, `${closed ? "request" : "answer"}${String(value)}`]]
      if (key === "required" && !closed) return []
      if (key === "properties" && isObject(value))
        return [
          [
            key,
            Object.fromEntries(Object.entries(value).map(([name, one]) => [name, jsonSchemaOf(one, closed)]))
          ]
        ]
      if (key === "example" || key === "default") return []
      return [[key, jsonSchemaOf(value, closed, composed.includes(key))]]
    })
  )
  const whole = closed && !isPart && isOfFields(schema) ? { ...inner, unevaluatedProperties: false } : inner
  return nullable === true ? { anyOf: [whole, { type: "null" }] } : whole
}

const describedBy = (path: string) => {
  const api = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.JsonObject))(readFileSync(path, "utf8"))
  const ajv = new Ajv2019({ strict: false, validateFormats: false, allErrors: true })
  const components = fieldOf(api, "components", "schemas")
  if (!isObject(components)) return assert.fail("the document has no schemas")
  for (const closed of [true, false]) {
    const schemas = Object.entries(components).map(([name, one]) => [name, jsonSchemaOf(one, closed, true)])
    ajv.addSchema({
      $id: closed ? "request" : "answer",
      components: { schemas: Object.fromEntries(schemas) }
    })
  }
  /** Such as `/servers/{id}/actions/{action}` for `/servers/7/actions/7`. */
  const templates = Object.keys(isObject(api["paths"]) ? api["paths"] : {})
  const operationOf = (method: string, called: string) => {
    const template = templates
      .filter((one) => new RegExp(`^${one.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`).test(called))
      .toSorted((a, b) => a.split("{").length - b.split("{").length)[0]
    return template === undefined ? undefined : fieldOf(api, "paths", template, method.toLowerCase())
  }
  const problemsOf = (schema: Json | undefined, value: Json, closed: boolean): ReadonlyArray<string> => {
    if (schema === undefined) return ["nothing is described"]
    const translated = jsonSchemaOf(schema, closed)
    const validate = ajv.compile(isObject(translated) ? { ...translated } : {})
    return validate(value)
      ? []
      : (validate.errors ?? []).map(
          ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`
        )
  }
  return { operationOf, problemsOf }
}

describe.skipIf(lacks !== "")(`Hetzner's description of its API ${lacks}`, () => {
  it.live("takes every request of an apply, and describes every answer of the double", () =>
    Effect.gen(function* () {
      const { operationOf, problemsOf } = describedBy(document)
      const { apply, double } = yield* makeWorld({ actionMs: 5 })
      yield* apply(yield* desiredOf(), buying)
      const { "run-2": _gone, ...fewer } = hosts
      yield* apply(yield* desiredOf(fewer), { ...buying, allow: new Set(["server run-2"]) })
      assert.isAbove(double.writes().length, 10)
      const problems = double.calls.flatMap(({ answer, body, method, path, status }) => {
        const operation = operationOf(method, path)
        const json = ["content", "application/json", "schema"]
        const asked =
          body === undefined ? [] : problemsOf(fieldOf(operation, "requestBody", ...json), body, true)
        const answered =
          answer === null || answer === undefined
            ? []
            : problemsOf(fieldOf(operation, "responses", String(status), ...json), answer, false)
        return [...asked, ...answered].map((problem) => `${method} ${path}: ${problem}`)
      })
      assert.deepStrictEqual([...new Set(problems)], [])
    }).pipe(Effect.scoped)
  )
})
