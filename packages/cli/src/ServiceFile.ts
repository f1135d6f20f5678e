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
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { BuildSpec, RunSpec, TriggerSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { GitRef, GitRepository, RepositoryPath } from "@mcpdeploy/core/domain/Source"
import { LineCounter, parseDocument } from "yaml"

/** Where a service's code is. What is absent comes from the git repository in which the service file stands. */
export const SourceSection = Schema.Struct({
  repository: Schema.optionalKey(GitRepository),
  ref: Schema.optionalKey(GitRef),
  rootDirectory: Schema.optionalKey(RepositoryPath)
})

export const ServiceSection = Schema.Struct({
  source: Schema.optionalKey(SourceSection),
  build: Schema.optionalKey(BuildSpec),
  run: RunSpec,
  trigger: Schema.optionalKey(TriggerSpec)
})
export type ServiceSection = typeof ServiceSection.Type

export const ServiceFile = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  user: UserId,
  project: ProjectName,
  services: Schema.Record(ServiceName, ServiceSection)
})
export type ServiceFile = typeof ServiceFile.Type

/** A place in the service file, and what is wrong there. Lines and columns begin with 1. */
export const FileProblem = Schema.Struct({
  line: Schema.Int,
  column: Schema.Int,
  /** Path of the field, such as `services.web.run.port`. */
  field: Schema.String,
  problem: Schema.String
})

/** The service file is not there, is not YAML, or a field of it is wrong: says which, where, and what was expected. */
export class ServiceFileInvalid extends Schema.TaggedError<ServiceFileInvalid>()("ServiceFileInvalid", {
  path: Schema.String,
  problems: Schema.Array(FileProblem)
}) {
  readonly retryable = false
  override get message(): string {
    return this.problems
      .map(({ column, field, line, problem }) =>
        line === 0
          ? `${this.path}: ${problem}`
          : `${this.path}:${line}:${column}: ${field === "" ? "" : `${field}: `}${problem}`
      )
      .join("\n")
  }
}

const decode = Schema.decodeUnknownEffect(ServiceFile, { errors: "all", onExcessProperty: "error" })
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** Decodes a service file's text. `path` is for messages only. */
export const parseServiceFile = Effect.fn("parseServiceFile")(function* (path: string, text: string) {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return yield* new ServiceFileInvalid({
      path,
      problems: document.errors.map((error) => {
        const { col, line } = lines.linePos(error.pos[0])
        return { line, column: col, field: "", problem: error.message }
      })
    })
  }
  /** The deepest part of a field's path that stands in the file. */
  const position = (field: ReadonlyArray<string>): { line: number; column: number } => {
    for (let length = field.length; length >= 0; length--) {
      const node = length === 0 ? document.contents : document.getIn(field.slice(0, length), true)
      if (typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range)) {
        const start: unknown = node.range[0]
        if (typeof start === "number") {
          const { col, line } = lines.linePos(start)
          return { line, column: col }
        }
      }
    }
    return { line: 1, column: 1 }
  }
  return yield* decode(document.toJS({ maxAliasCount: 100 })).pipe(
    Effect.mapError(
      ({ issue }) =>
        new ServiceFileInvalid({
          path,
          problems: formatIssue(issue).issues.map(({ message, path: field = [] }) => {
            const keys = field.map((part) => String(typeof part === "object" ? part.key : part))
            return { ...position(keys), field: keys.join("."), problem: message }
          })
        })
    )
  )
})

/** Reads and decodes a service file. */
export const readServiceFile = Effect.fn("readServiceFile")(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(path).pipe(
    Effect.mapError(
      (error) =>
        new ServiceFileInvalid({
          path,
          problems: [
            {
              line: 0,
              column: 0,
              field: "",
              problem:
                error.reason._tag === "NotFound"
                  ? "no such file: write one (see --help), name it with --file, or give --user, --project and --port"
                  : error.message
            }
          ]
        })
    )
  )
  return yield* parseServiceFile(path, text)
})

const { definitions, schema } = Schema.toJsonSchemaDocument(ServiceFile, { onExcessProperty: "error" })

/** The service file's JSON Schema (draft 2020-12), for editors. */
export const serviceFileJsonSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "mcpdeploy service file",
  ...schema,
  $defs: definitions
}
