/** VaultCheck: whether a region's secrets are there, encrypted, and all of them. Says names, never values. */
import { run } from "@mcpdeploy/local-region/Command"
import { parseYaml } from "@mcpdeploy/core/YamlFile"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { vaultExample } from "./NewRegion.ts"

export const vaultFile = "inventory/group_vars/all/vault.yml"

/** What lacks, and what to do. */
export type Problem = readonly [detail: string, todo: string]

/** The first line of what `ansible-vault` has encrypted. */
const encrypted = "$ANSIBLE_VAULT;"

/** Its warnings would be taken for variables. */
const view = 'exec ansible-vault view "$1" 2>/dev/null'

const variablesOf = (path: string, text: string) =>
  parseYaml(path, text).pipe(Effect.flatMap((file) => file.decode(Schema.Record(Schema.String, Schema.Json))))

/** Undefined where nothing lacks. The password is that of `ANSIBLE_VAULT_PASSWORD_FILE`, as Ansible has it. */
export const vaultProblem = Effect.fn("vaultProblem")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(directory, vaultFile)
  const text = (name: string) => Effect.orElseSucceed(fs.readFileString(name), () => "")
  const problem = (detail: string, todo: string): Problem => [`${vaultFile} ${detail}`, todo]
  const found = yield* text(file)
  if (found === "")
    return problem(
      "is not there",
      `copy ${vaultExample} to it, fill it in, then: ansible-vault encrypt ${file}`
    )
  if (!found.startsWith(encrypted))
    return problem("is not encrypted", `ansible-vault encrypt ${file}; new secrets, if it was ever committed`)
  if ((process.env["ANSIBLE_VAULT_PASSWORD_FILE"] ?? "") === "")
    return problem("cannot be looked into", "set ANSIBLE_VAULT_PASSWORD_FILE to a file with its password")
  return yield* Effect.gen(function* () {
    const example = yield* variablesOf(vaultExample, yield* text(path.join(directory, vaultExample)))
    const said = yield* variablesOf(vaultFile, yield* run("sh", ["-c", view, "sh", file]))
    const lacking = Object.entries(example).filter(
      ([name, like]) => said[name] == null || said[name] === "" || said[name] === like
    )
    return lacking.length === 0
      ? undefined
      : problem(`lacks ${lacking.map(([name]) => name).join(", ")}`, `ansible-vault edit ${file}`)
  }).pipe(
    Effect.timeout("60 seconds"),
    Effect.catch(() =>
      Effect.succeed(
        problem(
          "cannot be read",
          `ansible-vault view ${file} says why: another password, or no list of variables`
        )
      )
    )
  )
})
