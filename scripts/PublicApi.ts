/** What a module exports, with the docstrings: read from sources, or from the declarations that the compiler made of them. */
import { readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { parseSync } from "oxc-parser"

export interface Export {
  readonly name: string
  /** The text of the docstring; undefined where there is none. */
  readonly doc: string | undefined
  /** The declaration as it stands in its file, with what it extends in place of the compiler's name for that. */
  readonly text: string
}

interface Parsed {
  /** What is said of the module as a whole, above its imports. */
  readonly about: string | undefined
  /** By name; a value and a type of one name are two. */
  readonly declared: ReadonlyArray<Export>
  /** Names that are exported here and declared in another file, undefined for all of its. */
  readonly again: ReadonlyArray<{ readonly name: string | undefined; readonly from: string }>
}

/** The words of a comment's lines. */
const wordsOf = (comment: string): string =>
  comment
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
    .join("\n")
    .trim()

const parse = (file: string): Parsed => {
  const text = readFileSync(file, "utf8")
  const { comments, module, program } = parseSync(file, text)
  const docs = comments.filter(({ type, value }) => type === "Block" && value.startsWith("*"))
  const docBefore = (start: number): string | undefined => {
    const found = docs.findLast(({ end }) => end <= start)
    return found !== undefined && /^\s*(\/\/.*\s*)*$/.test(text.slice(found.end, start))
      ? wordsOf(found.value.slice(1))
      : undefined
  }
  const firstImport = module.staticImports[0]?.start ?? Number.POSITIVE_INFINITY
  const first = docs[0]

  /** `declare const X_base: T`, by which the compiler gives a name to what a class extends. */
  const bases = new Map(
    program.body.flatMap((statement) => {
      if (statement.type !== "VariableDeclaration") return []
      const [declarator] = statement.declarations
      return declarator?.id.type === "Identifier" && declarator.id.typeAnnotation != null
        ? [
            [
              declarator.id.name,
              text.slice(declarator.id.typeAnnotation.start + 1, declarator.end).trim()
            ] as const
          ]
        : []
    })
  )
  const named = (name: string, start: number, end: number): Export => ({
    name,
    doc: docBefore(start),
    text: text
      .slice(start, end)
      .replace(/\bextends (\w+_base)\b/, (whole, base: string) => `extends ${bases.get(base) ?? whole}`)
  })

  const declared: Array<Export> = []
  const again: Array<{ readonly name: string | undefined; readonly from: string }> = []
  for (const statement of program.body) {
    if (statement.type === "ExportAllDeclaration") {
      again.push({ name: undefined, from: statement.source.value })
    } else if (statement.type === "ExportNamedDeclaration" && statement.source !== null) {
      for (const { exported } of statement.specifiers) {
        again.push({
          name: exported.type === "Identifier" ? exported.name : exported.value,
          from: statement.source.value
        })
      }
    } else if (statement.type === "ExportNamedDeclaration" && statement.declaration !== null) {
      const { declaration, end, start } = statement
      if (declaration.type === "VariableDeclaration") {
        for (const { id } of declaration.declarations) {
          if (id.type === "Identifier") declared.push(named(id.name, start, end))
        }
      } else if ("id" in declaration && declaration.id?.type === "Identifier") {
        declared.push(named(declaration.id.name, start, end))
      }
    }
  }
  return {
    about: first !== undefined && first.end < firstImport ? wordsOf(first.value.slice(1)) : undefined,
    declared,
    again
  }
}

export interface Api {
  readonly about: string | undefined
  readonly exports: ReadonlyArray<Export>
}

/** What a file exports, what it takes from other files included. */
export const publicApi = (file: string): Api => {
  const { about, again, declared } = parse(file)
  const taken = again
    .filter(({ from }) => from.startsWith("."))
    .flatMap(({ from, name }) => {
      const target = file.endsWith(".d.ts") ? from.replace(/\.[jt]s$/, ".d.ts") : from
      const { exports } = publicApi(resolve(dirname(file), target))
      return name === undefined ? exports : exports.filter((one) => one.name === name)
    })
  return { about, exports: [...declared, ...taken] }
}

/** Names that no docstring is about. Of a value and a type of one name, one docstring is about both. */
export const undocumented = ({ exports }: Api): ReadonlyArray<string> => {
  const documented = new Set(exports.flatMap(({ doc, name }) => (doc === undefined ? [] : [name])))
  return [...new Set(exports.map(({ name }) => name).filter((name) => !documented.has(name)))]
}
