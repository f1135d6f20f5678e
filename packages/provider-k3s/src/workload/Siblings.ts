/**
 * Siblings: a crash while another service of the project is still on its way is no verdict, for an app may need one that is
 * deployed with it. Who is on its way the cluster says (catalog/UnderWay.ts), so it is the same for one process and for many.
 *
 * A service that waits notes so first and then looks for whom to wait: of two that wait for each other, each finds nobody.
 */
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import { type DeployStep, emit } from "@mcpdeploy/core/domain/DeployEvent"
import type { ServiceName } from "@mcpdeploy/core/domain/Identity"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Note } from "../catalog/RequestObject.ts"
import * as UnderWay from "../catalog/UnderWay.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"

/** How an app fails that lacks a service which it needs. */
const mayLackOne = (failure: Failure): boolean =>
  ["AppCrashed", "AppNotReady", "RolloutDeadline", "ProbeFailed"].includes(failure._tag)

const lookEvery = "1 second"

/** Time in which those that waited for a service have seen that it is there, and are on their way again. */
const gatherTime = "3 seconds"

/** What the cluster says of others. The app's own failure matters more than that nobody can be asked. */
const known = <A>(asked: Effect.Effect<A, Failure>, otherwise: A): Effect.Effect<A> =>
  asked.pipe(
    Effect.catch((failure) =>
      Effect.as(
        Effect.logWarning(`services deployed at the same time are not known: ${failure.message}`),
        otherwise
      )
    )
  )

interface Others {
  readonly underWay: ReadonlyArray<ServiceName>
  readonly areWaiting: boolean
  /** One has come since then. */
  readonly hasCome: boolean
}

const others = (api: KubernetesApi, { target }: Workload, since: number): Effect.Effect<Others> => {
  const isOther = ({ service }: { readonly service: ServiceName }) => service !== target.service
  return known(UnderWay.deploysOf(api, target.namespace), UnderWay.none).pipe(
    Effect.map(({ deployed, underWay, waiting }) => ({
      underWay: underWay.filter(isOther).map(({ service }) => service),
      areWaiting: waiting.some(isOther),
      hasCome: deployed.some(({ at, request }) => isOther(request) && at >= since)
    }))
  )
}

const note = (api: KubernetesApi, { generation, target }: Workload, noted: Note | undefined) =>
  known(UnderWay.note(api, target, generation, noted), undefined)

/** Waits while one is on its way. Whether one has come since then. */
const awaitOther = Effect.fnUntraced(function* (
  api: KubernetesApi,
  workload: Workload,
  since: number,
  because: string,
  step: DeployStep
) {
  let told = ""
  for (;;) {
    let { areWaiting, hasCome, underWay } = yield* others(api, workload, since)
    if (!hasCome && underWay.length === 0 && areWaiting) {
      yield* Effect.sleep(gatherTime)
      ;({ hasCome, underWay } = yield* others(api, workload, since))
    }
    if (hasCome || underWay.length === 0) return hasCome
    const names = underWay.join(", ")
    const message = `waiting for ${names}, deployed at the same time, because ${because}`
    if (names !== told) yield* emit({ _tag: "StepProgress", step, message })
    told = names
    yield* Effect.sleep(lookEvery)
  }
})

/**
 * Tries again whenever a service that is deployed at the same time has come, until one try lasts, or none is on its way any
 * more. `renew` gives the app a fresh start before.
 */
export const patiently = Effect.fnUntraced(function* <A>(
  api: KubernetesApi,
  workload: Workload,
  step: DeployStep,
  attempt: Effect.Effect<A, Failure>,
  renew: Effect.Effect<void, Failure>
): Effect.fn.Return<A, Failure> {
  for (;;) {
    const startedAt = yield* Clock.currentTimeMillis
    const result = yield* Effect.result(attempt)
    if (result._tag === "Success") return result.success
    const { failure } = result
    if (!mayLackOne(failure)) return yield* Effect.fail(failure)
    yield* note(api, workload, "waits for others")
    const [said = ""] = failure.message.split("\n")
    const because = said.replace(/; its last lines:$/, "")
    if (!(yield* awaitOther(api, workload, startedAt, because, step))) return yield* Effect.fail(failure)
    yield* note(api, workload, undefined)
    yield* renew
  }
})
