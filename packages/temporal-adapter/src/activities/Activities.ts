/** The activities of the queue `k8s-native`: core's steps, the cluster and domains, as the contract names them. */
import type { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { DomainManager, DomainName, DomainStatus } from "@mcpdeploy/core/DomainManager"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { GitMirror } from "@mcpdeploy/core/GitMirror"
import { DeploySteps } from "@mcpdeploy/core/pipeline/DeploySteps"
import { removeService } from "@mcpdeploy/core/pipeline/Removal"
import { rollback } from "@mcpdeploy/core/pipeline/Rollback"
import * as Steps from "@mcpdeploy/core/pipeline/Steps"
import { Projects } from "@mcpdeploy/core/Projects"
import type { Receipts } from "@mcpdeploy/core/Receipts"
import type { Registry } from "@mcpdeploy/core/Registry"
import type { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import { type Activities, contractVersion } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { activityOn } from "./Activity.ts"
import type { StepMetrics } from "./StepMetrics.ts"

/** What the activities need of a region. */
export type ActivityServices =
  | ClusterApplier
  | DeploySteps
  | DomainManager
  | Projects
  | Receipts
  | Registry
  | ServiceCatalog

/** An input of a newer contract is refused rather than misread. */
const version = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: contractVersion }))
const RollbackInput = Schema.Struct({
  version,
  target: ServiceTarget,
  commit: Schema.optionalKey(Schema.String),
  generation: Generation
})
const DeleteServiceInput = Schema.Struct({ version, target: ServiceTarget })
const DeleteProjectInput = Schema.Struct({ version, owner: Owner })
const DomainInput = Schema.Struct({ version, target: ServiceTarget, host: DomainName })

/** Gives up the hosts of a project: held by nobody, they could be used by nobody else. */
const releaseDomains = Effect.fnUntraced(function* (owner: Owner) {
  const domains = yield* DomainManager
  yield* Effect.forEach(yield* domains.list(owner), ({ host, target }) => domains.remove(target, host), {
    concurrency: 4,
    discard: true
  })
})

/** Its mirror stays: it is the region's, and removed by who added it. */
const deleteService = Effect.fnUntraced(function* ({ target }: typeof DeleteServiceInput.Type) {
  yield* removeService(target).pipe(
    Effect.provide(GitMirror.none),
    Effect.catchTag(
      ["MirrorConflict", "MirrorNotFound", "MirrorRefused", "MirrorUnavailable"],
      (impossible) => Effect.die(impossible)
    )
  )
})

/** A project with services is refused, and keeps their hosts. */
const deleteProject = Effect.fnUntraced(function* ({ owner }: typeof DeleteProjectInput.Type) {
  const projects = yield* Projects
  yield* projects.delete(owner)
  yield* releaseDomains(owner)
})

/** All activities on one runtime. Each may be repeated, also by another worker while a lost one still runs. */
export const makeActivities = (
  runtime: ManagedRuntime.ManagedRuntime<ActivityServices, never>,
  metrics: StepMetrics
): Activities => {
  const activity = activityOn(runtime, metrics)
  return {
    clone: activity("clone", { input: Steps.CloneInput, output: Steps.CloneOutput }, (input) =>
      DeploySteps.use((steps) => steps.clone(input))
    ),
    build: activity("build", { input: Steps.BuildInput, output: Steps.BuildOutput }, (input) =>
      DeploySteps.use((steps) => steps.build(input))
    ),
    push: activity("push", { input: Steps.PushInput, output: Steps.PushOutput }, (input) =>
      DeploySteps.use((steps) => steps.push(input))
    ),
    deploy: activity("deploy", { input: Steps.RolloutInput, output: Steps.RolloutOutput }, (input) =>
      DeploySteps.use((steps) => steps.deploy(input))
    ),
    verify: activity("verify", { input: Steps.VerifyInput, output: Steps.VerifyOutput }, (input) =>
      DeploySteps.use((steps) => steps.verify(input))
    ),
    restore: activity("restore", { input: Steps.RestoreInput, output: Steps.RestoreOutput }, (input) =>
      DeploySteps.use((steps) => steps.restore(input))
    ),
    rollback: activity("rollback", { input: RollbackInput, output: Steps.VerifyOutput }, (input) =>
      Effect.map(rollback(input), (receipt) => ({ receipt }))
    ),
    deleteService: activity(
      "deleteService",
      { input: DeleteServiceInput, output: Schema.Void },
      deleteService
    ),
    deleteProject: activity(
      "deleteProject",
      { input: DeleteProjectInput, output: Schema.Void },
      deleteProject
    ),
    addDomain: activity("addDomain", { input: DomainInput, output: DomainStatus }, ({ host, target }) =>
      DomainManager.use((domains) => domains.add(target, host))
    ),
    removeDomain: activity("removeDomain", { input: DomainInput, output: Schema.Void }, ({ host, target }) =>
      DomainManager.use((domains) => domains.remove(target, host))
    )
  }
}
