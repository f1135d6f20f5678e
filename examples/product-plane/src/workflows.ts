/** Second way: a workflow of the product plane (queue `default`) that calls the cluster's activities by their contract. */
import { type Activities, queues } from "@mcpdeploy/temporal-contract/contract"
import type { BuildOutput, DeployRequest } from "@mcpdeploy/temporal-contract/data"
import { failureOf, toApplicationFailure } from "@mcpdeploy/temporal-contract/failure"
import { ApplicationFailure, proxyActivities } from "@temporalio/workflow"

const { build, clone } = proxyActivities<Activities>({
  taskQueue: queues.k8sNative,
  startToCloseTimeout: "30 minutes",
  heartbeatTimeout: "20 seconds",
  retry: { maximumAttempts: 5 }
})

/** Builds a commit ahead of its release and deploys nothing; a deploy of the same commit then finds the image. */
export async function prebuild(request: DeployRequest): Promise<BuildOutput> {
  try {
    const { commit } = await clone({ request })
    return await build({ request, commit })
  } catch (error) {
    // Whoever waits for this workflow gets the same typed failure.
    throw ApplicationFailure.create({ ...toApplicationFailure(failureOf(error)), nonRetryable: true })
  }
}
