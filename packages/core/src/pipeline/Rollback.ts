/** Return to an earlier deploy: what its receipt says runs again, proven like a deploy, with a receipt of its own. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { type Applied, ClusterApplier, restoredWorkload, type Workload } from "../ClusterApplier.ts"
import { Generation } from "../domain/DeployRequest.ts"
import type { ServiceTarget } from "../domain/Identity.ts"
import { Receipt } from "../domain/Receipt.ts"
import { Receipts } from "../Receipts.ts"
import { NoSuchReceipt } from "./DeployError.ts"
import { evidence } from "./Evidence.ts"

/** What to return to, and the rollback's own place in the order of the service's deploys. */
export interface Rollback {
  readonly target: ServiceTarget
  /** A commit's name or its beginning. Absent: the newest deploy whose image differs from what was deployed last. */
  readonly commit?: string | undefined
  readonly generation: Generation
}

/** A generation that is newer than every deploy that has succeeded. */
export const nextGeneration = Effect.fn("nextGeneration")(function* (target: ServiceTarget) {
  const [last] = yield* Receipts.use((receipts) => receipts.history(target))
  return Generation.make(Math.max(yield* Clock.currentTimeMillis, (last?.generation ?? 0) + 1))
})

/**
 * Returns a service to the newest receipt of the wanted commit. The new receipt is the result. Needs no source and no
 * build: the image is in the registry, the Secret in the cluster. Repeated with the same generation it converges: what
 * was recorded is returned as it is.
 */
export const rollback = Effect.fn("rollback")(function* ({ commit, generation, target }: Rollback) {
  const cluster = yield* ClusterApplier
  const history = yield* Receipts.use((receipts) => receipts.history(target))
  const done = history.find((receipt) => receipt.generation === generation && receipt.rollback === true)
  if (done !== undefined) return done
  const receipts = history.filter((receipt) => receipt.generation < generation)
  const last = receipts[0]
  const wanted = receipts.find((receipt) =>
    commit === undefined ? receipt.digest !== last?.digest : receipt.commit.startsWith(commit)
  )
  if (last === undefined || wanted === undefined) {
    return yield* new NoSuchReceipt({ wanted: commit ?? "an earlier image" })
  }
  const applied = yield* cluster.restore(target, wanted, generation)
  return yield* proven(restoredWorkload(target, wanted, generation), applied, { ...wanted, rollback: true })
})

/** Waits until what was applied runs, proves it, and stores a receipt: `earlier` with the new evidence. */
export const proven = Effect.fn("proven")(function* (
  workload: Workload,
  applied: Applied,
  earlier: ConstructorParameters<typeof Receipt>[0]
) {
  const { probe: _, ...kept } = earlier
  const cluster = yield* ClusterApplier
  const startedAt = yield* Clock.currentTimeMillis
  const pods = yield* cluster.awaitRollout(workload, applied)
  const deployedFor = (yield* Clock.currentTimeMillis) - startedAt
  const probe = yield* evidence(workload, pods)
  const now = yield* DateTime.now
  const receipt = new Receipt({
    ...kept,
    generation: workload.generation,
    pods,
    ...(probe === undefined ? {} : { probe }),
    steps: [
      { step: "restore", durationMs: deployedFor },
      { step: "verify", durationMs: DateTime.toEpochMillis(now) - startedAt - deployedFor }
    ],
    deployedAt: DateTime.formatIso(now)
  })
  yield* Receipts.use((receipts) => receipts.record(workload.target, receipt))
  return receipt
})
