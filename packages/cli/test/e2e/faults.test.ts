import type { DeployStep } from "@mcpdeploy/core/domain/DeployEvent"
import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository, serviceFileOf, smallApp } from "./harness.ts"

describeOnRegion("a deploy whose process is killed", () => {
  for (const step of ["clone", "build", "push", "deploy", "verify"] satisfies Array<DeployStep>) {
    it(`in ${step} converges when it is run again`, async () => {
      using repository = new Repository().write({
        ...smallApp({ text: `killed in ${step}` }),
        "mcpdeploy.yaml": serviceFileOf(`killed-${step}`)
      })
      const commit = repository.commit()
      const killed = await mcpdeploy([...repository.serviceFile, "deploy", "--json"], {
        kill: (event) => event._tag === "StepStarted" && event.step === step
      })
      assert.strictEqual(killed.signal, "SIGKILL")

      const again = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
      assert.strictEqual(again.code, 0, again.stderr + again.stdout)
      const [outcome] = again.outcomes
      assert(outcome?._tag === "Deployed")
      assert.strictEqual(outcome.receipt.commit, commit)
      assert(outcome.receipt.pods.every(({ digest }) => digest === outcome.receipt.digest))

      const status = JSON.parse((await mcpdeploy([...repository.serviceFile, "status", "--json"])).stdout)
      assert.strictEqual(status.readyReplicas, 1)
      assert.strictEqual((await ask(status.url)).body.trim(), `killed in ${step}`)
      assert.strictEqual((await mcpdeploy([...repository.serviceFile, "delete", "--yes"])).code, 0)
    })
  }
})

describeOnRegion("a broken change", () => {
  it("fails with the app's last lines, and the last good commit runs again without a gap", async () => {
    using repository = new Repository().write({
      ...smallApp({ text: "good" }),
      "mcpdeploy.yaml": serviceFileOf("broken")
    })
    const good = repository.commit()
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "deploy"])).code, 0)
    const { url } = JSON.parse((await mcpdeploy([...repository.serviceFile, "status", "--json"])).stdout)

    repository.write(smallApp({ text: "bad", cmd: 'CMD ["sh", "-c", "echo no database; exit 3"]' }))
    repository.commit()
    const asking = new AbortController()
    const answers = new Map<string, number>()
    const asker = (async () => {
      while (!asking.signal.aborted) {
        const { body, status } = await ask(url)
        const answer = `${status} ${body.trim()}`
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })()
    const broken = await mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    asking.abort()
    await asker

    assert.strictEqual(broken.code, 1, broken.stderr + broken.stdout)
    const [outcome] = broken.outcomes
    assert(outcome?._tag === "Failed")
    assert.strictEqual(outcome.step, "deploy")
    assert.strictEqual(outcome.restored, good)
    assert.include(outcome.error.message, "no database")
    assert.include(outcome.error.message, "3")
    assert.deepStrictEqual([...answers.keys()], ["200 good"])
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "delete", "--yes"])).code, 0)
  })
})
