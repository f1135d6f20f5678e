/** `mcpdeploy registry publish`: the platform's own images. */
import { assert, it } from "vitest"
import { describeOnRegion, mcpdeploy, Repository, smallApp } from "./harness.ts"
import { endpoints } from "./runtime.ts"

describeOnRegion("an image of the platform itself", () => {
  it("is built from a commit and published under a tag, which never changes its meaning", async () => {
    using repository = new Repository()
    const component = `test-${Date.now().toString(36)}`
    const first = repository.write(smallApp({ text: "one" })).commit()
    const publish = (...more: ReadonlyArray<string>) =>
      mcpdeploy([
        ...["registry", "publish", component, "--repository", `file://${repository.path}`],
        ...["--tag", "0.1.0", "--json", ...more]
      ])
    const published = await publish()
    assert.strictEqual(published.code, 0, published.stderr)
    const { changed, commit, digest, image } = JSON.parse(published.stdout.trim().split("\n").at(-1) ?? "")
    assert.deepStrictEqual(
      [image, commit, changed],
      [`registry.internal:5000/mcpdeploy/${component}:0.1.0`, first, true]
    )
    assert.deepStrictEqual(
      published.events.flatMap((event) => (event._tag === "StepFinished" ? [event.step] : [])),
      ["clone", "build", "push"]
    )
    const manifest = async (tag: string) =>
      fetch(`${endpoints().registry.endpoint}/v2/mcpdeploy/${component}/manifests/${tag}`, {
        headers: { accept: "application/vnd.oci.image.manifest.v1+json" }
      })
    assert.strictEqual((await manifest("0.1.0")).headers.get("docker-content-digest"), digest)

    const again = await publish()
    assert.match(again.stdout, /"changed":false/)

    repository.write(smallApp({ text: "two" })).commit()
    const taken = await publish()
    assert.strictEqual(taken.code, 1)
    assert.include(
      taken.stderr,
      `${image} is ${digest} already, and nodes may have it: publish under another tag`
    )
    assert.strictEqual((await manifest("0.1.0")).headers.get("docker-content-digest"), digest)
    assert.strictEqual((await publish("--ref", first)).code, 0)

    const wrong = await mcpdeploy([
      ...["registry", "publish", component, "--repository", `file://${repository.path}`, "--tag", "no tag"]
    ])
    assert.strictEqual(wrong.code, 2)
    assert.include(wrong.stderr, "at most 128 letters, digits, dots, hyphens and underscores")
  })
})
