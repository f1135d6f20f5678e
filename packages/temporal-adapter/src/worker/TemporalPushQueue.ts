/** {@link PushQueue} over the services' workflows. */
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type { Client } from "@temporalio/client"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PushQueue, QueueUnreachable } from "../reconcile/PushQueue.ts"

const call = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (error) => new QueueUnreachable({ detail: error instanceof Error ? error.message : String(error) })
  })

/** How long a workflow may take to answer a query. */
const queryDeadlineMs = 10_000

/** Pushes that the reconciler submits, to the services' workflows. */
export const layer = (client: Client, taskQueue: string): Layer.Layer<PushQueue> =>
  Layer.sync(PushQueue, () => {
    const deploys = new DeployClient(client, { taskQueue })
    return PushQueue.of({
      records: (target) =>
        call(() => client.withDeadline(Date.now() + queryDeadlineMs, () => deploys.history(target))),
      submit: (target, push) => call(() => deploys.submit(target, push)),
      remove: (target) => call(() => deploys.beginDeletion(target))
    })
  })
