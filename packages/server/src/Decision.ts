/** Decision: what a push means for one service. Pure. */
import type { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { filterPush } from "@mcpdeploy/core/pipeline/PushFilter"
import type { FilterRule } from "@mcpdeploy/temporal-contract/contract"
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

/** Whether `ref`, as a service names its source, is the full name `fullName`. */
export const isSourceOf = (ref: string, fullName: string, defaultBranch: string | undefined): boolean => {
  if (ref === "HEAD") return fullName === `refs/heads/${defaultBranch}`
  if (ref.startsWith("refs/")) return ref === fullName
  return fullName === `refs/heads/${ref}` || fullName === `refs/tags/${ref}`
}

const short = (text: string): string => (text.length > 200 ? `${text.slice(0, 199)}…` : text)

/** Where something is not known it deploys: a deploy too many does no harm, one too few does. */
export const decide = (event: PushEvent | DeleteEvent, request: DeployRequest): Decision => {
  const { source } = request
  if (!isSourceOf(source.ref, event.ref, event.defaultBranch)) {
    return filtered("branch", short(`${event.ref} is not ${source.ref}`))
  }
  if (event._tag === "Delete") return filtered("deleted", short(`${event.ref} was deleted; what runs stays`))
  const { doubt, forced, paths } = event.changes
  const isKnown = doubt === undefined && forced !== true
  const found = filterPush(request, { message: event.message ?? "", ...(isKnown ? { paths } : {}) })
  if (found === undefined) return deploy
  const { detail, rule } = found
  const decision = { _tag: "Filtered", rule, detail: short(detail) } as const
  return rule === "paths" && forced === undefined ? { ...decision, unlessForced: true } : decision
}
