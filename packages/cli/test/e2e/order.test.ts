import { assert, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, Repository, serviceFileOf, smallApp } from "./harness.ts"

describeOnRegion("two processes that deploy one service", () => {
  it("end with the newest commit, whichever comes first", async () => {
    using repository = new Repository().write({
      ...smallApp({ text: "first" }),
      "mcpdeploy.yaml": serviceFileOf("order")
    })
    const first = repository.commit()
    const second = repository.write(smallApp({ text: "second" })).commit()
    const now = Date.now()
    const deployAt = (commit: string, generation: number) =>
      mcpdeploy([
        ...repository.serviceFile,
        "deploy",
        "--ref",
        commit,
        "--generation",
        String(generation),
        "--json"
      ])
    for (let round = 0; round < 5; round++) {
      const older = now + round * 2
      const pause = Math.random() * 1500
      const delayed = <A>(ms: number, run: () => Promise<A>): Promise<A> =>
        new Promise((resolve) => setTimeout(resolve, ms)).then(run)
      const [one, two] = await Promise.all([
        delayed(round % 2 === 0 ? pause : 0, () => deployAt(first, older)),
        delayed(round % 2 === 0 ? 0 : pause, () => deployAt(second, older + 1))
      ])
      assert.strictEqual(two.code, 0, two.stderr + two.stdout)
      assert.include([0, 3], one.code, one.stderr + one.stdout)
      const status = JSON.parse((await mcpdeploy([...repository.serviceFile, "status", "--json"])).stdout)
      assert.strictEqual(status.commit, second)
      assert.strictEqual((await ask(status.url)).body.trim(), "second")
    }
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "delete", "--yes"])).code, 0)
  })
})
