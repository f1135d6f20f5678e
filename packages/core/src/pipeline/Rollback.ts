/** Return to an earlier deploy: what its receipt says runs again, proven like a deploy, with a receipt of its own. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { ClusterApplier, type Workload } from "../ClusterApplier.ts"
import { Generation } from "../domain/DeployRequest.ts"
import type { ServiceTarget } from "../domain/Identity.ts"
import { Receipt } from "../domain/Receipt.ts"
import { NoSuchReceipt } from "./DeployError.ts"
import { evidence } from "./Evidence.ts"

/**
 * Returns `target` to the newest receipt whose commit begins with `commit`, or without one to the newest whose image
 * differs from what was deployed last. The new receipt is the result. Needs no source and no build: the image is in
 * the registry, the Secret in the cluster.
 */
export const rollback = Effect.fn("rollback")(function* (target: ServiceTarget, commit: string | undefined) {
  const cluster = yield* ClusterApplier
  const startedAt = yield* Clock.currentTimeMillis
  const receipts = yield* cluster.history(target)
  const last = receipts[0]
  const wanted = receipts.find((receipt) =>
    commit === undefined ? receipt.digest !== last?.digest : receipt.commit.startsWith(commit)
  )
  if (last === undefined || wanted === undefined) {
    return yield* new NoSuchReceipt({ wanted: commit ?? "an earlier image" })
  }
  const generation = Generation.make(Math.max(startedAt, last.generation + 1))
  const applied = yield* cluster.restore(target, wanted, generation)
  const workload: Workload = {
    target,
    image: wanted.image,
    digest: wanted.digest,
    generation,
    run: wanted.run,
    secrets: {}
  }
  const pods = yield* cluster.awaitRollout(workload, applied)
  const deployedFor = (yield* Clock.currentTimeMillis) - startedAt
  const probe = yield* evidence(workload, pods)
  const now = yield* DateTime.now
  const { probe: _, ...kept } = wanted
  const receipt = new Receipt({
    ...kept,
    generation,
    pods,
    ...(probe === undefined ? {} : { probe }),
    steps: [
      { step: "restore", durationMs: deployedFor },
      { step: "verify", durationMs: DateTime.toEpochMillis(now) - startedAt - deployedFor }
    ],
    rollback: true,
    deployedAt: DateTime.formatIso(now)
  })
  yield* cluster.record(target, receipt)
  return receipt
})
