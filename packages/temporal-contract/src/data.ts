/**
 * What travels between the planes, as plain JSON. Core's Schemas encode to exactly these interfaces (a test proves it),
 * so that whoever starts deploys needs neither core nor Effect.
 */

/** A customer's project. Names are DNS labels; together at most 63 characters in `dp-{user}-{project}`. */
export interface Owner {
  readonly user: string
  readonly project: string
}

/** One service of one owner. */
export interface ServiceTarget {
  readonly owner: Owner
  readonly service: string
}

/** A repository, and the credentials to read it. */
export interface GitRepository {
  /** Without credentials. */
  readonly url: string
  /** By reference: `env:NAME` or `file:/path` of the deployer-worker, never a value. */
  readonly credentials?: { readonly username?: string; readonly password: string }
  readonly submodules?: boolean
  readonly lfs?: boolean
}

/** Which commit, by a ref, and the folder of the repository that counts. */
export interface SourceSpec {
  readonly repository: GitRepository
  /** Branch, tag, full ref name or full commit sha. */
  readonly ref: string
  readonly rootDirectory?: string
}

/** How the image is built. */
export interface BuildSpec {
  /** From the root directory, inside or outside of it. */
  readonly dockerfile?: string
  readonly target?: string
  readonly args?: { readonly [name: string]: string }
  /** Secrets by reference. */
  readonly secrets?: { readonly [id: string]: string }
  readonly timeoutSeconds?: number
}

/** A path, a gRPC service, or neither. */
export interface HealthCheck {
  readonly path?: string
  readonly grpcService?: string
  readonly periodSeconds?: number
}

/** How the image is run. */
export interface RunSpec {
  readonly port: number
  /** `http` when absent. */
  readonly protocol?: "http" | "h2c"
  readonly command?: readonly [string, ...ReadonlyArray<string>]
  readonly env?: { readonly [name: string]: string }
  /** Secrets by reference. */
  readonly secrets?: { readonly [name: string]: string }
  readonly replicas?: number
  /** `500m`, `2`. */
  readonly cpu?: string
  /** `256Mi`, `2Gi`. */
  readonly memory?: string
  readonly healthCheck?: HealthCheck
  readonly rolloutSeconds?: number
  readonly public?: boolean
  /** Scheduled jobs, by name. */
  readonly jobs?: { readonly [name: string]: JobSpec }
}

/** A command that runs on a schedule, in the service's image. */
export interface JobSpec {
  /** Cron, five fields. */
  readonly schedule: string
  readonly timeZone?: string
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly deadlineSeconds?: number
}

/** Which pushes deploy. */
export interface TriggerSpec {
  readonly paths?: readonly [string, ...ReadonlyArray<string>]
  readonly enabled?: boolean
}

/** Makes a service a preview of another one. */
export interface PreviewSpec {
  readonly of: string
  readonly branch: string
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number
}

/** What is to be deployed. */
export interface DeployRequest {
  readonly owner: Owner
  readonly service: string
  readonly source: SourceSpec
  readonly build: BuildSpec
  readonly run: RunSpec
  readonly trigger?: TriggerSpec
  readonly preview?: PreviewSpec
  /** Of two deploys of one service the greater wins: milliseconds since the epoch at the push. */
  readonly generation: number
}

/** A step of a deploy. */
export type DeployStep = "clone" | "build" | "push" | "deploy" | "verify" | "restore"

/** An image by its tag, which is the commit. */
export interface ImageRef {
  readonly registry: string
  readonly namespace: string
  readonly service: string
  readonly commit: string
}

/** A pod that runs, and the digest that it runs. */
export interface PodEvidence {
  readonly name: string
  readonly node: string
  readonly digest: string
}

/** How long a step took. */
export interface StepTiming {
  readonly step: DeployStep
  readonly durationMs: number
}

/** The evidence of a deploy: what runs, from which commit, and how that was seen. */
export interface Receipt {
  readonly commit: string
  readonly image: ImageRef
  readonly digest: string
  readonly buildKey: string
  readonly generation: number
  readonly source: SourceSpec
  readonly build: BuildSpec
  readonly run: RunSpec
  readonly secretName?: string
  readonly pods: ReadonlyArray<PodEvidence>
  readonly probe?: {
    readonly url: string
    readonly status: number
    readonly durationMs: number
    /** What is odd about the answer though it will do. */
    readonly warning?: string
  }
  readonly steps: ReadonlyArray<StepTiming>
  readonly rollback?: boolean
  readonly restartedAt?: string
  /** ISO 8601. */
  readonly deployedAt: string
}

/** What the step build has made. */
export interface BuildOutput {
  readonly image: ImageRef
  readonly digest: string
  readonly buildKey: string
  readonly reused: boolean
}

/** What the step deploy has written, and the pods that run it. */
export interface RolloutOutput {
  readonly applied: {
    readonly revision: string
    readonly changes: ReadonlyArray<{
      readonly object: string
      readonly action: "create" | "update" | "delete" | "unchanged"
      readonly lines: ReadonlyArray<string>
    }>
    readonly secretName?: string
  }
  readonly pods: ReadonlyArray<PodEvidence>
}

/** What the step verify is given: all that came before. */
export interface VerifyInput {
  readonly request: DeployRequest
  readonly commit: string
  readonly built: BuildOutput
  readonly rollout: RolloutOutput
  readonly timings: ReadonlyArray<StepTiming>
}

/** Where a domain stands. */
export interface DomainStatus {
  readonly host: string
  readonly target: ServiceTarget
  readonly state: "claimed" | "issuing" | "served"
  /** What stands in the way, encoded: see `failure.ts`. */
  readonly problem?: { readonly _tag: string }
  /** ISO 8601. */
  readonly validUntil?: string
}
