/** Delete: removes a service, or a whole project, and returns when it is gone. */
import { DeletionUnfinished } from "@mcpdeploy/core/ClusterApplier"
import type { Owner, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { type Kind, kinds } from "../kubernetes/Kind.ts"
import { LiveObject } from "../kubernetes/LiveObject.ts"
import { type Selector, watch } from "../kubernetes/Watch.ts"
import { fieldManager, labels } from "../manifests/Manifest.ts"
import * as Project from "./Project.ts"
import * as ReceiptSpecs from "./ReceiptSpecs.ts"
import { recordRef } from "./Record.ts"
import { listOf } from "./ServiceObjects.ts"

/** Pods get 35 s to end (manifests/Deployment.ts); the rest is for controllers and kubelet. */
const waitSeconds = 120

/** Waits until nothing is selected any more. */
const awaitGone = Effect.fnUntraced(function* (
  api: KubernetesApi,
  kind: Kind,
  namespace: string | undefined,
  selector: Selector
): Effect.fn.Return<void, Failure> {
  let left: ReadonlyArray<string> = []
  yield* watch(api, { kind, namespace, name: "" }, LiveObject, selector).pipe(
    Stream.tap((items) => {
      left = items.map(({ metadata }) => `${kind.kind} ${metadata.name}`)
      return Effect.void
    }),
    Stream.takeUntil((items) => items.length === 0),
    Stream.runDrain,
    Effect.timeoutOrElse({
      duration: `${waitSeconds} seconds`,
      orElse: () => Effect.fail(new DeletionUnfinished({ seconds: waitSeconds, objects: left }))
    })
  )
})

/** Kinds that a service has under its label, in the order in which they go: first what leads users to it. */
const serviceKinds = [
  kinds.Ingress,
  kinds.Service,
  kinds.CronJob,
  kinds.Deployment,
  kinds.Secret,
  kinds.ConfigMap
]

/**
 * The record goes first: from then on no deploy that is under way can finish, and what it still makes is collected as the
 * record's. What is deleted explicitly does not depend on the collector.
 */
export const deleteService = Effect.fn("Delete.service")(function* (
  api: KubernetesApi,
  target: ServiceTarget
): Effect.fn.Return<ReadonlyArray<string>, Failure> {
  const { namespace } = target
  if ((yield* Project.find(api, target.owner)) === undefined) return []
  const ofJobs = `${labels.managedBy}=${fieldManager},${labels.jobOf}=${target.service}`
  const jobs = yield* api.list({ kind: kinds.Job, namespace, name: "" }, { label: ofJobs })
  const all = yield* Effect.forEach(
    serviceKinds,
    (kind) => Effect.map(listOf(api, target, kind), (items) => ({ kind, items })),
    { concurrency: "unbounded" }
  )
  const specs = yield* ReceiptSpecs.list(api, target)
  const record = recordRef(target)
  const ours = all.find(({ kind }) => kind === kinds.ConfigMap)?.items ?? []
  const remove = (kind: Kind, { metadata }: LiveObject) =>
    api
      .delete(
        { kind, namespace, name: metadata.name },
        { propagation: "Background", precondition: { uid: metadata.uid } }
      )
      .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void))
  yield* Effect.forEach(
    ours.filter(({ metadata }) => metadata.name === record.name),
    (live) => remove(kinds.ConfigMap, live),
    { discard: true }
  )
  const others = [
    { kind: kinds.Job, items: jobs.items },
    { kind: kinds.ConfigMap, items: specs }
  ]
  const everything = [...all, ...others].flatMap(({ items, kind }) => items.map((live) => ({ kind, live })))
  yield* Effect.forEach(everything, ({ kind, live }) => remove(kind, live), {
    concurrency: "unbounded",
    discard: true
  })
  const label = `${labels.managedBy}=${fieldManager},${labels.service}=${target.service}`
  yield* Effect.all(
    [
      ...[kinds.Deployment, kinds.ReplicaSet, kinds.Pod].map((kind) =>
        awaitGone(api, kind, namespace, { label })
      ),
      ...[kinds.Job, kinds.Pod].map((kind) => awaitGone(api, kind, namespace, { label: ofJobs }))
    ],
    { concurrency: "unbounded", discard: true }
  )
  return everything.map(({ kind, live }) => `${kind.kind} ${live.metadata.name}`)
})

export const deleteProject = Effect.fn("Delete.project")(function* (
  api: KubernetesApi,
  owner: Owner
): Effect.fn.Return<boolean, Failure> {
  if (!(yield* Project.deleteProject(api, owner))) return false
  yield* awaitGone(api, kinds.Namespace, undefined, { field: `metadata.name=${owner.namespace}` })
  return true
})
