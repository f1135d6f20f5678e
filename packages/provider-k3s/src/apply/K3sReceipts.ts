/** K3sReceipts: {@link Receipts} in the service's record. */
import { Receipts } from "@mcpdeploy/core/Receipts"
import * as Effect from "effect/Effect"
import { failed } from "../kubernetes/ContractFailure.ts"
import { kinds } from "../kubernetes/Kind.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import * as Project from "./Project.ts"
import * as Record from "./Record.ts"
import { listOf, pruneSecrets } from "./ServiceObjects.ts"

export const make = (api: KubernetesApi): Receipts["Service"] =>
  Receipts.of({
    record: Effect.fn("Receipts.record")(
      function* (target, receipt) {
        const [secrets] = yield* Effect.all(
          [listOf(api, target, kinds.Secret), Project.find(api, target.owner)],
          { concurrency: "unbounded" }
        )
        yield* pruneSecrets(api, target, secrets, yield* Record.addReceipt(api, target, receipt))
      },
      (effect, target) => Effect.mapError(effect, failed("record", target))
    ),
    history: Effect.fn("Receipts.history")(
      function* (target) {
        if ((yield* Project.find(api, target.owner)) === undefined) return []
        return yield* Record.history(api, target)
      },
      (effect, target) => Effect.mapError(effect, failed("history", target))
    )
  })
