/** Names, ids and messages of the workflows on the queue `k8s-native`: all that another service needs to know. */
import type {
  BuildOutput,
  DeployRequest,
  DeployStep,
  DomainStatus,
  ImageRef,
  Owner,
  Receipt,
  RolloutOutput,
  ServiceTarget,
  StepTiming,
  VerifyInput
} from "./data.ts"
import type { Failure } from "./failure.ts"

/** Grows when an input changes in a way that an older worker would misread. A worker refuses a newer one than its own. */
export const contractVersion = 1

/** `k8sNative`: the cluster's deployer-worker. `product`: the product plane's own worker. */
export const queues = { k8sNative: "k8s-native", product: "default" } as const

/** Types of the workflows. */
export const workflows = {
  service: "service",
  deploy: "deploy",
  rollback: "rollback",
  deleteService: "deleteService",
  deleteProject: "deleteProject",
  addDomain: "addDomain",
  removeDomain: "removeDomain"
} as const

const serviceKey = ({ owner, service }: ServiceTarget): string => `${owner.user}/${owner.project}/${service}`

/** Ids of the workflows. They are stored unencrypted: names only, never a secret. */
export const workflowIds = {
  service: (target: ServiceTarget): string => `service/${serviceKey(target)}`,
  deploy: (target: ServiceTarget, generation: number): string => `deploy/${serviceKey(target)}/${generation}`,
  rollback: (target: ServiceTarget, generation: number): string =>
    `rollback/${serviceKey(target)}/${generation}`,
  deleteService: (target: ServiceTarget): string => `delete/${serviceKey(target)}`,
  deleteProject: (owner: Owner): string => `delete/${owner.user}/${owner.project}`,
  domain: (target: ServiceTarget, host: string): string => `domain/${serviceKey(target)}/${host}`
}

/**
 * Signals. To `service`: `push` takes a {@link Push}; `retire` ends what runs and waits, and answers the workflow whose id
 * it is given with `retired` when that is seen ended.
 */
export const signals = { push: "push", retire: "retire", retired: "retired" } as const

/**
 * Queries. Of `service`: `verdict` (a {@link PushQuery} → {@link PushRecord} or null), `progress` → {@link Progress} or
 * null, `history` → {@link PushRecord}s, newest last. Of `deploy`: `progress`.
 */
export const queries = { verdict: "verdict", progress: "progress", history: "history" } as const

/** Why a push deploys nothing. */
export type FilterRule = "skip-ci" | "branch" | "paths" | "disabled" | "deleted"

/** A push: something happened to a service's source, and this is what to do about it. */
export interface Push {
  readonly version: number
  /** The forge's delivery id, or one of the caller's. A second push with it changes nothing, unless the first failed. */
  readonly deliveryId: string
  /** The order of pushes: see `DeployRequest.generation`. */
  readonly generation: number
  /** The commit, where the sender knows it. */
  readonly commit?: string
  readonly origin: "github" | "gitea" | "reconcile" | "api" | "cli"
  /** ISO 8601. */
  readonly receivedAt: string
  readonly action:
    | { readonly _tag: "Deploy"; readonly request: DeployRequest }
    | { readonly _tag: "Filtered"; readonly rule: FilterRule; readonly detail: string }
}

/** What became of a push. It ends in one of the last four. */
export type Verdict =
  | { readonly _tag: "Waiting" }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Deployed"; readonly receipt: Receipt }
  | { readonly _tag: "Superseded"; readonly by: number }
  | { readonly _tag: "Filtered"; readonly rule: FilterRule; readonly detail: string }
  | {
      readonly _tag: "Failed"
      /** Absent where it failed before the first step. */
      readonly step?: DeployStep
      readonly failure: Failure
      /** The commit that runs again instead. */
      readonly restored?: string
      /** Why the return to it failed too. */
      readonly restoreFailure?: Failure
    }

/** How a deploy ended. */
export type DeployOutcome = Extract<Verdict, { readonly _tag: "Deployed" | "Superseded" | "Failed" }>

/** A push and what became of it. */
export interface PushRecord {
  readonly generation: number
  readonly deliveryIds: ReadonlyArray<string>
  readonly commit?: string
  readonly origin: Push["origin"]
  readonly receivedAt: string
  readonly verdict: Verdict
}

/** By which a push is asked for. */
export type PushQuery = { readonly deliveryId: string } | { readonly generation: number }

/** Where a deploy stands. Finer progress of the running step is in its heartbeat: {@link Heartbeat}. */
export interface Progress {
  readonly generation: number
  readonly step: DeployStep | "done"
  /** ISO 8601; when the step began. */
  readonly since: string
  readonly finished: ReadonlyArray<StepTiming>
  readonly outcome?: DeployOutcome
}

/** What an activity heartbeats; the client reads the last one of the step that runs. */
export interface Heartbeat {
  readonly step: string
  readonly message: string
  /** Between 0 and 1, absent where the end is not known. */
  readonly fraction?: number
}

/** Input of `service`. `carried` is what a run hands to the next one. */
export interface ServiceInput {
  readonly version: number
  readonly target: ServiceTarget
  readonly carried?: { readonly records: ReadonlyArray<PushRecord>; readonly waiting: ReadonlyArray<Push> }
}

/** What `deploy` is started with. */
export interface DeployInput {
  readonly version: number
  readonly request: DeployRequest
}
/** What `rollback` is started with. */
export interface RollbackInput {
  readonly version: number
  readonly target: ServiceTarget
  /** Beginning of the commit to return to; the newest earlier image when absent. */
  readonly commit?: string
  /** The rollback's own place in the order of the service's deploys: milliseconds since the epoch when it was asked for. */
  readonly generation: number
}
/** What `deleteService` is started with. */
export interface DeleteServiceInput {
  readonly version: number
  readonly target: ServiceTarget
}
/** What `deleteProject` is started with. */
export interface DeleteProjectInput {
  readonly version: number
  readonly owner: Owner
}
/** What `addDomain` and `removeDomain` are started with. */
export interface DomainInput {
  readonly version: number
  readonly target: ServiceTarget
  readonly host: string
}

/**
 * The activities of the queue `k8s-native`. A failure is an ApplicationFailure as `failure.ts` makes it. Every activity
 * may be repeated; `build` and `deploy` take long and heartbeat.
 */
export interface Activities {
  /** Also keeps the request as the service's newest. */
  readonly clone: (input: { readonly request: DeployRequest }) => Promise<{ readonly commit: string }>
  readonly build: (input: {
    readonly request: DeployRequest
    readonly commit: string
  }) => Promise<BuildOutput>
  readonly push: (input: {
    readonly image: ImageRef
    readonly digest: string
  }) => Promise<{ readonly changed: boolean }>
  readonly deploy: (input: {
    readonly request: DeployRequest
    readonly image: ImageRef
    readonly digest: string
  }) => Promise<RolloutOutput>
  readonly verify: (input: VerifyInput) => Promise<{ readonly receipt: Receipt }>
  readonly restore: (input: { readonly request: DeployRequest }) => Promise<{ readonly restored?: string }>
  readonly rollback: (input: RollbackInput) => Promise<{ readonly receipt: Receipt }>
  readonly deleteService: (input: DeleteServiceInput) => Promise<void>
  readonly deleteProject: (input: DeleteProjectInput) => Promise<void>
  readonly addDomain: (input: DomainInput) => Promise<DomainStatus>
  readonly removeDomain: (input: DomainInput) => Promise<void>
}
