/** What builds and apps are told, whatever its names, and as much of it as a service may have. */
import * as Schema from "effect/Schema"
import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository } from "./harness.ts"

const project = `vars-${Date.now().toString(36)}`

const Answer = Schema.fromJsonString(
  Schema.Struct({ built: Schema.String, env: Schema.Record(Schema.String, Schema.String) })
)

const History = Schema.fromJsonString(Schema.Array(Schema.Json))

/**
 * Answers with its variables, and with what its build wrote. A process that it starts gets them as well. Its entrypoint is no
 * script: Alpine's shell drops what it cannot name.
 */
const app = {
  Dockerfile: `FROM node:24-alpine
ARG EDITION app.flavour
ARG SOURCE_COMMIT
RUN echo "$SOURCE_COMMIT $EDITION" > /built
COPY s.js /
ENTRYPOINT ["node", "/s.js"]
`,
  "s.js": `require("child_process").execFileSync("/bin/true")
const built = require("fs").readFileSync("/built", "utf8").trim()
require("http").createServer((_, answer) => answer.end(JSON.stringify({ built, env: process.env }))).listen(process.env.PORT)
`
}

const letterOf = (index: number): string => "abcde".charAt(index)

const large = (count: number) =>
  Array.from(
    { length: count },
    (_, index) => `        cert.${index}: ${letterOf(index).repeat(128_000)}\n`
  ).join("")

const fileOf = (certificates: number) => `user: e2e
project: ${project}
services:
  web:
    build: { args: { EDITION: 7, app.flavour: x } }
    run:
      port: 8080
      memory: 256Mi
      secrets: { spring.datasource.password: "env:E2E_SECRET", "a:b": "env:E2E_SECRET" }
      env:
        discovery.type: single-node
        app-mode: prod
        N: 8080
        ON: true
${large(certificates)}`

describeOnRegion("variables", () => {
  it("reach build and app, at the size that is allowed; the receipt keeps them, and can be returned to", async () => {
    using repository = new Repository().write({ ...app, "mcpdeploy.yaml": fileOf(4) })
    const commit = repository.commit()
    const run = (...args: ReadonlyArray<string>) =>
      mcpdeploy([...repository.serviceFile, ...args], { env: { E2E_SECRET: "geheim" } })
    const { outcomes, stderr } = await run("deploy", "--json")
    const [outcome] = outcomes
    assert(outcome?._tag === "Deployed", stderr)
    const url = new URL(outcome.receipt.probe?.url ?? "")
    const { built, env } = Schema.decodeSync(Answer)((await ask(url.href)).body)
    assert.strictEqual(built, `${commit} 7`)
    const told = {
      PORT: "8080",
      SOURCE_COMMIT: commit,
      MCPDEPLOY_HOST: url.hostname,
      MCPDEPLOY_URL: url.origin,
      "discovery.type": "single-node",
      "app-mode": "prod",
      N: "8080",
      ON: "true",
      "spring.datasource.password": "geheim",
      "a:b": "geheim"
    }
    for (const [name, value] of Object.entries(told)) assert.strictEqual(env[name], value, name)
    for (const index of [0, 1, 2, 3])
      assert.strictEqual(env[`cert.${index}`], letterOf(index).repeat(128_000))

    assert.strictEqual((await run("env", "set", "ROUND=1")).code, 0)
    const history = await run("history", "--json")
    assert.lengthOf(Schema.decodeSync(History)(history.stdout), 2, history.stderr)
    await run("project", "delete", "--yes")
  })

  it("that are too many bytes are refused with their total and the limit, before anything begins", async () => {
    using repository = new Repository().write({ ...app, "mcpdeploy.yaml": fileOf(5) })
    repository.commit()
    const { code, events, stderr } = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    assert.strictEqual(code, 2)
    assert.isEmpty(events)
    assert.match(
      stderr,
      /mcpdeploy\.yaml:11:\d+: services\.web\.run\.env: takes 640,\d{3} of the 640,\d{3} bytes .* 524,288 are allowed/
    )
  })
})
