/** RepositoryIndex: which services are deployed from a repository, in memory, so that no delivery waits for the cluster. */
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import type { DeployRequest as EncodedRequest, ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** A service, as it was last asked for. */
export interface IndexedService {
  readonly target: ServiceTarget
  readonly request: DeployRequest
  /** The same as it travels. */
  readonly encoded: EncodedRequest
}

/** URLs that differ in letter case, `.git` or a last slash alone are the same repository. */
export const normalUrl = (url: string): string =>
  url
    .toLowerCase()
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")

const encode = Schema.encodeSync(DeployRequest)

const indexed = (request: DeployRequest): IndexedService => ({
  target: {
    owner: { user: request.owner.user, project: request.owner.project },
    service: request.service
  },
  request,
  encoded: encode(request)
})

const none: ReadonlyArray<IndexedService> = []

const reconnects = Schedule.spaced("1 second")

/** Which services are deployed from a repository. */
export class RepositoryIndex extends Context.Service<
  RepositoryIndex,
  {
    /** `url` as {@link normalUrl} makes it. */
    readonly servicesOf: (url: string) => ReadonlyArray<IndexedService>
    /** Whether it has been read since the process began. */
    readonly isLoaded: () => boolean
    /** Whether changes are heard of. Without it, what was known last goes on. */
    readonly isConnected: () => boolean
  }
>()("mcpdeploy/server/RepositoryIndex") {
  /** `changes`: every service, first as it is, then after each change. It is begun again when it ends. */
  static readonly layer = <E extends { readonly message: string }>(
    changes: Stream.Stream<ReadonlyArray<DeployRequest>, E>
  ): Layer.Layer<RepositoryIndex> =>
    Layer.effect(
      RepositoryIndex,
      Effect.gen(function* () {
        // A request that has not changed is not encoded again.
        const known = new WeakMap<DeployRequest, IndexedService>()
        let byUrl: ReadonlyMap<string, ReadonlyArray<IndexedService>> | undefined
        let isConnected = false
        const accept = (requests: ReadonlyArray<DeployRequest>) => {
          const services = requests.map((request) => {
            const service = known.get(request) ?? indexed(request)
            known.set(request, service)
            return service
          })
          byUrl = Map.groupBy(services, ({ request }) => normalUrl(request.source.repository.url))
          isConnected = true
        }
        yield* changes.pipe(
          Stream.runForEach((requests) => Effect.sync(() => accept(requests))),
          Effect.catch((error) => Effect.logWarning(`the catalog cannot be read: ${error.message}`)),
          Effect.andThen(
            Effect.sync(() => {
              isConnected = false
            })
          ),
          Effect.repeat(reconnects),
          Effect.forkScoped
        )
        return RepositoryIndex.of({
          servicesOf: (url) => byUrl?.get(url) ?? none,
          isLoaded: () => byUrl !== undefined,
          isConnected: () => isConnected
        })
      })
    )
}
