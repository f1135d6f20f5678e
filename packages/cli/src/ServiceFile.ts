/**
 * The service file `mcpdeploy.yaml`: who owns a project, and its services with their source, build and run parts.
 *
 *     user: ann
 *     project: shop
 *     services:
 *       web:
 *         run: { port: 3000 }
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BuildSpec, RunSpec, TriggerSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { isNotTooLarge } from "@mcpdeploy/core/domain/RequestSize"
import { GitRef, GitRepository, RepositoryPath } from "@mcpdeploy/core/domain/Source"
import { parseYaml, readYaml, type YamlFile } from "@mcpdeploy/core/YamlFile"

/** Where a service's code is. What is absent comes from the git repository in which the service file stands. */
export const SourceSection = Schema.Struct({
  repository: Schema.optionalKey(GitRepository),
  ref: Schema.optionalKey(GitRef),
  rootDirectory: Schema.optionalKey(RepositoryPath)
})

/** What a service file says of one service. */
export const ServiceSection = Schema.Struct({
  source: Schema.optionalKey(SourceSection),
  build: Schema.optionalKey(BuildSpec),
  run: RunSpec,
  trigger: Schema.optionalKey(TriggerSpec)
}).check(isNotTooLarge)
export type ServiceSection = typeof ServiceSection.Type

/** `mcpdeploy.yaml`: the services of one project. */
export const ServiceFile = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  user: UserId,
  project: ProjectName,
  services: Schema.Record(ServiceName, ServiceSection)
})
export type ServiceFile = typeof ServiceFile.Type

const decode = (file: YamlFile) => file.decode(ServiceFile, [], { words: true })

/** Decodes a service file's text. `path` is for messages only. */
export const parseServiceFile = Effect.fn("parseServiceFile")((path: string, text: string) =>
  Effect.flatMap(parseYaml(path, text), decode)
)

/** Reads and decodes a service file. */
export const readServiceFile = Effect.fn("readServiceFile")((path: string) =>
  Effect.flatMap(
    readYaml(
      path,
      "no such file: write one (see --help), name it with --file, or give --user, --project and --port"
    ),
    decode
  )
)

const { definitions, schema } = Schema.toJsonSchemaDocument(ServiceFile, { onExcessProperty: "error" })

/** Whose texts a person may write as numbers and booleans. */
const texts = new Set(["env", "args", "command", "cpu"])

/** Editors accept what is accepted here: `env: { N: 8080 }`. */
const withNumbers = (node: unknown, isText = false): unknown => {
  if (Array.isArray(node)) return node.map((item: unknown) => withNumbers(item, isText))
  if (typeof node !== "object" || node === null) return node
  return Object.fromEntries(
    Object.entries(node).map(([key, value]): readonly [string, unknown] => {
      if (isText && key === "type" && value === "string") return [key, ["string", "number", "boolean"]]
      return [key, withNumbers(value, (isText && key !== "propertyNames") || texts.has(key))]
    })
  )
}

/** The service file's JSON Schema (draft 2020-12), for editors. */
export const serviceFileJsonSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "mcpdeploy service file",
  ...schema,
  $defs: withNumbers(definitions)
}
