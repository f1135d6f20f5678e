/** WorkflowBundle: the workflows, compiled for Temporal's sandbox. */
import { bundleWorkflowCode, type WorkflowBundleWithSourceMap } from "@temporalio/worker"
import { workflowsPath } from "../workflows/Location.ts"

export const makeBundle = (): Promise<WorkflowBundleWithSourceMap> => bundleWorkflowCode({ workflowsPath })
