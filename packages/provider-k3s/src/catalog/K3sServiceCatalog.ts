/**
 * K3sServiceCatalog: {@link ServiceCatalog} in the cluster. Each service has one ConfigMap `{service}.request` in its
 * namespace (a service's name has no dot, so no other object has that name). A label with a hash of the repository's URL
 * makes the services of a repository one list over all namespaces.
 *
 * Each write is conditional on what was read. The generation is written even where nothing else has changed: without it, a
 * request between the two generations could come late and win.
 */
import { createHash } from "node:crypto"
import {
  type ClusterApplierError,
  type ClusterConfigInvalid,
  ObjectNotOwned,
  ServiceNotFound,
  UnexpectedAnswer
} from "@mcpdeploy/core/ClusterApplier"
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { ownerLabels, type ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { failed } from "../kubernetes/ContractFailure.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import * as KubeConfig from "../kubernetes/KubeConfig.ts"
import * as KubernetesApi from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { isManaged, labelOf, LiveObject } from "../kubernetes/LiveObject.ts"
import { watch } from "../kubernetes/Watch.ts"
import { fieldManager, labels, type Manifest, serviceLabels } from "../manifests/Manifest.ts"
import * as Project from "../apply/Project.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { retryConflicts } from "../apply/Retry.ts"

/** On a request's ConfigMap: {@link repositoryHash} of its source. */
const repositoryLabel = "mcpdeploy.dev/repository"
const requestKey = "request.json"

/** Equal for URLs that differ in letter case, `.git` or a last slash alone. A label's value may have 63 characters. */
export const repositoryHash = (url: RepositoryUrl): string =>
  createHash("sha256")
    .update(
      url
        .toLowerCase()
        .replace(/\/+$/, "")
        .replace(/\.git$/, "")
    )
    .digest("hex")
    .slice(0, 40)

const RequestObject = Schema.Struct({
  data: Schema.Struct({ [requestKey]: Schema.fromJsonString(DeployRequest) })
})
const decodeObject = Schema.decodeUnknownEffect(RequestObject)
const encodeRequest = Schema.encodeEffect(Schema.fromJsonString(DeployRequest))

const refOf = (target: ServiceTarget): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace: target.namespace,
  name: `${target.service}.request`
})

const decode = Effect.fnUntraced(function* (
  live: LiveObject
): Effect.fn.Return<DeployRequest, ObjectNotOwned | UnexpectedAnswer> {
  const object = `ConfigMap ${live.metadata.name}`
  const request = yield* decodeObject(live).pipe(
    Effect.map(({ data }) => data[requestKey]),
    Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
  )
  const isItsOwn =
    isManaged(live) &&
    live.metadata["namespace"] === request.owner.namespace &&
    live.metadata.name === refOf(request.target).name &&
    labelOf(live, ownerLabels.user) === request.owner.user &&
    labelOf(live, ownerLabels.project) === request.owner.project &&
    labelOf(live, labels.service) === request.service
  if (!isItsOwn) return yield* new ObjectNotOwned({ object })
  return request
})

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
    const text = yield* encodeRequest(request).pipe(
      Effect.mapError((error) => new UnexpectedAnswer({ object: nameOf(ref), detail: error.message }))
    )
    if (kept !== undefined && (yield* Effect.orDie(encodeRequest(kept))) === text) return
    const manifest: Manifest = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: ref.name,
        namespace: target.namespace,
        labels: {
          ...serviceLabels(target),
          [repositoryLabel]: repositoryHash(request.source.repository.url)
        },
        ...(live === undefined
          ? {}
          : { uid: live.metadata.uid, resourceVersion: live.metadata.resourceVersion })
      },
      data: { [requestKey]: text }
    }
    yield* live === undefined ? api.create(manifest, ref) : api.replace(manifest, ref)
  },
  (effect, _api, { target }) => retryConflicts(effect, nameOf(refOf(target)))
)

const allManaged: ObjectRef = { kind: kinds.ConfigMap, namespace: undefined, name: "" }
const managedBy = `${labels.managedBy}=${fieldManager}`

/** An entry that cannot be read is left out with a warning: one customer's must not hold up the pushes of all. */
const decodeOrWarn = (live: LiveObject): Effect.Effect<DeployRequest | undefined> =>
  decode(live).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logWarning(`left out of the catalog: ${error.message}`), undefined)
    )
  )

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
