/** First way: start a deploy on the cluster's queue, and follow it to its verdict. */
import type { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type { Verdict } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"

/**
 * Hands a customer's push to the execution plane and returns what became of it. `deliveryId` is the forge's: when this is
 * called again after a crash, nothing is deployed twice.
 */
export const deployAndFollow = async (
  deploys: DeployClient,
  request: DeployRequest,
  deliveryId: string,
  show: (line: string) => void
): Promise<Verdict> => {
  const target = { owner: request.owner, service: request.service }
  await deploys.submit(target, {
    deliveryId,
    generation: request.generation,
    origin: "api",
    receivedAt: new Date().toISOString(),
    action: { _tag: "Deploy", request }
  })
  for await (const { progress, record } of deploys.follow(target, { deliveryId }, { everyMs: 200 })) {
    show(progress === undefined ? record.verdict._tag : `${record.verdict._tag}: ${progress.step}`)
    if (record.verdict._tag !== "Waiting" && record.verdict._tag !== "Running") return record.verdict
  }
  throw new Error("the following ended before the verdict")
}
