/**
 * K3sServiceCatalog: {@link ServiceCatalog} in the cluster. Each service has one ConfigMap (RequestObject.ts) in its
 * namespace. A label with a hash of the repository's URL makes the services of a repository one list over all namespaces.
 *
 * Each write is conditional on what was read. The generation is written even where nothing else has changed: without it, a
 * request between the two generations could come late and win.
 */
import type { ClusterApplierError, ClusterConfigInvalid } from "@mcpdeploy/core/ClusterApplier"
import { ServiceNotFound } from "@mcpdeploy/core/ClusterApplier"
import type { DeployRequest, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { failed } from "../kubernetes/ContractFailure.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import * as KubeConfig from "../kubernetes/KubeConfig.ts"
import * as KubernetesApi from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { LiveObject } from "../kubernetes/LiveObject.ts"
import { watch } from "../kubernetes/Watch.ts"
import { fieldManager, labels } from "../manifests/Manifest.ts"
import * as Project from "../apply/Project.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { retryConflicts } from "../apply/Retry.ts"
import {
  decode,
  decodeOrWarn,
  manifestOf,
  noteOf,
  refOf,
  repositoryHash,
  repositoryLabel,
  textOf
} from "./RequestObject.ts"
import * as UnderWay from "./UnderWay.ts"

const find = (api: KubernetesApi.KubernetesApi, target: ServiceTarget) =>
  api.get(refOf(target)).pipe(Effect.catchTag("NotFound", () => Effect.undefined))

const register = Effect.fnUntraced(
  function* (api: KubernetesApi.KubernetesApi, request: DeployRequest): Effect.fn.Return<void, Failure> {
    const { target } = request
    const ref = refOf(target)
    if ((yield* Project.find(api, target.owner)) === undefined) return yield* new ServiceNotFound({ target })
    const live = yield* find(api, target)
    const kept = live === undefined ? undefined : yield* decode(live)
    if (kept !== undefined && kept.generation > request.generation) return
    const text = yield* textOf(request)
    // The same request again is under way again, also when its deploy had failed.
    const isKept = kept !== undefined && (yield* textOf(kept)) === text
    if (isKept && live !== undefined && noteOf(live, request.generation) === undefined) return
    const manifest = manifestOf(request, text, live)
    yield* live === undefined ? api.create(manifest, ref) : api.replace(manifest, ref)
  },
  (effect, _api, { target }) => retryConflicts(effect, nameOf(refOf(target)))
)

const allManaged: ObjectRef = { kind: kinds.ConfigMap, namespace: undefined, name: "" }
const managedBy = `${labels.managedBy}=${fieldManager}`

const isThere = (request: DeployRequest | undefined): request is DeployRequest => request !== undefined

const list = Effect.fnUntraced(function* (
  api: KubernetesApi.KubernetesApi,
  namespace: string | undefined,
  selector: string
): Effect.fn.Return<ReadonlyArray<DeployRequest>, Failure> {
  const { items } = yield* api.list({ ...allManaged, namespace }, { label: `${managedBy},${selector}` })
  return (yield* Effect.forEach(items, decodeOrWarn)).filter(isThere)
})

/**
 * Every service, first as they are, then after each change: for who must know without asking. A request that has not changed
 * stays the same value. Fails when the API server is away for a minute.
 */
export const changes = (
  region: RegionConfig
): Stream.Stream<ReadonlyArray<DeployRequest>, ClusterApplierError | ClusterConfigInvalid> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const api = yield* KubernetesApi.make(yield* KubeConfig.load(region))
      const decoded = new WeakMap<LiveObject, DeployRequest | undefined>()
      const decodeOnce = Effect.fnUntraced(function* (live: LiveObject) {
        if (!decoded.has(live)) decoded.set(live, yield* decodeOrWarn(live))
        return decoded.get(live)
      })
      return watch(api, allManaged, LiveObject, { label: `${managedBy},${repositoryLabel}` }).pipe(
        Stream.mapEffect((items) => Effect.forEach(items, decodeOnce)),
        Stream.map((requests) => requests.filter(isThere)),
        Stream.mapError(failed("look-up", "all services"))
      )
    })
  )

const make = (api: KubernetesApi.KubernetesApi): ServiceCatalog["Service"] =>
  ServiceCatalog.of({
    register: Effect.fn("ServiceCatalog.register")(
      (request: DeployRequest): Effect.Effect<void, Failure> => register(api, request),
      (effect, { target }) => Effect.mapError(effect, failed("register", target))
    ),
    get: Effect.fn("ServiceCatalog.get")(
      function* (target: ServiceTarget): Effect.fn.Return<DeployRequest | undefined, Failure> {
        if ((yield* Project.find(api, target.owner)) === undefined) return undefined
        const live = yield* find(api, target)
        return live === undefined ? undefined : yield* decode(live)
      },
      (effect, target) => Effect.mapError(effect, failed("look-up", target))
    ),
    ofRepository: Effect.fn("ServiceCatalog.ofRepository")(
      (url: RepositoryUrl) => list(api, undefined, `${repositoryLabel}=${repositoryHash(url)}`),
      (effect) => Effect.mapError(effect, failed("look-up", "all services"))
    ),
    ofProject: Effect.fn("ServiceCatalog.ofProject")(
      function* (owner) {
        if ((yield* Project.find(api, owner)) === undefined) return []
        return yield* list(api, owner.namespace, repositoryLabel)
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    settle: Effect.fn("ServiceCatalog.settle")(
      (target: ServiceTarget, generation: Generation) => UnderWay.note(api, target, generation, "failed"),
      (effect, target) => Effect.mapError(effect, failed("register", target))
    ),
    underWay: Effect.fn("ServiceCatalog.underWay")(
      function* (owner) {
        if ((yield* Project.find(api, owner)) === undefined) return []
        return (yield* UnderWay.deploysOf(api, owner.namespace)).underWay
      },
      (effect, owner) => Effect.mapError(effect, failed("look-up", owner.namespace))
    ),
    all: list(api, undefined, repositoryLabel).pipe(
      Effect.mapError(failed("look-up", "all services")),
      Effect.withSpan("ServiceCatalog.all")
    ) satisfies Effect.Effect<ReadonlyArray<DeployRequest>, ClusterApplierError>
  })

/** Connects with the first request. Fails only when no access to a cluster is configured. */
export const layer = (region: RegionConfig): Layer.Layer<ServiceCatalog, ClusterConfigInvalid> =>
  Layer.effect(
    ServiceCatalog,
    Effect.gen(function* () {
      return make(yield* KubernetesApi.make(yield* KubeConfig.load(region)))
    })
  )
