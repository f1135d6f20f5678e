import { assert, describe, it } from "@effect/vitest"
import { BuildSpec, SourceSpec, TriggerSpec } from "@mcpdeploy/core/domain/DeployRequest"
import {
  DockerfilePath,
  GitRef,
  GitRepository,
  RepositoryPath,
  RepositoryUrl
} from "@mcpdeploy/core/domain/Source"
import { filterPush } from "@mcpdeploy/core/pipeline/PushFilter"

const only = (...paths: [string, ...ReadonlyArray<string>]) => new TriggerSpec({ paths })
const requestOf = (trigger: TriggerSpec | undefined, root = ".", dockerfile = "Dockerfile") => ({
  source: new SourceSpec({
    repository: new GitRepository({ url: RepositoryUrl.make("https://github.com/ann/shop") }),
    ref: GitRef.make("main"),
    rootDirectory: RepositoryPath.make(root)
  }),
  build: new BuildSpec({ dockerfile: DockerfilePath.make(dockerfile) }),
  ...(trigger === undefined ? {} : { trigger })
})
const changed = (...paths: ReadonlyArray<string>) => ({ message: "change", paths })

describe("filterPush", () => {
  const cases = {
    "no trigger": [undefined, changed("a"), undefined],
    "a trigger that is off": [new TriggerSpec({ enabled: false }), changed("a"), "disabled"],
    "a folder's file": [only("web/"), changed("docs/a", "web/b/c"), undefined],
    "another folder's file": [only("web/"), changed("docs/a", "myweb/b"), "paths"],
    "a glob": [only("/web/**/*.ts"), changed("web/a/b.ts"), undefined],
    "a glob that does not match": [only("/web/**/*.ts"), changed("a/web/b.ts"), "paths"],
    "a path taken out again": [only("web/**", "!web/**/*.md"), changed("web/README.md"), "paths"],
    "other letter case": [only("web/"), changed("Web/a"), "paths"],
    "nothing changed": [only("web/"), changed(), "paths"],
    "paths that are not known": [only("web/"), { message: "change" }, undefined],
    "a path that no glob can be held against": [only("web/"), changed("../docs/a"), undefined],
    "a mark in the message": [undefined, { message: "typo [CI skip]\n\nmore" }, "skip-ci"],
    "a mark in the body": [undefined, { message: "typo\n\n[skip actions]" }, "skip-ci"],
    "the platform's mark": [undefined, { message: "typo [skip deploy]" }, "skip-ci"],
    "a trailer": [undefined, { message: "typo\n\nskip-checks: true" }, "skip-ci"],
    "words that are no mark": [undefined, { message: "skip ci; skip-checks: true later" }, undefined]
  } as const
  for (const [name, [trigger, changes, rule]] of Object.entries(cases)) {
    it(`${rule === undefined ? "deploys" : `${rule}:`} ${name}`, () => {
      assert.strictEqual(filterPush(requestOf(trigger), changes)?.rule, rule)
    })
  }

  for (const [root, dockerfile, path, rule] of [
    ["apps/web", "../../docker/web.Dockerfile", "docker/web.Dockerfile", undefined],
    ["apps/web", "../../docker/web.Dockerfile", "docker/web.Dockerfile.dockerignore", undefined],
    ["apps/web", "../../docker/web.Dockerfile", "docker/api.Dockerfile", "paths"],
    ["./apps/web/", "../Dockerfile", "apps/Dockerfile", undefined],
    ["apps/web", "../web2/Dockerfile", "apps/web2/Dockerfile", undefined],
    ["apps/web", "Dockerfile", "apps/web/Dockerfile", "paths"],
    [".", "Dockerfile", "Dockerfile", "paths"]
  ] as const) {
    it(`${rule === undefined ? "deploys" : "does not deploy"} a change of ${path}, built by ${dockerfile} of ${root}`, () => {
      const request = requestOf(only("src/"), root, dockerfile)
      assert.strictEqual(filterPush(request, changed(path))?.rule, rule)
    })
  }
})
