import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { parse } from "yaml"
import { requestArguments, unrouted } from "../src/servers/Ingress.ts"

const Values = Schema.Struct({
  additionalArguments: Schema.Array(Schema.String),
  providers: Schema.Struct({ file: Schema.Struct({ enabled: Schema.Boolean, content: Schema.Unknown }) })
})

const file = new URL("../../../regions/eu-central-1/k8s/values/traefik.yaml", import.meta.url)
const values = Schema.decodeUnknownSync(Values)(parse(readFileSync(file, "utf8")))

describe("this region's ingress", () => {
  it("does with requests what a real region's does", () => {
    assert.includeMembers([...values.additionalArguments], [...requestArguments])
    const ofRequests = /respondingTimeouts|\.http\./
    assert.deepStrictEqual(
      values.additionalArguments.filter((argument) => ofRequests.test(argument)).toSorted(),
      [...requestArguments].toSorted()
    )
  })

  it("answers for hosts without a route as a real region's does", () => {
    assert.isTrue(values.providers.file.enabled)
    assert.deepStrictEqual(values.providers.file.content, unrouted)
  })
})
