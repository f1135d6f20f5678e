/** K3sProjects: {@link Projects} on Kubernetes: a project is a namespace. */
import { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { Projects } from "@mcpdeploy/core/Projects"
import * as Effect from "effect/Effect"
import * as Delete from "../apply/Delete.ts"
import * as Project from "../apply/Project.ts"
import { failed } from "../kubernetes/ContractFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import * as Images from "./Images.ts"

export const make = (api: KubernetesApi): Projects["Service"] =>
  Projects.of({
    exists: Effect.fn("Projects.exists")(
      function* (owner) {
        return yield* Project.find(api, owner).pipe(
          Effect.map((live) => live !== undefined),
          Effect.catchTag("NamespaceTerminating", () => Effect.succeed(true))
        )
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    services: Effect.fn("Projects.services")(
      function* (owner) {
        const live = yield* Project.find(api, owner).pipe(
          Effect.catchTag("NamespaceTerminating", () => Effect.undefined)
        )
        if (live === undefined) return []
        const names = yield* Project.services(api, owner)
        return names.map((service) => new ServiceTarget({ owner, service }))
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    images: Effect.fn("Projects.images")(
      (namespace) => Images.images(api, namespace),
      (effect, namespace) => Effect.mapError(effect, failed("look-up", namespace ?? "all services"))
    ),
    delete: Effect.fn("Projects.delete")(
      (owner) => Delete.deleteProject(api, owner),
      (effect, owner) => Effect.mapError(effect, failed("delete", owner.namespace))
    )
  })
