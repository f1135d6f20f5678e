/** UnderWay: which deploys of a project may still bring something, by what its requests and records say. */
import type { DeployRequest, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { Namespace, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Record from "../apply/Record.ts"
import { retryConflicts } from "../apply/Retry.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf } from "../kubernetes/Kind.ts"
import type { LiveObject } from "../kubernetes/LiveObject.ts"
import { fieldManager, labels } from "../manifests/Manifest.ts"
import {
  decode,
  decodeOrWarn,
  manifestOf,
  type Note,
  noteOf,
  refOf,
  repositoryLabel,
  textOf
} from "./RequestObject.ts"

/** What a build and a rollout may take when the request does not say, and room for the steps around them. */
const buildSeconds = 1200
const rolloutSeconds = 300
const marginSeconds = 120

/** How long a deploy may take: one that says nothing for longer was killed. */
const longestSeconds = ({ build, run }: DeployRequest): number =>
  (build.timeoutSeconds ?? buildSeconds) + 2 * (run.rolloutSeconds ?? rolloutSeconds) + marginSeconds

/** When the request was last written: the API server notes it for each writer (ManagedFieldsEntry). */
const writtenAt = ({ metadata }: LiveObject): number =>
  Math.max(0, ...(metadata.managedFields ?? []).map(({ time }) => Date.parse(String(time)) || 0))

/** The newest requests of a project's services, by what has become of them. */
export interface Deploys {
  /** Their deploy has neither a receipt nor failed, nor had all the time that it may take. */
  readonly underWay: ReadonlyArray<DeployRequest>
  /** They wait for others. */
  readonly waiting: ReadonlyArray<DeployRequest>
  /** They have come, with when. */
  readonly deployed: ReadonlyArray<{ readonly request: DeployRequest; readonly at: number }>
}

export const none: Deploys = { underWay: [], waiting: [], deployed: [] }

/** Long ago is left out. */
export const deploysOf = Effect.fnUntraced(function* (
  api: KubernetesApi,
  namespace: Namespace
): Effect.fn.Return<Deploys, Failure> {
  const { items } = yield* api.list(
    { kind: kinds.ConfigMap, namespace, name: "" },
    { label: `${labels.managedBy}=${fieldManager},${repositoryLabel}` }
  )
  const now = yield* Clock.currentTimeMillis
  const found = yield* Effect.forEach(
    items,
    Effect.fnUntraced(function* (live): Effect.fn.Return<Deploys, Failure> {
      const request = yield* decodeOrWarn(live)
      if (request === undefined || now - writtenAt(live) > longestSeconds(request) * 1000) return none
      const newest = (yield* Record.read(api, request.target))?.receipts[0]
      if (newest !== undefined && newest.generation >= request.generation)
        return { ...none, deployed: [{ request, at: Date.parse(newest.deployedAt) }] }
      switch (noteOf(live, request.generation)) {
        case "failed":
          return none
        case "waits for others":
          return { ...none, waiting: [request] }
        case undefined:
          return { ...none, underWay: [request] }
      }
    })
  )
  return {
    underWay: found.flatMap(({ underWay }) => underWay),
    waiting: found.flatMap(({ waiting }) => waiting),
    deployed: found.flatMap(({ deployed }) => deployed)
  }
})

/** Notes this of the deploy of this generation, or nothing any more; another one's request is left as it is. */
export const note = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    target: ServiceTarget,
    generation: Generation,
    noted: Note | undefined
  ): Effect.fn.Return<void, Failure> {
    const ref = refOf(target)
    const live = yield* api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
    if (live === undefined) return
    const request = yield* decode(live)
    if (request.generation !== generation || noteOf(live, generation) === noted) return
    yield* api.replace(manifestOf(request, yield* textOf(request), live, noted), ref)
  },
  (effect, _api, target) => retryConflicts(effect, nameOf(refOf(target)))
)
