/** What is done to a service, a project or a domain beside deploying: each one activity, made durable. */
import {
  type Activities,
  type DeleteProjectInput,
  type DeleteServiceInput,
  type DomainInput,
  type RollbackInput,
  signals,
  workflowIds
} from "@mcpdeploy/temporal-contract/contract"
import type { DomainStatus, Receipt } from "@mcpdeploy/temporal-contract/data"
import {
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  setHandler,
  workflowInfo
} from "@temporalio/workflow"
import { checkInput, failureOrCancelled, failWith } from "./Failures.ts"
import { stepOptions } from "./StepOptions.ts"

const activities = (name: keyof Activities) => proxyActivities<Activities>(stepOptions(name))

const typed = <A>(result: Promise<A>): Promise<A> =>
  result.catch((error: unknown) => {
    throw failWith(failureOrCancelled(error))
  })

/** Returns to an earlier receipt. */
export async function rollback(input: RollbackInput): Promise<{ readonly receipt: Receipt }> {
  checkInput(input, [input?.target?.owner])
  return typed(activities("rollback").rollback(input))
}

/** Ends the service's deploys, waits until they are seen ended, and deletes it. Returns when nothing of it is left. */
export async function deleteService(input: DeleteServiceInput): Promise<void> {
  checkInput(input, [input?.target?.owner])
  let retired = false
  setHandler(defineSignal(signals.retired), () => {
    retired = true
  })
  try {
    await getExternalWorkflowHandle(workflowIds.service(input.target)).signal(
      signals.retire,
      workflowInfo().workflowId
    )
    // A deploy that does not end is left to the cluster's fence and to the activity, which waits for what is left.
    await condition(() => retired, "10 minutes")
  } catch (error) {
    if (isCancellation(error)) throw error
    // No push has come for long, so no such workflow runs: nothing is to be ended.
  }
  await typed(activities("deleteService").deleteService(input))
}

/** Deletes an empty project. Refused while a service is in it. */
export async function deleteProject(input: DeleteProjectInput): Promise<void> {
  checkInput(input, [input?.owner])
  await typed(activities("deleteProject").deleteProject(input))
}

/** Claims a host, and returns when it is served with its certificate. */
export async function addDomain(input: DomainInput): Promise<DomainStatus> {
  checkInput(input, [input?.target?.owner])
  return typed(activities("addDomain").addDomain(input))
}

export async function removeDomain(input: DomainInput): Promise<void> {
  checkInput(input, [input?.target?.owner])
  await typed(activities("removeDomain").removeDomain(input))
}
