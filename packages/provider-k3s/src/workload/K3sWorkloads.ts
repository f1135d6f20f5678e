/** K3sWorkloads: {@link Workloads} on Kubernetes. */
import { Workloads } from "@mcpdeploy/core/Workloads"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Project from "../apply/Project.ts"
import { failed } from "../kubernetes/ContractFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import * as Logs from "./Logs.ts"
import * as OneOff from "./OneOff.ts"
import { status } from "./Status.ts"

export const make = (api: KubernetesApi, region: RegionConfig): Workloads["Service"] =>
  Workloads.of({
    status: Effect.fn("Workloads.status")(
      (target) => status(api, target, region),
      (effect, target) => Effect.mapError(effect, failed("status", target))
    ),
    logs: (target, options) =>
      Stream.unwrap(Effect.as(Project.find(api, target.owner), Logs.logs(api, target, options))).pipe(
        Stream.mapError(failed("logs", target))
      ),
    run: (target, oneOff) =>
      OneOff.run(api, region, target, oneOff).pipe(Stream.mapError(failed("run", target)))
  })
