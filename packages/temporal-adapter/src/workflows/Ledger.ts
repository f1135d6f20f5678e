/** What became of a service's last pushes, and which one is next. Pure: the `service` workflow drives it. */
import type { Push, PushQuery, PushRecord, Verdict } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
import { transportFailure } from "@mcpdeploy/temporal-contract/failure"

/** How many pushes a service remembers. */
export const keptRecords = 50
/** How many of them deploy nothing: pushes to a busy repository's other branches must not drive out what was deployed. */
export const keptFiltered = 20

/**
 * How many bytes of records are told or handed on at once. Temporal takes 2 MiB in one message (`limit.blobSize.error`), a
 * receipt may have 512 KiB (core's `maxRequestBytes`), and so may the request that waits beside them.
 */
export const maxRecordBytes = 1024 * 1024

const encoder = new TextEncoder()

/** The newest records that fit into one message together, and always the newest one: the older ones were too long ago. */
export const fitting = (records: ReadonlyArray<PushRecord>): ReadonlyArray<PushRecord> => {
  let bytes = 0
  const first = records.findLastIndex((record) => {
    bytes += encoder.encode(JSON.stringify(record)).length
    return bytes > maxRecordBytes
  })
  return records.slice(Math.min(first + 1, records.length - 1))
}

/** A push that deploys. */
export interface DeployPush extends Push {
  readonly action: { readonly _tag: "Deploy"; readonly request: DeployRequest }
}

const deploys = (push: Push): push is DeployPush => push.action._tag === "Deploy"

const isPush = (push: Push | undefined): push is Push =>
  typeof push?.deliveryId === "string" &&
  Number.isSafeInteger(push.generation) &&
  (push.action?._tag === "Filtered" ||
    (push.action?._tag === "Deploy" && typeof push.action.request === "object"))

const cancelled: Verdict = { _tag: "Failed", failure: transportFailure("Cancelled", "it was cancelled") }

/** What a service's workflow remembers of its pushes: which were taken, what became of them, which is next. */
export class Ledger {
  #records: Array<PushRecord>
  #waiting: DeployPush | undefined

  constructor(carried?: {
    readonly records: ReadonlyArray<PushRecord>
    readonly waiting: ReadonlyArray<Push>
  }) {
    this.#records = [...(carried?.records ?? [])]
    this.#waiting = carried?.waiting.find(deploys)
  }

  /** Oldest first, in the order in which they came. */
  get records(): ReadonlyArray<PushRecord> {
    return this.#records
  }

  /** The push that is deployed next. */
  get waiting(): DeployPush | undefined {
    return this.#waiting
  }

  find(query: PushQuery): PushRecord | undefined {
    return this.#records.findLast((record) =>
      "deliveryId" in query
        ? record.deliveryIds.includes(query.deliveryId)
        : record.generation === query.generation
    )
  }

  /** Takes a push in; what is no push changes nothing. The newest waits, an older one is superseded at once. */
  accept(push: Push): void {
    if (!isPush(push)) return
    const known =
      this.find({ deliveryId: push.deliveryId }) ??
      this.find({ generation: push.generation }) ??
      this.#reconciled(push)
    if (known !== undefined && !this.#deservesRetry(known, push)) {
      this.#replace(known, { ...known, deliveryIds: [...new Set([...known.deliveryIds, push.deliveryId])] })
      return
    }
    const newest = this.#newestGeneration(known)
    if (known !== undefined) this.#records = this.#records.filter((record) => record !== known)
    if (push.action._tag === "Filtered") return this.#add(push, push.action)
    if (!deploys(push)) return
    if (newest > push.generation) return this.#add(push, { _tag: "Superseded", by: newest })
    if (this.#waiting !== undefined) {
      this.settle(this.#waiting.generation, { _tag: "Superseded", by: push.generation })
    }
    this.#waiting = push
    this.#add(push, { _tag: "Waiting" })
  }

  /** The next push begins. */
  take(): DeployPush | undefined {
    const push = this.#waiting
    this.#waiting = undefined
    if (push !== undefined) this.settle(push.generation, { _tag: "Running" })
    return push
  }

  settle(generation: number, verdict: Verdict): void {
    const record = this.find({ generation })
    if (record !== undefined) this.#replace(record, { ...record, verdict })
  }

  /** Drops what waits: the service is to be deleted. */
  retire(): void {
    if (this.#waiting !== undefined) this.settle(this.#waiting.generation, cancelled)
    this.#waiting = undefined
  }

  /** The reconciler only asks for what is missing: a commit that the newest push has brought is not. */
  #reconciled(push: Push): PushRecord | undefined {
    const newest = this.#records.findLast(({ verdict }) => verdict._tag !== "Filtered")
    return push.origin === "reconcile" && push.commit !== undefined && newest?.commit === push.commit
      ? newest
      : undefined
  }

  /** A failed push is tried again on purpose; by the reconciler only where that can help. */
  #deservesRetry({ verdict }: PushRecord, push: Push): boolean {
    return verdict._tag === "Failed" && (push.origin !== "reconcile" || verdict.failure.retryable)
  }

  #newestGeneration(except: PushRecord | undefined): number {
    return this.#records
      .filter((record) => record !== except && record.verdict._tag !== "Filtered")
      .reduce((newest, { generation }) => Math.max(newest, generation), -1)
  }

  #add({ commit, deliveryId, generation, origin, receivedAt }: Push, verdict: Verdict): void {
    const record = {
      generation,
      deliveryIds: [deliveryId],
      ...(commit === undefined ? {} : { commit }),
      origin,
      receivedAt,
      verdict
    }
    const records = [...this.#records, record]
    const isFiltered = (each: PushRecord) => each.verdict._tag === "Filtered"
    const isTooMuch = records.filter(isFiltered).length > keptFiltered
    const forgotten = isTooMuch ? records.find(isFiltered) : undefined
    this.#records = records.filter((each) => each !== forgotten).slice(-keptRecords)
  }

  #replace(old: PushRecord, record: PushRecord): void {
    this.#records = this.#records.map((other) => (other === old ? record : other))
  }
}
