/**
 * ServiceCatalog: what is to run, as it was last asked for. The cluster keeps it beside the workload, so that a push
 * needs only its repository to find the services it concerns, and no process keeps state of its own.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ClusterApplierError } from "./ClusterApplier.ts"
import type { DeployRequest, Generation } from "./domain/DeployRequest.ts"
import type { Owner, ServiceTarget } from "./domain/Identity.ts"
import type { RepositoryUrl } from "./domain/Source.ts"

/** The newest request of each service, so that a push needs only its repository to find what to deploy. */
export class ServiceCatalog extends Context.Service<
  ServiceCatalog,
  {
    /**
     * Keeps `request` as the service's newest, before anything is built. An older generation than the kept one changes
     * nothing. Secrets are in it by reference only. The project must be claimed (`ClusterApplier.claim`): one that was
     * deleted meanwhile is not made again. A request for a tag or a commit is kept as well: no push then moves the service.
     */
    readonly register: (request: DeployRequest) => Effect.Effect<void, ClusterApplierError>
    /** The newest request of a service, also of one whose deploys have all failed so far; none where there is none. */
    readonly get: (target: ServiceTarget) => Effect.Effect<DeployRequest | undefined, ClusterApplierError>
    /** Every service that is deployed from a repository; URLs that differ in letter case or `.git` alone are the same. */
    readonly ofRepository: (
      url: RepositoryUrl
    ) => Effect.Effect<ReadonlyArray<DeployRequest>, ClusterApplierError>
    /** The services of a project. */
    readonly ofProject: (owner: Owner) => Effect.Effect<ReadonlyArray<DeployRequest>, ClusterApplierError>
    /**
     * Notes that the deploy of this generation has failed: nobody waits for it any more. Nothing is noted for a service whose
     * newest request is another. Registering the request again takes it back.
     */
    readonly settle: (
      target: ServiceTarget,
      generation: Generation
    ) => Effect.Effect<void, ClusterApplierError>
    /** The project's requests whose deploy may still be going on, by whomever: it has neither a receipt nor failed. */
    readonly underWay: (owner: Owner) => Effect.Effect<ReadonlyArray<DeployRequest>, ClusterApplierError>
    readonly all: Effect.Effect<ReadonlyArray<DeployRequest>, ClusterApplierError>
  }
>()("mcpdeploy/core/ServiceCatalog") {}
