/**
 * The patterns of `.dockerignore` and of COPY, as `github.com/moby/patternmatcher` matches them.
 *
 * BuildKit reads the ignore file itself and sends the patterns; the client must choose the same files as buildctl would.
 * Deviations, all where moby leaks its regular expressions: `|`, `{` and `}` are themselves, and a backslash always makes
 * the next character literal.
 */
import * as path from "node:path/posix"

/** The pattern cannot be read: an open `[`, a backslash at the end, or a lone `!`. */
export class BadPattern extends Error {
  override readonly name = "BadPattern"
  constructor(pattern: string, detail: string) {
    super(`the pattern "${pattern}" cannot be read: ${detail}`)
  }
}

/** Go's `filepath.Clean`. */
export const clean = (text: string): string => {
  const normal = path.normalize(text)
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal
}

const regexSyntax = /[\\^$.*+?()[\]{}|/]/
const literal = (character: string): string => (regexSyntax.test(character) ? `\\${character}` : character)

interface Compiled {
  /** Of the whole path. */
  readonly matches: (path: string) => boolean
}

/** `[…]` of a pattern, which begins at `start`: the regular expression's class, and the index behind it. */
const readClass = (
  pattern: string,
  characters: ReadonlyArray<string>,
  start: number
): readonly [source: string, next: number] => {
  let index = start + 1
  let source = "["
  if (characters[index] === "^") {
    source += "^"
    index++
  }
  const one = (): string => {
    let character = characters[index++]
    if (character === "\\") character = characters[index++]
    if (character === undefined) throw new BadPattern(pattern, "a [ without ]")
    return character
  }
  let members = 0
  while (characters[index] !== "]" || members === 0) {
    if (characters[index] === undefined || characters[index] === "]" || characters[index] === "-") {
      throw new BadPattern(pattern, "a [ without ], or an empty class")
    }
    const low = one()
    source += escapeInClass(low)
    if (characters[index] === "-") {
      index++
      if (characters[index] === "]") throw new BadPattern(pattern, "a range without end")
      const high = one()
      if ((low.codePointAt(0) ?? 0) > (high.codePointAt(0) ?? 0)) {
        throw new BadPattern(pattern, "a range that runs backwards")
      }
      source += `-${escapeInClass(high)}`
    }
    members++
  }
  return [`${source}]`, index + 1]
}
const escapeInClass = (character: string): string =>
  /[\\\]^[-]/.test(character) ? `\\${character}` : character

const compile = (pattern: string): Compiled => {
  const characters = Array.from(pattern)
  let source = "^"
  let kind: "exact" | "prefix" | "suffix" | "regex" = "exact"
  for (let index = 0, first = true; index < characters.length; first = false) {
    const character = characters[index] ?? ""
    if (character === "*" && characters[index + 1] === "*") {
      index += 2
      if (characters[index] === "/") index++
      if (index < characters.length) {
        source += "(?:[^\\n]*\\/)?"
        kind = "regex"
      } else if (kind === "exact") {
        kind = "prefix"
      } else {
        source += "[^\\n]*"
        kind = "regex"
      }
      if (first) kind = "suffix"
    } else if (character === "*") {
      source += "[^/]*"
      kind = "regex"
      index++
    } else if (character === "?") {
      source += "[^/]"
      kind = "regex"
      index++
    } else if (character === "\\") {
      const next = characters[index + 1]
      if (next === undefined) throw new BadPattern(pattern, "a backslash at the end")
      source += literal(next)
      kind = "regex"
      index += 2
    } else if (character === "[") {
      const [set, next] = readClass(pattern, characters, index)
      source += set
      kind = "regex"
      index = next
    } else {
      source += literal(character)
      if (character === "]") kind = "regex"
      index++
    }
  }
  switch (kind) {
    case "exact":
      return { matches: (file) => file === pattern }
    case "prefix": {
      const prefix = pattern.slice(0, -2)
      return { matches: (file) => file.startsWith(prefix) }
    }
    case "suffix": {
      const suffix = pattern.slice(2)
      return {
        matches: (file) => file.endsWith(suffix) || (suffix.startsWith("/") && file === suffix.slice(1))
      }
    }
    case "regex": {
      const regex = new RegExp(`${source}$`, "u")
      return { matches: (file) => regex.test(file) }
    }
  }
}

/** Go's `filepath.Match`: one pattern against one name, `**` without meaning of its own. */
export const matchName = (pattern: string): ((name: string) => boolean) =>
  compile(pattern.replaceAll(/\*{2,}/g, "*")).matches

/** One pattern of a list. */
export interface Pattern {
  /** Cleaned, without `!`. */
  readonly text: string
  /** It began with `!`. */
  readonly negated: boolean
  readonly matches: (path: string) => boolean
}

/** For each pattern, whether it matched a folder or one of its parents. */
export type ParentMatches = ReadonlyArray<boolean>

/** A list of patterns: the last one that matches a path, or one of its parents, decides. */
export class PatternMatcher {
  readonly patterns: ReadonlyArray<Pattern>
  /** Throws {@link BadPattern}. */
  constructor(patterns: ReadonlyArray<string>) {
    this.patterns = patterns.flatMap((given) => {
      const trimmed = given.trim()
      if (trimmed === "") return []
      const cleaned = clean(trimmed)
      const negated = cleaned.startsWith("!")
      const text = negated ? cleaned.slice(1) : cleaned
      if (text === "") throw new BadPattern(given, "nothing behind the !")
      return [{ text, negated, matches: compile(text).matches }]
    })
  }

  get hasNegated(): boolean {
    return this.patterns.some((pattern) => pattern.negated)
  }

  /** Whether the path matches, given what its folder matched; without that, its parents are asked as well. */
  match(
    file: string,
    parent?: ParentMatches
  ): { readonly matched: boolean; readonly matches: ParentMatches } {
    let matched = false
    const matches: Array<boolean> = this.patterns.map(() => false)
    for (const [index, pattern] of this.patterns.entries()) {
      let match = parent?.[index] ?? false
      if (!match) {
        // a pattern that could not change the outcome is not tried
        if (pattern.negated !== matched) continue
        match = pattern.matches(file) || (parent === undefined && matchesParent(pattern, file))
      }
      matches[index] = match
      if (match) matched = !pattern.negated
    }
    return { matched, matches }
  }
}

const matchesParent = (pattern: Pattern, file: string): boolean => {
  for (let end = file.indexOf("/", 1); end > 0; end = file.indexOf("/", end + 1)) {
    if (pattern.matches(file.slice(0, end))) return true
  }
  return false
}
