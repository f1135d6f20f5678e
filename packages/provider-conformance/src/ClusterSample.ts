/** What the checks of a cluster's contracts deploy. No pod has to run: the workloads have no replicas. */
import type { ClusterApplierError, Workload } from "@mcpdeploy/core/ClusterApplier"
import { Generation, RunSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { ImageDigest, ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { CommitSha, SecretRef } from "@mcpdeploy/core/domain/Source"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

/** What the suite needs to know of a cluster. */
export interface ClusterConformance {
  /** A part of names that no other run has: at most 8 letters and digits. */
  readonly unique: Effect.Effect<string>
  /** Removes what the project has, at the end; never fails. */
  readonly cleanUp: (target: ServiceTarget) => Effect.Effect<void>
  /** What there is of the service, as `Kind name`: nothing after it was deleted. */
  readonly leftOf: (target: ServiceTarget) => Effect.Effect<ReadonlyArray<string>>
}

/** A secret's value that must be in nothing that the cluster says. */
export const canary = "canary-conformance-secret"

/** A service by its names. */
export const targetOf = (user: string, project: string, service: string) =>
  new ServiceTarget({
    owner: new Owner({ user: UserId.make(user), project: ProjectName.make(project) }),
    service: ServiceName.make(service)
  })

/** Without replicas, so that nothing has to be pulled. */
export const workloadOf = (target: ServiceTarget, generation: number, text = "one"): Workload => {
  const commit = CommitSha.make(generation.toString(16).padStart(40, "0"))
  return {
    target,
    image: new ImageRef({
      registry: internalRegistry,
      namespace: target.namespace,
      service: target.service,
      commit
    }),
    digest: ImageDigest.make(`sha256:${commit.padStart(64, "0")}`),
    generation: Generation.make(generation),
    run: new RunSpec({
      port: 8080,
      replicas: 0,
      env: { TEXT: text },
      secrets: { TOKEN: SecretRef.make("env:TOKEN") }
    }),
    secrets: { TOKEN: Redacted.make(canary) }
  }
}

/** Which reason an error has. */
export const tagOf = ({ reason }: ClusterApplierError): string => reason._tag

/** The service `web` of a project of its own, which goes when the check ends. */
export const freshService = (
  { cleanUp, unique }: ClusterConformance,
  make: (unique: string) => ServiceTarget = (name) => targetOf("conform", name, "web")
): Effect.Effect<ServiceTarget, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.map(unique, make), cleanUp)
