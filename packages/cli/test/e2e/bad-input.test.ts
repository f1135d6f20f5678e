import { assert, it } from "vitest"
import { describeOnRegion, mcpdeploy, Repository, serviceFileOf, smallApp } from "./harness.ts"

/** A deploy that must fail, and what it must say. */
const cases: ReadonlyArray<{
  readonly name: string
  readonly files: Readonly<Record<string, string>>
  readonly run?: string
  readonly build?: string
  readonly step: string
  readonly says: ReadonlyArray<string>
}> = [
  { name: "no Dockerfile", files: { "index.html": "x" }, step: "build", says: ["Dockerfile"] },
  {
    name: "a Dockerfile that does not parse",
    files: { Dockerfile: "FROM busybox\nRUNN true\n" },
    step: "build",
    says: ["RUNN", "2"]
  },
  {
    name: "a build step that fails",
    files: { Dockerfile: "FROM busybox\nRUN echo the last line; exit 42\n" },
    step: "build",
    says: ["42", "the last line"]
  },
  {
    name: "an unknown base image",
    files: { Dockerfile: "FROM registry.internal:5000/no/such:image\n" },
    step: "build",
    says: ["no/such"]
  },
  {
    name: "a root directory that leaves the repository",
    files: { ...smallApp(), "outside/.keep": "" },
    step: "build",
    says: ["link"]
  },
  {
    name: "an app that crashes",
    files: smallApp({ cmd: 'CMD ["sh", "-c", "echo cannot start; exit 9"]' }),
    step: "deploy",
    says: ["cannot start", "9"]
  },
  {
    name: "an app that never listens",
    files: smallApp({ cmd: 'CMD ["sleep", "3600"]' }),
    run: "{ port: 8080, rolloutSeconds: 15 }",
    step: "deploy",
    says: ["8080"]
  },
  {
    name: "an app that fails its health check",
    files: smallApp(),
    run: "{ port: 8080, rolloutSeconds: 15, healthCheck: { path: /nothing } }",
    step: "deploy",
    says: ["404"]
  },
  {
    name: "an app that is too large for its quota",
    files: smallApp(),
    run: "{ port: 8080, rolloutSeconds: 30, memory: 900Gi }",
    step: "deploy",
    says: ["memory"]
  }
]

describeOnRegion("bad input", () => {
  for (const [index, { build, files, name, run, says, step }] of cases.entries()) {
    it(`${name}: fails in ${step} and says why`, async () => {
      using repository = new Repository().write({
        ...files,
        "mcpdeploy.yaml": serviceFileOf(`bad-${index}`, run, build)
      })
      if (name.startsWith("a root directory")) {
        repository.git("config", "core.symlinks", "true")
        const { symlinkSync } = await import("node:fs")
        symlinkSync("/etc", `${repository.path}/link`)
        repository.write({
          "mcpdeploy.yaml": `user: e2e\nproject: bad-${index}\nservices:\n  web:\n    source: { rootDirectory: link }\n    run: { port: 8080 }\n`
        })
      }
      repository.commit()
      const { code, outcomes, stderr, stdout } = await mcpdeploy([
        ...repository.serviceFile,
        "deploy",
        "--json"
      ])
      const [outcome] = outcomes
      assert(outcome?._tag === "Failed", stderr + stdout)
      assert.strictEqual(outcome.step, step, outcome.error.message)
      assert.include([1, 4], code)
      for (const text of says) assert.include(outcome.error.message, text)
      await mcpdeploy([...repository.serviceFile, "delete", "--yes"])
    })
  }

  it("a ref that is not there: fails in clone and names it", async () => {
    using repository = new Repository().write({ ...smallApp(), "mcpdeploy.yaml": serviceFileOf("bad-ref") })
    repository.commit()
    const { outcomes } = await mcpdeploy([
      ...repository.serviceFile,
      "deploy",
      "--ref",
      "no-such-branch",
      "--json"
    ])
    const [outcome] = outcomes
    assert(outcome?._tag === "Failed")
    assert.strictEqual(outcome.step, "clone")
    assert.include(outcome.error.message, "no-such-branch")
  })

  it("a service file with wrong fields: says which, where, and what was expected; nothing is started", async () => {
    using repository = new Repository().write({
      ...smallApp(),
      "mcpdeploy.yaml":
        "user: e2e\nproject: bad\nservices:\n  web:\n    run:\n      port: eighty\n      replica: 2\n"
    })
    const { code, events, stderr } = await mcpdeploy([...repository.serviceFile, "deploy"])
    assert.strictEqual(code, 2)
    assert.isEmpty(events)
    assert.match(stderr, /mcpdeploy\.yaml:6:13: services\.web\.run\.port: /)
    assert.match(stderr, /mcpdeploy\.yaml:7:\d+: services\.web\.run\.replica: /)
  })
})
