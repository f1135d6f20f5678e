/**
 * Walks a build context in the order and with the choices of fsutil, BuildKit's own file sync.
 *
 * Nothing outside the root is read: symlinks are listed as symlinks and never followed.
 */
import { isUtf8 } from "node:buffer"
import * as fs from "node:fs"
import { type FileStat, deviceOf, toGoMode } from "./FileStat.ts"
import { followLinks } from "./FollowLinks.ts"
import { type ParentMatches, type Pattern, PatternMatcher } from "./PatternMatcher.ts"

/** What of the root is wanted, as the builder asks for it. */
export interface WalkFilter {
  readonly include: ReadonlyArray<string>
  readonly exclude: ReadonlyArray<string>
  /** Paths wanted with whatever their symlinks point to. */
  readonly follow: ReadonlyArray<string>
}

/** A name that is wanted is not UTF-8, so that neither the wire nor an image can carry it. */
export class NameNotUtf8 extends Error {
  override readonly name = "NameNotUtf8"
  readonly path: string
  constructor(file: string, what = "its name") {
    super(`${what} is not UTF-8: give it another, or exclude it by .dockerignore`)
    this.path = file
  }
}

/** What node puts in the place of bytes that are not UTF-8. A name may have it of itself, too. */
const replacement = "\ufffd"

/** A name in a folder. `raw`: the file system's, where it is not UTF-8; `text` then has a replacement for each such byte. */
interface Name {
  readonly text: string
  readonly raw?: Buffer
}

const nameOf = (raw: Buffer): Name => {
  if (isUtf8(raw)) return { text: raw.toString() }
  // byte by byte, as Go reads it: a pattern's ? is one byte of these
  let text = ""
  for (let start = 0; start < raw.length;) {
    const length = [1, 2, 3, 4].find((length) => isUtf8(raw.subarray(start, start + length)))
    text += length === undefined ? replacement : raw.toString("utf8", start, start + length)
    start += length ?? 1
  }
  return { text, raw }
}

/** In UTF-16's order these come before U+E000 to U+FFFF, in UTF-8's behind: surrogates, and what they are compared with. */
const ordersDifferently = /[\ud800-\uffff]/

/** Sorts by the bytes of UTF-8, the order in which the receiver insists. */
export const sortNames = (names: ReadonlyArray<string>): Array<string> =>
  names.some((name) => ordersDifferently.test(name))
    ? names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    : names.toSorted()

const withoutTrailingGlob = ({ text }: Pattern): string => {
  const trimmed = text.endsWith("/**") ? text.slice(0, -3) : text
  return trimmed.endsWith("/*") ? trimmed.slice(0, -2) : trimmed
}
const hasWildcard = (pattern: Pattern): boolean => /[*[\]?^\\]/.test(withoutTrailingGlob(pattern))
const mayMatchBelow = (patterns: ReadonlyArray<Pattern>, directory: string): boolean =>
  patterns.some((pattern) => `${withoutTrailingGlob(pattern)}/`.startsWith(`${directory}/`))

const isPermissionDenied = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "EACCES"

interface Directory {
  readonly path: string
  readonly stats: fs.BigIntStats
  readonly included: ParentMatches | undefined
  readonly excluded: ParentMatches | undefined
  listed: boolean
}

type Decision = { readonly list: boolean; readonly enter: boolean } & Pick<Directory, "included" | "excluded">

/** Which entries are listed, and which folders need not be entered. */
class Selection {
  private readonly include: PatternMatcher | undefined
  private readonly exclude: PatternMatcher | undefined
  private readonly included: ReadonlyArray<Pattern>
  private readonly exceptions: ReadonlyArray<Pattern>
  private readonly pruneIncludes: boolean
  private readonly pruneExcludes: boolean

  constructor(root: string, filter: WalkFilter) {
    const followed = filter.follow.length > 0 ? withoutNested(followLinks(root, filter.follow)) : undefined
    const include =
      followed === undefined ? filter.include : (withoutNested([...filter.include, ...followed]) ?? [])
    this.include = include.length > 0 ? new PatternMatcher(include) : undefined
    this.exclude = filter.exclude.length > 0 ? new PatternMatcher(filter.exclude) : undefined
    this.included = this.include?.patterns.filter((pattern) => !pattern.negated) ?? []
    this.exceptions = this.exclude?.patterns.filter((pattern) => pattern.negated) ?? []
    this.pruneIncludes = !this.included.some(hasWildcard)
    this.pruneExcludes = !this.exceptions.some(hasWildcard)
  }

  decide(file: string, isDirectory: boolean, parent: Directory | undefined): Decision {
    const included = this.include?.match(file, parent?.included)
    const excluded = this.exclude?.match(file, parent?.excluded)
    const notIncluded = included !== undefined && !included.matched
    const isExcluded = excluded?.matched === true
    const enter =
      isDirectory &&
      !(notIncluded && this.pruneIncludes && !mayMatchBelow(this.included, file)) &&
      !(isExcluded && this.pruneExcludes && !mayMatchBelow(this.exceptions, file))
    return {
      list: !notIncluded && !isExcluded,
      enter,
      included: included?.matches,
      excluded: excluded?.matches
    }
  }
}

const joined = (directory: string | Buffer, name: string | Buffer): Buffer =>
  Buffer.concat([Buffer.from(directory), Buffer.from("/"), Buffer.from(name)])

/** fsutil's dedupePaths: a path below the path before it goes; undefined when the root is among them. */
const withoutNested = (paths: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const kept: Array<string> = []
  let last = ""
  for (const one of paths) {
    if (one === ".") return undefined
    if (one.startsWith(`${last}/`)) continue
    kept.push(one)
    last = one
  }
  return kept
}

/**
 * The entries of `root`, depth first, siblings in byte order, a folder before what is in it. Reads synchronously: the
 * caller chooses when to go on.
 */
export function* walk(root: string, filter: WalkFilter): Generator<FileStat> {
  const selection = new Selection(root, filter)
  const firstPathOf = new Map<bigint, string>()
  const ancestors: Array<Directory> = []

  const linkTarget = (file: string): string => {
    const target = fs.readlinkSync(`${root}/${file}`)
    if (target.includes(replacement) && !isUtf8(fs.readlinkSync(`${root}/${file}`, "buffer")))
      throw new NameNotUtf8(file, "what it links to")
    return target
  }

  const statOf = (file: string, stats: fs.BigIntStats): FileStat => {
    const [deviceMajor, deviceMinor] = deviceOf(stats)
    let size = stats.isDirectory() ? 0 : Number(stats.size)
    let linkName = ""
    if (stats.isSymbolicLink()) linkName = linkTarget(file)
    else if (!stats.isDirectory() && stats.nlink > 1n) {
      const first = firstPathOf.get(stats.ino)
      if (first === undefined) firstPathOf.set(stats.ino, file)
      else {
        linkName = first
        size = 0
      }
    }
    const modifiedNs = stats.mtimeNs
    return {
      path: file,
      mode: toGoMode(Number(stats.mode)),
      size,
      modifiedNs,
      linkName,
      deviceMajor,
      deviceMinor
    }
  }

  const namesIn = (directory: string | Buffer): ReadonlyArray<Name> => {
    try {
      const names = fs.readdirSync(directory)
      if (!names.some((name) => name.includes(replacement))) return sortNames(names).map((text) => ({ text }))
      return fs.readdirSync(directory, "buffer").toSorted(Buffer.compare).map(nameOf)
    } catch (error) {
      // a folder that is only entered because an exception might match below it
      if (ancestors.at(-1)?.listed === false && isPermissionDenied(error)) return []
      throw error
    }
  }

  function* walkDirectory(directory: string, real: string | Buffer): Generator<FileStat> {
    const prefix = directory === "" ? "" : `${directory}/`
    for (const { raw, text } of namesIn(real)) {
      const file = prefix + text
      const path =
        raw === undefined && typeof real === "string" ? `${real}/${text}` : joined(real, raw ?? text)
      const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
      if (stats === undefined) continue
      const isDirectory = stats.isDirectory()
      const { enter, excluded, included, list } = selection.decide(file, isDirectory, ancestors.at(-1))
      if (list) {
        if (typeof path !== "string") throw new NameNotUtf8(file)
        for (const ancestor of ancestors) {
          if (ancestor.listed) continue
          ancestor.listed = true
          yield statOf(ancestor.path, ancestor.stats)
        }
        yield statOf(file, stats)
      }
      if (enter) {
        ancestors.push({ path: file, stats, included, excluded, listed: list })
        yield* walkDirectory(file, path)
        ancestors.pop()
      }
    }
  }
  yield* walkDirectory("", root)
}
