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

  it("of which the other one fails both fail, and none waits for ever", async () => {
    using repository = shop("siblings-broken", "sleep 5; exit 1")
    repository.commit()
    const run = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    assert.strictEqual(run.code, 1, run.stderr + run.stdout)
    const steps = run.outcomes.map((outcome) => (outcome._tag === "Failed" ? outcome.step : outcome._tag))
    assert.deepStrictEqual(steps, ["deploy", "build"])
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])).code, 0)
  })
})

/** Connects to `late:8080` all the time, and tells when it was last refused. */
const watcher = `const net = require("net"), http = require("http")
let refused = 0, connected = 0
const again = () => setTimeout(connect, 10)
const connect = () => {
  const at = Date.now()
  const socket = net.connect(8080, "late")
  socket.on("connect", () => { connected ||= at; socket.destroy(); again() })
  socket.on("error", ({ code }) => { if (code === "ECONNREFUSED") refused = at; again() })
}
connect()
http.createServer((_, response) => response.end(JSON.stringify({ refused, connected }))).listen(process.env.PORT)
`

describeOnRegion("a service whose deploy is called good", () => {
  it("is reached by its own name from the services beside it", async () => {
    using repository = new Repository().write({
      "watcher/Dockerfile": 'FROM node:24-alpine\nCOPY w.js /w.js\nCMD ["node", "/w.js"]\n',
      "watcher/w.js": watcher,
      "late/Dockerfile":
        'FROM busybox\nCMD ["sh", "-c", "mkdir /w; echo late > /w/index.html; exec httpd -f -p $PORT -h /w"]\n',
      "mcpdeploy.yaml": [
        "user: e2e",
        "project: reached",
        "services:",
        "  watcher: { source: { rootDirectory: watcher }, run: { port: 3000 } }",
        "  late: { source: { rootDirectory: late }, run: { port: 8080, public: false } }",
        ""
      ].join("\n")
    })
    repository.commit()
    const first = await mcpdeploy([...repository.serviceFile, "deploy", "watcher", "--json"])
    assert.strictEqual(first.code, 0, first.stderr + first.stdout)
    const run = await mcpdeploy([...repository.serviceFile, "deploy", "late", "--json"])
    const [outcome] = run.outcomes
    assert(outcome?._tag === "Deployed", run.stderr + run.stdout)
    const good = Date.parse(outcome.receipt.deployedAt)
    // Until here it is refused all the time; from there on never.
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const { url } = JSON.parse(
      (await mcpdeploy([...repository.serviceFile, "status", "watcher", "--json"])).stdout
    )
    const { connected, refused } = JSON.parse((await ask(url)).body)
    assert.isAbove(connected, 0)
    assert.isBelow(refused, good)
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])).code, 0)
  })
})
