/** Projects: what the cluster has of a project or of the whole region, and the end of a project. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ClusterApplierError } from "./ClusterApplier.ts"
import type { Generation } from "./domain/DeployRequest.ts"
import type { Namespace, Owner, ServiceTarget } from "./domain/Identity.ts"
import type { ImageDigest } from "./domain/Image.ts"

/** What of the registry a service needs. */
export interface ServiceImages {
  /** `dp-{user_id}-{project}/{service}`. */
  readonly repository: string
  /** Of what runs or may run at any moment, and of the kept receipts. */
  readonly digests: ReadonlyArray<ImageDigest>
  /** The newest request, and the newest deploy that succeeded; the same generation when nothing is under way. */
  readonly requested?: Generation
  /** When the newest request came, milliseconds since the epoch by the cluster's clock. */
  readonly requestedAt?: number
  readonly deployed?: { readonly generation: Generation; readonly deployedAt: string }
}

/** What there is in a region of a project, and of all of them; and its end. */
export class Projects extends Context.Service<
  Projects,
  {
    /** Whether the project has a namespace, also one that is being deleted; fails when it is another owner's. */
    readonly exists: (owner: Owner) => Effect.Effect<boolean, ClusterApplierError>
    /** The services of which the project has anything; none for a project that is not there or is being deleted. */
    readonly services: (owner: Owner) => Effect.Effect<ReadonlyArray<ServiceTarget>, ClusterApplierError>
    /** What the region, or one namespace of it, needs of the registry. Fails rather than leave one out. */
    readonly images: (
      namespace?: Namespace
    ) => Effect.Effect<ReadonlyArray<ServiceImages>, ClusterApplierError>
    /**
     * Deletes the project's namespace and waits until it is gone; refused while a service is in it. Returns whether there
     * was one.
     */
    readonly delete: (owner: Owner) => Effect.Effect<boolean, ClusterApplierError>
  }
>()("mcpdeploy/core/Projects") {}
