import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository } from "./harness.ts"

const urlOf = async (repository: Repository, service: string): Promise<string> => {
  const { stdout } = await mcpdeploy([...repository.serviceFile, "status", service, "--json"])
  return JSON.parse(stdout).url
}

describeOnRegion("examples", () => {
  for (const [example, answer] of [
    ["node-web", '"hello":"world"'],
    ["go-web", "hello from"],
    ["python-web", '"hello":"world"'],
    ["static-site", "It works"]
  ] as const) {
    it(`${example} is built from its commit, runs sandboxed, and answers`, async () => {
      using repository = new Repository().copy(example)
      const commit = repository.commit()
      const { code, outcomes, stderr, stdout } = await mcpdeploy([
        ...repository.serviceFile,
        "deploy",
        "--json"
      ])
      assert.strictEqual(code, 0, stderr + stdout)
      const [outcome] = outcomes
      assert(outcome?._tag === "Deployed")
      assert.strictEqual(outcome.receipt.commit, commit)
      assert.isNotEmpty(outcome.receipt.pods)
      assert(outcome.receipt.pods.every(({ digest }) => digest === outcome.receipt.digest))
      assert.strictEqual(outcome.receipt.probe?.status, 200)
      assert.include((await ask(await urlOf(repository, example))).body, answer)
      assert.strictEqual((await mcpdeploy([...repository.serviceFile, "delete", "--yes"])).code, 0)
    })
  }

  it("guestbook's web app talks to its own database by its name in the project", async () => {
    using repository = new Repository().copy("guestbook")
    repository.commit()
    const { code, stderr, stdout } = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    assert.strictEqual(code, 0, stderr + stdout)
    const url = await urlOf(repository, "web")
    const first = JSON.parse((await ask(url)).body)
    const second = JSON.parse((await ask(url)).body)
    assert.strictEqual(second.visitors, first.visitors + 1)
    for (const service of ["web", "db"]) {
      assert.strictEqual((await mcpdeploy([...repository.serviceFile, "delete", service, "--yes"])).code, 0)
    }
  })
})
