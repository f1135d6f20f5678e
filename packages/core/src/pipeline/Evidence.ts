/** The proof that a workload runs: its pods hold the digest that was asked for, and the app answers through the ingress. */
import * as Effect from "effect/Effect"
import { ClusterApplier, type Workload } from "../ClusterApplier.ts"
import type { PodEvidence } from "../domain/Receipt.ts"
import { DigestMismatch, NothingRuns } from "./DeployError.ts"

/** The app's answer, once every pod is seen to run the workload's digest; no answer for a service that is not public. */
export const evidence = Effect.fn("evidence")(function* (
  workload: Workload,
  pods: ReadonlyArray<PodEvidence>
) {
  const replicas = workload.run.replicas ?? 1
  if (replicas === 0) return undefined
  if (pods.length === 0) return yield* new NothingRuns()
  const foreign = pods.find(({ digest }) => digest !== workload.digest)
  if (foreign !== undefined) {
    return yield* new DigestMismatch({
      pod: foreign.name,
      expected: workload.digest,
      running: foreign.digest
    })
  }
  const cluster = yield* ClusterApplier
  return yield* cluster.probe(workload)
})
