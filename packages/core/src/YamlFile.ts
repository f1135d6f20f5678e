/** YamlFile: a YAML file that a person writes, decoded with Schema; what is wrong in it is told by line, column and field. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Scalar } from "yaml"

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

/** A YAML file that was read, and where in it something stands. */
export interface YamlFile {
  readonly path: string
  /** Whether something stands there. */
  readonly has: (at: ReadonlyArray<string>) => boolean
  /**
   * What stands at `at` (the whole file when empty). A field that the schema does not know is a problem. Where the schema
   * wants text, a number or `true` is its source (`8080`), and a problem where people and YAML read it differently (`01234`).
   * `words`: so is a word without quotes that YAML 1.1 reads otherwise (`yes`, `2026-01-01`).
   */
  readonly decode: <A, I>(
    schema: Schema.Codec<A, I>,
    at?: ReadonlyArray<string>,
    options?: { readonly words?: boolean }
  ) => Effect.Effect<A, YamlFileInvalid>
  /** A problem that a schema cannot see, at a field. */
  readonly problem: (at: ReadonlyArray<string>, problem: string) => FileProblem
}

const textExpected = "Expected text"

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "InvalidType" && issue.ast._tag === "String"
      ? textExpected
      : SchemaIssue.defaultLeafHook(issue)
})

/** An alias can make a short file endless. */
const maxAliases = 100

/** What a person writes without quotes, as the file has it. */
interface Plain {
  readonly source: string
  /** What YAML 1.2 reads. */
  readonly value: unknown
}

const plainOf = ({ source, tag, type, value }: Scalar): Plain | undefined =>
  type === "PLAIN" && tag === undefined && source !== undefined ? { source, value } : undefined

/** Numbers and words that every YAML, and every person, writes in one way: the text of one is its source. */
const oneText = /^(?:true|false|0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])$/

/** What YAML 1.1 reads, which most editors and tools are made for: `yes`, dates and `22:22` are no text there. */
const oldReading = (source: string): unknown => {
  const { contents } = parseDocument(source, { schema: "yaml-1.1" })
  return isScalar(contents) ? contents.value : source
}

/** Longer ones are not repeated. */
const shownCharacters = 60

const named = (value: unknown): string => {
  if (value instanceof Date) return "a date"
  if (value === null) return "nothing"
  return typeof value === "number" || typeof value === "bigint" ? `the number ${value}` : String(value)
}

/** Why a plain scalar is not taken as text: YAML has another reading of it. */
const otherReading = ({ source, value }: Plain): string | undefined => {
  if (oneText.test(source)) return undefined
  const reading = typeof value === "string" ? oldReading(value) : value
  if (typeof reading === "string") return undefined
  if (source.length > shownCharacters)
    return `${textExpected}: write it in quotes, since it can be read as a number`
  return `${textExpected}: write ${JSON.stringify(source)}, since ${source === "" ? "an empty value" : source} can be read as ${named(reading)}`
}

/** `value` with `text` at `path`. */
const withText = (value: unknown, [key, ...rest]: ReadonlyArray<string>, text: string): unknown => {
  if (key === undefined) return text
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (String(index) === key ? withText(item, rest, text) : item))
  if (typeof value !== "object" || value === null) return value
  const inner: unknown = Object.getOwnPropertyDescriptor(value, key)?.value
  return { ...value, [key]: withText(inner, rest, text) }
}

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
  const resolved = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node)
  const nodeAt = (at: ReadonlyArray<string>): unknown =>
    at.reduce<unknown>((parent, key) => {
      const node = resolved(parent)
      if (isSeq(node)) return node.items[Number(key)]
      // by text: a key may be a number
      return isMap(node)
        ? node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key)?.value
        : undefined
    }, document.contents)
  /** The deepest part of a field's path that stands in the file. */
  const position = (field: ReadonlyArray<string>): { line: number; column: number } => {
    for (let length = field.length; length >= 0; length--) {
      const node = nodeAt(field.slice(0, length))
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
  /** Every scalar that stands under a node, with its path; keys with the path of their value. */
  const scalarsUnder = (
    node: unknown,
    at: ReadonlyArray<string>
  ): ReadonlyArray<{
    readonly at: ReadonlyArray<string>
    readonly scalar: Scalar
    readonly isKey: boolean
  }> => {
    if (isScalar(node)) return [{ at, scalar: node, isKey: false }]
    if (isSeq(node)) return node.items.flatMap((item, index) => scalarsUnder(item, [...at, String(index)]))
    if (!isMap(node)) return []
    return node.items.flatMap(({ key, value }) => {
      const inner = [...at, isScalar(key) ? String(key.value) : ""]
      const keys = isScalar(key) ? [{ at: inner, scalar: key, isKey: true }] : []
      return [...keys, ...scalarsUnder(value, inner)]
    })
  }
  const decode = Effect.fnUntraced(function* <A, I>(
    schema: Schema.Codec<A, I>,
    at: ReadonlyArray<string> = [],
    { words = false }: { readonly words?: boolean } = {}
  ): Effect.fn.Return<A, YamlFileInvalid> {
    const attempt = (value: unknown) =>
      Schema.decodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })(value).pipe(
        Effect.mapError(({ issue }) =>
          formatIssue(issue).issues.map(({ message, path: field = [] }) => ({
            message,
            field: field.map((part) => String(typeof part === "object" ? part.key : part))
          }))
        ),
        Effect.result
      )
    const value = valueAt(at)
    const first = yield* attempt(value)
    const texts = (Result.isFailure(first) ? first.failure : []).flatMap(({ field, message }) => {
      const node = message === textExpected ? resolved(nodeAt([...at, ...field])) : undefined
      const plain = isScalar(node) ? plainOf(node) : undefined
      return plain === undefined ? [] : [{ field, plain }]
    })
    const result =
      texts.length === 0
        ? first
        : yield* attempt(texts.reduce((all, { field, plain }) => withText(all, field, plain.source), value))
    const said = (Result.isFailure(result) ? result.failure : []).map(({ field, message }) =>
      problem([...at, ...field], message)
    )
    const unclear = [
      ...texts.map(({ field, plain }) => ({ field: [...at, ...field], plain })),
      ...(words ? scalarsUnder(nodeAt(at), at) : []).flatMap(({ at: field, isKey, scalar }) => {
        const plain = plainOf(scalar)
        // a value that is no word stands where the schema wants it; a key that is none has lost how it was written
        const isJudged = isKey ? typeof plain?.value !== "string" : typeof plain?.value === "string"
        return plain !== undefined && isJudged ? [{ field, plain }] : []
      })
    ].flatMap(({ field, plain }) => {
      const why = otherReading(plain)
      // what else is wrong with a field is enough to say, and says no value
      return why === undefined || said.some((other) => other.field === field.join("."))
        ? []
        : [problem(field, why)]
    })
    if (Result.isSuccess(result) && unclear.length === 0) return result.success
    const inOrder = [...said, ...unclear].toSorted((a, b) => a.line - b.line || a.column - b.column)
    return yield* new YamlFileInvalid({ path, problems: inOrder })
  })
  return { path, problem, has: (at) => valueAt(at) !== undefined, decode }
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
