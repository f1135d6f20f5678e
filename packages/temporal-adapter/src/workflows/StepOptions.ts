/**
 * How each activity is retried and how long it may take. Whether a failure is tried again at all, the typed error says
 * (`retryable`); here is how often. A worker that dies is noticed by the missing heartbeat.
 */
import type { Activities } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
import { ActivityCancellationType, type ActivityOptions } from "@temporalio/workflow"

const second = 1000
const minute = 60 * second

/** A build's time when the request does not say (as in core's local regions and the deployer-worker). */
const buildSeconds = 1200
const rolloutSeconds = 300

/** What a deploy may wait for services of its project that are deployed at the same time. */
const siblings = 40 * minute

const options = (attemptMs: number, allMs: number): ActivityOptions => ({
  startToCloseTimeout: attemptMs,
  scheduleToCloseTimeout: allMs,
  heartbeatTimeout: 20 * second,
  // A cancelled step has ended only when it is seen ended: a build that still runs would race with the next.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: {
    initialInterval: second,
    backoffCoefficient: 2,
    maximumInterval: 30 * second,
    maximumAttempts: 10
  }
})

export const stepOptions = (name: keyof Activities, request?: DeployRequest): ActivityOptions => {
  switch (name) {
    case "clone":
      return options(10 * minute, 30 * minute)
    case "build": {
      // The builder has its own deadline for the build; this one also counts the wait for a slot.
      const attempt = (request?.build.timeoutSeconds ?? buildSeconds) * second + 120 * minute
      return options(attempt, 2 * attempt)
    }
    case "push":
      return options(2 * minute, 15 * minute)
    case "deploy": {
      const attempt = (request?.run.rolloutSeconds ?? rolloutSeconds) * second + 2 * minute
      return options(attempt + siblings, 2 * attempt + siblings + 10 * minute)
    }
    case "verify":
      return options(5 * minute + siblings, 15 * minute + siblings)
    case "restore":
    case "rollback": {
      const attempt = (request?.run.rolloutSeconds ?? 3600) * second + 2 * minute
      return options(attempt, attempt + 15 * minute)
    }
    case "deleteService":
    case "deleteProject":
      return options(10 * minute, 60 * minute)
    case "addDomain":
      // The owner of the domain sets the record meanwhile, or starts it again later.
      return options(15 * minute, 60 * minute)
    case "removeDomain":
      return options(5 * minute, 30 * minute)
  }
}
