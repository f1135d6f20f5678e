import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository } from "./harness.ts"

/** A web service that crashes unless `db` answers, and a db whose build takes a while and then ends so. */
const shop = (project: string, build: string) =>
  new Repository().write({
    "web/Dockerfile":
      'FROM busybox\nCMD ["sh", "-c", "wget -q -O /dev/null http://db:8080/ 2>/dev/null || { echo no db; exit 1; }; mkdir /w; echo open > /w/index.html; exec httpd -f -p $PORT -h /w"]\n',
    // Another text every time, so that it is built every time.
    "db/Dockerfile": `FROM busybox\nRUN echo ${Date.now()}; ${build}\nCMD ["sh", "-c", "mkdir /w; echo data > /w/index.html; exec httpd -f -p $PORT -h /w"]\n`,
    "mcpdeploy.yaml": [
      "user: e2e",
      `project: ${project}`,
      "services:",
      "  web: { source: { rootDirectory: web }, run: { port: 8080 } }",
      "  db: { source: { rootDirectory: db }, run: { port: 8080, public: false } }",
      ""
    ].join("\n")
  })

describeOnRegion("two services of one file", () => {
  it("of which one needs the other at its start both run after one deploy", async () => {
    using repository = shop("siblings", "sleep 8")
    repository.commit()
    const run = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    assert.strictEqual(run.code, 0, run.stderr + run.stdout)
    assert.deepStrictEqual(
      run.outcomes.map(({ _tag }) => _tag),
      ["Deployed", "Deployed"]
    )
    const waits = run.events.filter(
      (event) => event._tag === "StepProgress" && event.message.startsWith("waiting for db,")
    )
    assert.lengthOf(waits, 1)
    const { url } = JSON.parse(
      (await mcpdeploy([...repository.serviceFile, "status", "web", "--json"])).stdout
    )
    assert.strictEqual((await ask(url)).body.trim(), "open")
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])).code, 0)
  })

  it("of which the other one fails fail both, and none waits on", async () => {
    using repository = shop("siblings-broken", "sleep 5; exit 1")
    repository.commit()
    const startedAt = Date.now()
    const run = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    assert.strictEqual(run.code, 1, run.stderr + run.stdout)
    const steps = run.outcomes.map((outcome) => (outcome._tag === "Failed" ? outcome.step : outcome._tag))
    assert.deepStrictEqual(steps, ["deploy", "build"])
    assert.isBelow(Date.now() - startedAt, 90_000)
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])).code, 0)
  })
})
