/** Whether a branch's head is a push that never arrived. Pure. */
import type { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import type { Receipt } from "@mcpdeploy/core/domain/Receipt"
import type { CommitSha } from "@mcpdeploy/core/domain/Source"
import type { PushRecord } from "@mcpdeploy/temporal-contract/contract"

export interface Known {
  /** What the branch names. */
  readonly head: CommitSha
  /** Milliseconds since the epoch, before the host was asked for `head`: the generation of what is submitted. */
  readonly askedAt: number
  readonly request: DeployRequest
  /** Whether a deploy of `request` may be going on of which no workflow knows: the command line's. */
  readonly isUnderWay: boolean
  /** Newest first. */
  readonly receipts: ReadonlyArray<Receipt>
  /** What the service's workflow knows of its pushes; none where it has none. */
  readonly records: ReadonlyArray<PushRecord>
}

/** How long a failure that a retry can help is tried again, from the push on. */
const retryForMs = 6 * 60 * 60 * 1000

export type Decision =
  /** `receivedAt`: of the push that is tried again, absent for one that was lost. */
  { readonly _tag: "Submit"; readonly receivedAt?: string } | { readonly _tag: "UpToDate" }

const upToDate: Decision = { _tag: "UpToDate" }

/**
 * Only the newest push counts: a head that came and failed, was filtered, or was rolled back from, is known and not
 * submitted again; an old commit to which the branch was set back is. What is newer than the question to the host makes
 * its answer worthless, so that this never overtakes a push; and a deploy that the command line has begun is let end.
 */
export const decide = ({ askedAt, head, isUnderWay, receipts, records, request }: Known): Decision => {
  const deployed = receipts.find(({ rollback }) => rollback !== true)
  const newest = records.reduce<PushRecord | undefined>(
    (best, record) => (best === undefined || record.generation > best.generation ? record : best),
    undefined
  )
  const newestGeneration = Math.max(request.generation, receipts[0]?.generation ?? 0, newest?.generation ?? 0)
  if (newestGeneration >= askedAt) return upToDate
  if (isUnderWay && request.generation > (newest?.generation ?? -1)) return upToDate
  // A deploy that did not come as a push (from the command line) may be newer than every push.
  if (newest === undefined || (deployed !== undefined && deployed.generation > newest.generation)) {
    return deployed?.commit === head ? upToDate : { _tag: "Submit" }
  }
  const { commit, receivedAt, verdict } = newest
  const known = commit ?? (verdict._tag === "Deployed" ? verdict.receipt.commit : undefined)
  if (verdict._tag === "Waiting" || verdict._tag === "Running") return upToDate
  if (known !== head) return { _tag: "Submit" }
  const mayHelp = verdict._tag === "Failed" && verdict.failure.retryable
  return mayHelp && askedAt - Date.parse(receivedAt) < retryForMs ? { _tag: "Submit", receivedAt } : upToDate
}
