/**
 * ReadinessRequests: while a rollout is awaited, its pods are asked more often than their readiness probe says.
 *
 * kubelet runs a readiness probe that has not succeeded whenever it looks at the pod anew (prober_manager.go,
 * UpdatePodStatus, since 1.21), which a change of an annotation makes it do. So a pod is ready a moment after its app is,
 * and an app that is ready is asked at its own pace. Where a kubelet does not do so, the probe's period decides.
 */
import * as Effect from "effect/Effect"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds } from "../kubernetes/Kind.ts"
import { annotations } from "../manifests/Manifest.ts"
import { containerOf, isEnding, isReady, type Pod } from "./PodState.ts"

/** Milliseconds between requests: more and more, as most apps are ready soon or not for long. */
const firstDelay = 100
const lastDelay = 1000
const growth = 1.3

const isStarting = (pod: Pod): boolean =>
  containerOf(pod)?.state?.running !== undefined && !isReady(pod) && !isEnding(pod)

/** Never ends; `pods` is what is known of them at a moment. */
export const hurry = Effect.fnUntraced(function* (
  api: Pick<KubernetesApi, "merge">,
  pods: () => ReadonlyArray<Pod>
): Effect.fn.Return<never> {
  let asked = 0
  let delay = firstDelay
  while (true) {
    yield* Effect.sleep(delay)
    const starting = pods().filter(isStarting)
    delay = starting.length === 0 ? firstDelay : Math.min(delay * growth, lastDelay)
    if (starting.length === 0) continue
    asked += 1
    yield* Effect.forEach(
      starting,
      ({ metadata: { name, namespace } }) =>
        api
          .merge(
            { kind: kinds.Pod, namespace, name },
            { metadata: { annotations: { [annotations.asked]: String(asked) } } }
          )
          // The pod may be gone, or the right be missing: then kubelet asks at its own pace.
          .pipe(
            Effect.catch((failure) => Effect.logDebug(`${name} cannot be asked now: ${failure.message}`))
          ),
      { concurrency: "unbounded", discard: true }
    )
  }
})
