/** Explain: the cause of a trouble with the app's own last words, from where they can still be had. */
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { AppCrashed, AppNotReady, OutOfMemory, type RolloutCause } from "@mcpdeploy/core/domain/RolloutCause"
import * as Effect from "effect/Effect"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { lastLines, type Where } from "./Logs.ts"
import { linesOf, shownLines, type Terminated, type Trouble } from "./PodState.ts"
import { otherPort } from "./RolloutState.ts"

/** kubelet keeps at most this of a failed run's output in its end. */
const messageBytes = 2048

/** How the API server says that a container runs for the first time. */
const noPrevious = /previous terminated container .* not found/

/**
 * The last lines of a run that has ended. Its end mostly says them itself, and is the only one that can when the run's log is
 * gone already. A longer output, and that of a run that succeeded, is in the log, of which only the run's own time counts:
 * what was the present run when the pod's state was read may be the previous one by now, and the other way round.
 */
const linesOfEnd = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  pod: string,
  end: Terminated
): Effect.fn.Return<ReadonlyArray<string>> {
  const known = linesOf(end)
  if (known.length > 0 && Buffer.byteLength(end.message ?? "") < messageBytes) return known
  let unreadable: string | undefined
  for (const where of ["current", "previous"] satisfies ReadonlyArray<Where>) {
    const lines = yield* lastLines(api, target, pod, where, shownLines, end).pipe(
      Effect.catch(({ message }) => {
        if (!noPrevious.test(message)) unreadable ??= message
        return Effect.succeed([])
      })
    )
    if (lines.length > 0) return lines
  }
  if (known.length > 0) return known
  // That it wrote nothing is said only when that is known.
  return unreadable === undefined ? [] : [`(its log cannot be read: ${unreadable})`]
})

const linesOfRun = (api: KubernetesApi, target: ServiceTarget, pod: string, run: Terminated | "running") =>
  run === "running"
    ? lastLines(api, target, pod, "current", shownLines).pipe(
        Effect.catch(({ message }) => Effect.succeed([`(its log cannot be read: ${message})`]))
      )
    : linesOfEnd(api, target, pod, run)

/** The cause, with the app's own last words where they tell more. */
export const explain = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  { cause, run }: Trouble
): Effect.fn.Return<RolloutCause> {
  if (run === undefined || !("pod" in cause)) return cause
  const lines = yield* linesOfRun(api, target, cause.pod, run)
  switch (cause._tag) {
    case "AppCrashed":
      return new AppCrashed({ ...cause, lines })
    case "OutOfMemory":
      return new OutOfMemory({ ...cause, lines })
    case "AppNotReady": {
      const other = otherPort(lines, cause.port)
      return new AppNotReady({ ...cause, lines, ...(other === undefined ? {} : { otherPort: other }) })
    }
    default:
      return cause
  }
})
