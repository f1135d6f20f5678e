/** The ServiceCatalog of a region that keeps none: what this process has seen since it started. */
import type { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const sameRepository = (url: string): string => url.toLowerCase().replace(/\.git$/, "")

export const layer: Layer.Layer<ServiceCatalog> = Layer.sync(ServiceCatalog, () => {
  const requests = new Map<string, DeployRequest>()
  const where = (test: (request: DeployRequest) => boolean) =>
    Effect.sync(() => [...requests.values()].filter(test))
  return ServiceCatalog.of({
    register: (request) =>
      Effect.sync(() => {
        const { key } = request.target
        const known = requests.get(key)
        if (known === undefined || known.generation <= request.generation) requests.set(key, request)
      }),
    get: (target) => Effect.sync(() => requests.get(target.key)),
    ofRepository: (url) =>
      where(({ source }) => sameRepository(source.repository.url) === sameRepository(url)),
    ofProject: (owner) => where((request) => request.owner.namespace === owner.namespace),
    all: where(() => true)
  })
})
