/** Resolves the symlinks of the paths that a COPY names, inside the root (fsutil's FollowLinks). */
import * as fs from "node:fs"
import * as path from "node:path/posix"
import { clean, matchName } from "./PatternMatcher.ts"

const hasWildcard = (name: string): boolean => {
  for (let index = 0; index < name.length; index++) {
    const character = name[index]
    if (character === "\\") index++
    else if (character === "*" || character === "?" || character === "[") return true
  }
  return false
}

/** An absolute target means the root's; nothing climbs above it. */
const rooted = (file: string): string => clean(`/${file}`).slice(1) || "."

const linkTarget = (root: string, file: string): string | undefined => {
  try {
    if (file === "." || !fs.lstatSync(path.join(root, file)).isSymbolicLink()) return undefined
    const target = fs.readlinkSync(path.join(root, file))
    return path.isAbsolute(target) ? rooted(target) : rooted(path.join(path.dirname(file), target))
  } catch {
    // not there, or not a folder: then the pattern itself decides
    return undefined
  }
}

/** Targets of the symlinks that `file` names, whose last part may be a wildcard; undefined when it names none. */
const linkTargets = (root: string, file: string): ReadonlyArray<string> | undefined => {
  const base = path.basename(file)
  if (!hasWildcard(base)) {
    const target = linkTarget(root, file)
    return target === undefined ? undefined : [target]
  }
  const matches = matchName(base)
  let names: ReadonlyArray<string>
  try {
    names = fs.readdirSync(path.join(root, path.dirname(file)))
  } catch {
    return undefined
  }
  const targets = names
    .filter(matches)
    .flatMap((name) => linkTarget(root, path.join(path.dirname(file), name)) ?? [])
  return targets.length > 0 ? targets : undefined
}

/** The paths themselves and everything that their symlinks lead to, sorted; "." is the root. */
export const followLinks = (root: string, paths: ReadonlyArray<string>): ReadonlyArray<string> => {
  const resolved = new Set<string>()
  const follow = (start: string): void => {
    let rest = rooted(start)
    let current = "."
    for (;;) {
      const slash = rest.indexOf("/")
      current = path.join(current, slash < 0 ? rest : rest.slice(0, slash))
      rest = slash < 0 ? "" : rest.slice(slash + 1)
      const targets = linkTargets(root, current)
      if ((rest === "" || targets !== undefined) && resolved.has(current)) return
      if (targets !== undefined) {
        resolved.add(current)
        for (const target of targets) follow(path.join(target, rest))
        return
      }
      if (rest === "") {
        resolved.add(current)
        return
      }
    }
  }
  for (const one of paths) follow(one)
  return Array.from(resolved).toSorted()
}
