/** The workflows of the queue `k8s-native`. Runs in Temporal's sandbox: plain deterministic TypeScript, no Effect, no Node. */
export { deploy } from "./Deploy.ts"
export { addDomain, deleteProject, deleteService, removeDomain, rollback } from "./Operations.ts"
export { service } from "./Service.ts"
export { reconcile } from "../reconcile/Workflow.ts"
