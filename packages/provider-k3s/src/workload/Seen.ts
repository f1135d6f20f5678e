/** Seen: what a pod's status says only for a moment, kept for as long as the pod is there. Pure. */
import { endsOf, isPullFailing, type Past, type Pod, type Terminated } from "./PodState.ts"

/** What was seen of one pod. */
export interface Seen extends Past {
  /** Whether the last look saw a failed attempt: each change from false to true is one. */
  readonly isPullFailing: boolean
}

const isSameRun = (one: Terminated, other: Terminated): boolean =>
  one.containerID === other.containerID && one.finishedAt === other.finishedAt

/** What is known after one more look at the pods. */
export const remember = (
  before: ReadonlyMap<string, Seen>,
  pods: ReadonlyArray<Pod>
): ReadonlyMap<string, Seen> =>
  new Map(
    pods.map((pod) => {
      const known = before.get(pod.metadata.uid) ?? { failedPulls: 0, isPullFailing: false, ends: [] }
      const isFailing = isPullFailing(pod)
      const fresh = endsOf(pod).filter((end) => !known.ends.some((kept) => isSameRun(kept, end)))
      return [
        pod.metadata.uid,
        {
          failedPulls: known.failedPulls + (isFailing && !known.isPullFailing ? 1 : 0),
          isPullFailing: isFailing,
          ends: [...known.ends, ...fresh]
        }
      ]
    })
  )
