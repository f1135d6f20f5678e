/** Room: how many more pods of a size the region's nodes, and a project's quota, take. */
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import type { Namespace } from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { type Kind, kinds } from "../kubernetes/Kind.ts"
import { projectObject } from "../manifests/Project.ts"
import { amountOf, resourcesOf } from "../manifests/Quantity.ts"
import type { RegionConfig } from "../RegionConfig.ts"

const Quantities = Schema.Record(Schema.String, Schema.String)
const Toleration = Schema.Struct({
  key: Schema.optionalKey(Schema.String),
  operator: Schema.optionalKey(Schema.String),
  value: Schema.optionalKey(Schema.String)
})

/** A node, as far as it is used (core/v1). */
const Node = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, labels: Schema.optionalKey(Quantities) }),
  spec: Schema.Struct({
    unschedulable: Schema.optionalKey(Schema.Boolean),
    taints: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({ key: Schema.String, value: Schema.optionalKey(Schema.String), effect: Schema.String })
      )
    )
  }),
  status: Schema.Struct({ allocatable: Quantities })
})
export type Node = typeof Node.Type

const Requests = Schema.Struct({
  resources: Schema.optionalKey(Schema.Struct({ requests: Schema.optionalKey(Quantities) }))
})
/** What a pod takes of its node. */
const TakenPod = Schema.Struct({
  spec: Schema.Struct({
    nodeName: Schema.optionalKey(Schema.String),
    containers: Schema.Array(Requests),
    overhead: Schema.optionalKey(Quantities)
  })
})
export type TakenPod = typeof TakenPod.Type

/** The RuntimeClass: where its pods go, and what each takes beside its containers. */
const RuntimeClass = Schema.Struct({
  overhead: Schema.optionalKey(Schema.Struct({ podFixed: Quantities })),
  scheduling: Schema.optionalKey(
    Schema.Struct({
      nodeSelector: Schema.optionalKey(Quantities),
      tolerations: Schema.optionalKey(Schema.Array(Toleration))
    })
  )
})
export type RuntimeClass = typeof RuntimeClass.Type

/** Cores and bytes. */
export interface Size {
  readonly cpu: number
  readonly memory: number
}

const sizeOf = (quantities: Readonly<Record<string, string>> = {}): Size => ({
  cpu: amountOf(quantities["cpu"] ?? "0"),
  memory: amountOf(quantities["memory"] ?? "0")
})
const sum = (sizes: ReadonlyArray<Size>): Size => ({
  cpu: sizes.reduce((total, { cpu }) => total + cpu, 0),
  memory: sizes.reduce((total, { memory }) => total + memory, 0)
})

const takenBy = ({ spec }: TakenPod): Size =>
  sum([...spec.containers.map(({ resources }) => sizeOf(resources?.requests)), sizeOf(spec.overhead)])

/** Rounding of sums of decimal fractions must not cost a pod. */
const epsilon = 1e-9
const times = (room: number, one: number): number =>
  one <= 0 ? Number.POSITIVE_INFINITY : Math.max(0, Math.floor(room / one + epsilon))

const takesPods = ({ metadata, spec }: Node, { scheduling }: RuntimeClass): boolean => {
  const wanted = Object.entries(scheduling?.nodeSelector ?? {})
  const tolerations = scheduling?.tolerations ?? []
  const isTolerated = (taint: { readonly key: string; readonly value?: string }) =>
    tolerations.some(
      ({ key, operator, value }) =>
        (key === undefined || key === taint.key) &&
        (operator === "Exists" || (value ?? "") === (taint.value ?? ""))
    )
  return (
    spec.unschedulable !== true &&
    wanted.every(([name, value]) => metadata.labels?.[name] === value) &&
    (spec.taints ?? []).every((taint) => taint.effect === "PreferNoSchedule" || isTolerated(taint))
  )
}

/** How many more pods that reserve this the nodes take. */
export const roomOnNodes = (
  nodes: ReadonlyArray<Node>,
  pods: ReadonlyArray<TakenPod>,
  runtimeClass: RuntimeClass,
  reserves: Size
): number => {
  const one = sum([reserves, sizeOf(runtimeClass.overhead?.podFixed)])
  return nodes
    .filter((node) => takesPods(node, runtimeClass))
    .map(({ metadata, status }) => {
      const there = pods.filter(({ spec }) => spec.nodeName === metadata.name)
      const taken = sum(there.map(takenBy))
      const { cpu, memory } = sizeOf(status.allocatable)
      const count = amountOf(status.allocatable["pods"] ?? "110") - there.length
      return Math.min(
        times(cpu - taken.cpu, one.cpu),
        times(memory - taken.memory, one.memory),
        Math.max(0, count)
      )
    })
    .reduce((total, room) => total + room, 0)
}

const Quota = Schema.Struct({
  status: Schema.Struct({ hard: Schema.optionalKey(Quantities), used: Schema.optionalKey(Quantities) })
})

const cluster = (kind: string, apiVersion: string, plural: string): Kind => ({
  kind,
  apiVersion,
  plural,
  namespaced: false
})
const nodeKind = cluster("Node", "v1", "nodes")
const runtimeClassKind = cluster("RuntimeClass", "node.k8s.io/v1", "runtimeclasses")

const decoded =
  <A>(schema: Schema.Decoder<A>, object: string) =>
  (value: unknown): Effect.Effect<A, UnexpectedAnswer> =>
    Schema.decodeUnknownEffect(schema)(value).pipe(
      Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
    )

/** What a pod may use at most. */
export interface Limits {
  readonly cpu: string
  readonly memory: string
}

/** How many more pods of these limits the region's nodes take. */
export const regionRoom = Effect.fnUntraced(function* (
  api: KubernetesApi,
  region: RegionConfig,
  limits: Limits
): Effect.fn.Return<number, Failure> {
  const [nodes, pods, runtimeClass] = yield* Effect.all(
    [
      api.list({ kind: nodeKind, namespace: undefined, name: "" }),
      api.list(
        { kind: kinds.Pod, namespace: undefined, name: "" },
        // What has ended takes nothing.
        { field: "status.phase!=Succeeded,status.phase!=Failed" }
      ),
      api.get({ kind: runtimeClassKind, namespace: undefined, name: region.runtimeClass })
    ],
    { concurrency: "unbounded" }
  )
  return roomOnNodes(
    yield* decoded(Schema.Array(Node), "nodes")(nodes.items),
    yield* decoded(Schema.Array(TakenPod), "pods")(pods.items),
    yield* decoded(RuntimeClass, `RuntimeClass ${region.runtimeClass}`)(runtimeClass),
    sizeOf(resourcesOf(limits, region.reserved).requests)
  )
})

/** How many more pods of these limits the project's quota takes. */
export const quotaRoom = Effect.fnUntraced(function* (
  api: KubernetesApi,
  namespace: Namespace,
  limits: Limits
): Effect.fn.Return<number, Failure> {
  const live = yield* api.get({ kind: kinds.ResourceQuota, namespace, name: projectObject })
  const { hard = {}, used = {} } = (yield* decoded(Quota, `ResourceQuota ${projectObject}`)(live)).status
  const left = (name: string): number =>
    hard[name] === undefined ? Number.POSITIVE_INFINITY : amountOf(hard[name]) - amountOf(used[name] ?? "0")
  const { cpu, memory } = sizeOf({ cpu: limits.cpu, memory: limits.memory })
  return Math.min(
    times(left("limits.cpu"), cpu),
    times(left("limits.memory"), memory),
    Math.max(0, left("pods"))
  )
})
