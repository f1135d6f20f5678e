/** ansible-lint, with its strictest profile. */
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { run } from "@mcpdeploy/local-region/Command"
import * as Effect from "effect/Effect"
import * as Ansible from "./lab/Ansible.ts"
import { temporary } from "./lab/Folder.ts"
import { missing } from "./lab/Needs.ts"

const lacks =
  process.env["MCPDEPLOY_TEST_FULL"] === "1"
    ? missing(["python3", "flock", "git"])
    : "(skipped: a minute of one core, with MCPDEPLOY_TEST_FULL=1)"

describe.skipIf(lacks !== "")(`ansible-lint ${lacks}`, () => {
  it.live(
    "has no finding of the production profile",
    () =>
      Effect.gen(function* () {
        const bin = yield* Ansible.installed
        const home = yield* temporary("mcpdeploy-lint-")
        // Fails with the findings.
        const output = yield* run(
          join(bin, "ansible-lint"),
          ["--profile", "production", "--offline", "--nocolor"],
          { cwd: Ansible.folder, env: { ...Ansible.environment(bin), ANSIBLE_HOME: home } }
        )
        assert.match(output, /Passed: 0 failure\(s\), 0 warning\(s\)/)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    240_000
  )
})
