/** YamlFile: a YAML file that a person writes, decoded with Schema; what is wrong in it is told by line, column and field. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { LineCounter, parseDocument } from "yaml"

/** A place in a file, and what is wrong there. Lines and columns begin with 1; line 0 is the file as a whole. */
export const FileProblem = Schema.Struct({
  line: Schema.Int,
  column: Schema.Int,
  /** Path of the field, such as `services.web.run.port`. */
  field: Schema.String,
  problem: Schema.String
})
export type FileProblem = typeof FileProblem.Type

/** One line for each problem, as compilers print them. */
export const problemLines = (path: string, problems: ReadonlyArray<FileProblem>): string =>
  problems
    .map(({ column, field, line, problem }) =>
      line === 0
        ? `${path}: ${problem}`
        : `${path}:${line}:${column}: ${field === "" ? "" : `${field}: `}${problem}`
    )
    .join("\n")

/** The file is not there, is not YAML, or a field of it is wrong: says which, where, and what was expected. */
export class YamlFileInvalid extends Schema.TaggedError<YamlFileInvalid>()("YamlFileInvalid", {
  path: Schema.String,
  problems: Schema.Array(FileProblem)
}) {
  readonly retryable = false
  override get message(): string {
    return problemLines(this.path, this.problems)
  }
}

export interface YamlFile {
  readonly path: string
  /** Whether something stands there. */
  readonly has: (at: ReadonlyArray<string>) => boolean
  /** What stands at `at` (the whole file when empty). A field that the schema does not know is a problem. */
  readonly decode: <A, I>(
    schema: Schema.Codec<A, I>,
    at?: ReadonlyArray<string>
  ) => Effect.Effect<A, YamlFileInvalid>
  /** A problem that a schema cannot see, at a field. */
  readonly problem: (at: ReadonlyArray<string>, problem: string) => FileProblem
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** An alias can make a short file endless. */
const maxAliases = 100

/** Parses a file's text. `path` is for messages only. */
export const parseYaml = Effect.fn("parseYaml")(function* (
  path: string,
  text: string
): Effect.fn.Return<YamlFile, YamlFileInvalid> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return yield* new YamlFileInvalid({
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
  const problem = (at: ReadonlyArray<string>, what: string): FileProblem => ({
    ...position(at),
    field: at.join("."),
    problem: what
  })
  const root = yield* Effect.try({
    try: (): unknown => document.toJS({ maxAliasCount: maxAliases }),
    catch: () => new YamlFileInvalid({ path, problems: [problem([], "its aliases expand to too much")] })
  })
  const valueAt = (at: ReadonlyArray<string>): unknown =>
    at.reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null
          ? Object.getOwnPropertyDescriptor(value, key)?.value
          : undefined,
      root
    )
  return {
    path,
    problem,
    has: (at) => valueAt(at) !== undefined,
    decode: (schema, at = []) =>
      Schema.decodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })(valueAt(at)).pipe(
        Effect.mapError(
          ({ issue }) =>
            new YamlFileInvalid({
              path,
              problems: formatIssue(issue).issues.map(({ message, path: field = [] }) =>
                problem(
                  [...at, ...field.map((part) => String(typeof part === "object" ? part.key : part))],
                  message
                )
              )
            })
        )
      )
  }
})

/** Reads and parses a file. `missing` is what is said when there is none. */
export const readYaml = Effect.fn("readYaml")(function* (path: string, missing = "there is no such file") {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(path).pipe(
    Effect.mapError(
      (error) =>
        new YamlFileInvalid({
          path,
          problems: [
            {
              line: 0,
              column: 0,
              field: "",
              problem: error.reason._tag === "NotFound" ? missing : error.message
            }
          ]
        })
    )
  )
  return yield* parseYaml(path, text)
})
