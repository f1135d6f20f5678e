/** Decision: what a push means for one service. Pure. */
import type { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import type { FilterRule } from "@mcpdeploy/temporal-contract/contract"
import ignore from "ignore"
import type { DeleteEvent, PushEvent } from "./ForgeEvent.ts"

export type Decision =
  | { readonly _tag: "Deploy" }
  | {
      readonly _tag: "Filtered"
      readonly rule: FilterRule
      readonly detail: string
      /** It holds only where the push threw no commit away, which the event does not say. */
      readonly unlessForced?: true
    }

const deploy: Decision = { _tag: "Deploy" }
const filtered = (rule: FilterRule, detail: string): Decision => ({ _tag: "Filtered", rule, detail })

/**
 * Marks in the newest commit's message, in any letter case. The first three are GitHub Actions':
 * https://docs.github.com/actions/managing-workflow-runs/skipping-workflow-runs
 */
const skipMark = /\[(?:skip ci|ci skip|no ci|skip deploy|deploy skip)\]|^skip-checks: ?true\s*$/im

/** Whether `ref`, as a service names its source, is the full name `fullName`. */
export const isSourceOf = (ref: string, fullName: string, defaultBranch: string | undefined): boolean => {
  if (ref === "HEAD") return fullName === `refs/heads/${defaultBranch}`
  if (ref.startsWith("refs/")) return ref === fullName
  return fullName === `refs/heads/${ref}` || fullName === `refs/tags/${ref}`
}

type Filter = (paths: ReadonlySet<string>) => boolean

/** Compiled once for a request, and gone with it. */
const filters = new WeakMap<ReadonlyArray<string>, Filter>()

const filterOf = (patterns: ReadonlyArray<string>): Filter => {
  const known = filters.get(patterns)
  if (known !== undefined) return known
  const matcher = ignore({ ignorecase: false }).add([...patterns])
  const filter: Filter = (paths) =>
    [...paths].some((path) => !ignore.isPathValid(path) || matcher.ignores(path))
  filters.set(patterns, filter)
  return filter
}

const short = (text: string): string => (text.length > 200 ? `${text.slice(0, 199)}…` : text)

/** Where something is not known it deploys: a deploy too many does no harm, one too few does. */
export const decide = (event: PushEvent | DeleteEvent, { source, trigger }: DeployRequest): Decision => {
  if (!isSourceOf(source.ref, event.ref, event.defaultBranch)) {
    return filtered("branch", short(`${event.ref} is not ${source.ref}`))
  }
  if (event._tag === "Delete") return filtered("deleted", short(`${event.ref} was deleted; what runs stays`))
  if (trigger?.enabled === false) return filtered("disabled", "trigger.enabled is false")
  const mark = skipMark.exec(event.message ?? "")?.[0]
  if (mark !== undefined) return filtered("skip-ci", `the commit's message says ${mark.trim()}`)
  const { doubt, forced, paths } = event.changes
  if (trigger?.paths === undefined || doubt !== undefined || forced === true) return deploy
  if (filterOf(trigger.paths)(paths)) return deploy
  const decision = filtered("paths", short(`no changed path is among ${trigger.paths.join(", ")}`))
  return decision._tag === "Filtered" && forced === undefined ? { ...decision, unlessForced: true } : decision
}
