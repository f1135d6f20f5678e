/** The DomainManager of a region that has none: every change of a domain fails and says so. */
import { DomainClusterFailed, DomainManager } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const noDomains = Effect.fail(
  new DomainClusterFailed({
    detail: "this region serves no domains but its own: its worker runs without a DomainManager",
    retryable: false
  })
)

export const layer: Layer.Layer<DomainManager> = Layer.succeed(
  DomainManager,
  DomainManager.of({
    add: () => noDomains,
    remove: () => noDomains,
    status: () => noDomains,
    list: () => noDomains
  })
)
