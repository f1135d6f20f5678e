/** PushFilter: whether a push deploys by itself, from what its sender says in it. Pure. */
import ignore from "ignore"
import type { TriggerSpec } from "../domain/DeployRequest.ts"

export interface PushedChanges {
  /** Of the newest commit. */
  readonly message: string
  /** Changed files, from the repository's root; absent where they are not known. */
  readonly paths?: ReadonlyArray<string>
}

/** Why a push deploys nothing. */
export interface Filtered {
  readonly rule: "skip-ci" | "paths" | "disabled"
  readonly detail: string
}

/** As GitHub, GitLab and Gitea have it: docs.github.com/actions/managing-workflow-runs/skipping-workflow-runs. */
const skip = /\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]|^skip-checks: *true$/im

/** Git allows any bytes in a path; `ignore` takes paths that lead nowhere else. */
const isInside = (path: string): boolean => ignore.isPathValid(path)

/** undefined: it deploys. Where the changed paths are not known, every push counts as one that changes them. */
export const filterPush = (
  trigger: TriggerSpec | undefined,
  { message, paths }: PushedChanges
): Filtered | undefined => {
  if (trigger?.enabled === false) return { rule: "disabled", detail: "the service's trigger is switched off" }
  const [mark] = skip.exec(message) ?? []
  if (mark !== undefined) return { rule: "skip-ci", detail: `the commit's message says ${mark}` }
  if (trigger?.paths === undefined || paths === undefined) return undefined
  const wanted = ignore({ ignorecase: false }).add([...trigger.paths])
  if (paths.some((path) => isInside(path) && wanted.ignores(path))) return undefined
  return {
    rule: "paths",
    detail: `none of the ${paths.length} changed files is in ${trigger.paths.join(", ")}`
  }
}
