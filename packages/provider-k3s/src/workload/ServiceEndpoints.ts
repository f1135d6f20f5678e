/** ServiceEndpoints: whether a service's own name leads to its pods, for the services beside it. */
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import type { PodEvidence } from "@mcpdeploy/core/domain/Receipt"
import { RolloutDeadline } from "@mcpdeploy/core/domain/RolloutCause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds } from "../kubernetes/Kind.ts"
import { watch } from "../kubernetes/Watch.ts"

/** The pods behind a Service (discovery.k8s.io/v1). */
const EndpointSlice = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, uid: Schema.String }),
  endpoints: Schema.optionalKey(
    Schema.NullOr(
      Schema.Array(
        Schema.Struct({
          conditions: Schema.optionalKey(
            Schema.Struct({ ready: Schema.optionalKey(Schema.NullOr(Schema.Boolean)) })
          ),
          targetRef: Schema.optionalKey(Schema.Struct({ name: Schema.optionalKey(Schema.String) }))
        })
      )
    )
  )
})

/** Whether all of these pods are there. */
const leadTo = (
  slices: ReadonlyArray<typeof EndpointSlice.Type>,
  pods: ReadonlyArray<PodEvidence>
): boolean => {
  const ready = new Set(
    slices.flatMap(({ endpoints }) =>
      (endpoints ?? []).flatMap(({ conditions, targetRef }) =>
        conditions?.ready === false || targetRef?.name === undefined ? [] : [targetRef.name]
      )
    )
  )
  return pods.every(({ name }) => ready.has(name))
}

/** The controller needs a moment; more than this, and it is not there. */
const seconds = 30

/** Waits until the Service has these pods. */
export const awaitEndpoints = (
  api: KubernetesApi,
  { target }: Workload,
  pods: ReadonlyArray<PodEvidence>
): Effect.Effect<void, Failure> =>
  pods.length === 0
    ? Effect.void
    : watch(api, { kind: kinds.EndpointSlice, namespace: target.namespace, name: "" }, EndpointSlice, {
        label: `kubernetes.io/service-name=${target.service}`
      }).pipe(
        Stream.takeUntil((slices) => leadTo(slices, pods)),
        Stream.runDrain,
        Effect.timeoutOrElse({
          duration: `${seconds} seconds`,
          orElse: () =>
            new RolloutDeadline({
              seconds,
              detail: "its pods are ready, but its Service does not lead to them"
            })
        }),
        // An account without the right to look takes the pods' word.
        Effect.catchTag("ClusterForbidden", (error) => Effect.logWarning(error.message))
      )
