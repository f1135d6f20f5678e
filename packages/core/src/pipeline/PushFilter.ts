/** PushFilter: whether a push deploys by itself, from what is known of it. One rule for webhooks and for reconciling. Pure. */
import ignore from "ignore"
import { defaultRootDirectory, type DeployRequest, dockerfileOf } from "../domain/DeployRequest.ts"

/** What a push brings, as far as it is known. */
export interface PushedChanges {
  /** Of the newest commit. */
  readonly message: string
  /** Changed files, from the repository's root; absent where they are not known. */
  readonly paths?: Iterable<string>
}

/** Why a push deploys nothing. */
export interface Filtered {
  readonly rule: "skip-ci" | "paths" | "disabled"
  readonly detail: string
}

/**
 * Marks in the newest commit's message, in any letter case: GitHub Actions'
 * (https://docs.github.com/actions/managing-workflow-runs/skipping-workflow-runs), and the platform's own.
 */
const skipMark =
  /\[(?:skip ci|ci skip|no ci|skip actions|actions skip|skip deploy|deploy skip)\]|^skip-checks: ?true\s*$/im

type Matcher = (path: string) => boolean

/** Compiled once for a trigger, and gone with it. */
const matchers = new WeakMap<ReadonlyArray<string>, Matcher>()

/** Git allows any bytes in a path: one that no glob can be held against counts as meant. */
const matcherOf = (patterns: ReadonlyArray<string>): Matcher => {
  const known = matchers.get(patterns)
  if (known !== undefined) return known
  const globs = ignore({ ignorecase: false }).add([...patterns])
  const matcher: Matcher = (path) => !ignore.isPathValid(path) || globs.ignores(path)
  matchers.set(patterns, matcher)
  return matcher
}

/**
 * The Dockerfile where it lies outside of the root directory, and its ignore file: who names the paths of an app thinks of
 * that app's folder.
 */
const filesBeside = (request: Pick<DeployRequest, "build" | "source">): ReadonlyArray<string> => {
  const { rootDirectory = defaultRootDirectory } = request.source
  const dockerfile = dockerfileOf(request)
  const inside = rootDirectory.split("/").filter((part) => part !== "" && part !== ".")
  const parts = dockerfile?.split("/") ?? []
  return dockerfile === undefined || inside.every((part, index) => part === parts[index])
    ? []
    : [dockerfile, `${dockerfile}.dockerignore`]
}

/** undefined: it deploys, as it does where something is not known. A deploy too many does no harm, one too few does. */
export const filterPush = (
  request: Pick<DeployRequest, "build" | "source" | "trigger">,
  { message, paths }: PushedChanges
): Filtered | undefined => {
  const { trigger } = request
  if (trigger?.enabled === false) return { rule: "disabled", detail: "trigger.enabled is false" }
  const [mark] = skipMark.exec(message) ?? []
  if (mark !== undefined) return { rule: "skip-ci", detail: `the commit's message says ${mark.trim()}` }
  if (trigger?.paths === undefined || paths === undefined) return undefined
  const beside = filesBeside(request)
  const matches = matcherOf(trigger.paths)
  return [...paths].some((path) => beside.includes(path) || matches(path))
    ? undefined
    : { rule: "paths", detail: `no changed path is among ${trigger.paths.join(", ")}` }
}
