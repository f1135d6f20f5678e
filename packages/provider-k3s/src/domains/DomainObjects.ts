/** DomainObjects: writes what a host needs in the service's namespace, fenced by the host's claim, and takes it back. */
import { ObjectNotOwned } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { applyObjects } from "../apply/Apply.ts"
import type { Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { annotationOf, fenceOf, isManaged, LiveObject } from "../kubernetes/LiveObject.ts"
import { watch } from "../kubernetes/Watch.ts"
import type { Fence } from "../manifests/Manifest.ts"
import type { ServiceRecord } from "../apply/Record.ts"
import {
  domainKey,
  domainKeyLabel,
  domainManifests,
  hostAnnotation,
  objectRefs
} from "./CertificateObjects.ts"
import * as Claim from "./Claim.ts"
import type { DomainSettings } from "./DomainsConfig.ts"

const deadline = "60 seconds"

/** Deletes what was made for the host in the target's namespace, with a token of at most `token`. */
export const remove = Effect.fn("DomainObjects.remove")(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName,
  token: number
): Effect.fn.Return<void, Failure> {
  yield* Effect.forEach(
    objectRefs(target, host),
    Effect.fnUntraced(function* (ref) {
      const live = yield* api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
      // The Secret is cert-manager's, so it has no fence.
      if (live === undefined || !isManaged(live) || fenceOf(live) > token) return
      yield* api
        .delete(ref, { propagation: "Background", precondition: { uid: live.metadata.uid } })
        .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void))
    }),
    { discard: true }
  )
})

/** Waits until nothing of the host is left in the target's namespace. */
export const awaitGone = (api: KubernetesApi, target: ServiceTarget, host: DomainName) =>
  Effect.forEach(
    [kinds.Ingress, kinds.Certificate, kinds.Secret],
    (kind) =>
      watch(api, { kind, namespace: target.namespace, name: "" }, LiveObject, {
        label: `${domainKeyLabel}=${domainKey(host)}`
      }).pipe(
        Stream.takeUntil((items) => items.length === 0),
        Stream.runDrain
      ),
    { concurrency: "unbounded", discard: true }
  ).pipe(Effect.timeoutOption(deadline), Effect.asVoid)

/**
 * What earlier holders made in other namespaces, and could not remove: an Ingress of theirs would compete for the host.
 */
const sweep = Effect.fnUntraced(function* (
  api: KubernetesApi,
  target: ServiceTarget,
  host: DomainName,
  token: number
): Effect.fn.Return<void, Failure> {
  const label = `${domainKeyLabel}=${domainKey(host)}`
  yield* Effect.forEach(
    [kinds.Ingress, kinds.Certificate],
    Effect.fnUntraced(function* (kind) {
      const { items } = yield* api.list({ kind, namespace: undefined, name: "" }, { label })
      yield* Effect.forEach(
        items.filter(
          (live) =>
            live.metadata["namespace"] !== target.namespace &&
            annotationOf(live, hostAnnotation) === host &&
            fenceOf(live) < token
        ),
        (live) => {
          const namespace = live.metadata["namespace"]
          const ref: ObjectRef = {
            kind,
            namespace: typeof namespace === "string" ? namespace : undefined,
            name: live.metadata.name
          }
          return api
            .delete(ref, { propagation: "Background", precondition: { uid: live.metadata.uid } })
            .pipe(Effect.catchTag(["NotFound", "Conflict"], () => Effect.void))
        },
        { discard: true }
      )
    }),
    { concurrency: "unbounded", discard: true }
  )
})

/**
 * Makes the objects be there, as the holder of `claim`. A holder that learns afterwards that the host has changed hands
 * takes back what it wrote.
 */
export const apply = Effect.fn("DomainObjects.apply")(function* (
  api: KubernetesApi,
  settings: DomainSettings,
  target: ServiceTarget,
  host: DomainName,
  claim: Claim.Claim,
  record: ServiceRecord
): Effect.fn.Return<void, Failure> {
  const fence: Fence = {
    generation: claim.token,
    token: claim.token,
    record: { apiVersion: "v1", kind: "ConfigMap", name: target.service, uid: record.uid }
  }
  const lost = new ObjectNotOwned({
    object: nameOf({ kind: kinds.ConfigMap, namespace: settings.namespace, name: host })
  })
  const confirm = Effect.flatMap(Claim.isCurrent(api, settings.namespace, claim), (current) =>
    current ? Effect.void : Effect.fail(lost)
  )
  yield* sweep(api, target, host, claim.token)
  yield* applyObjects(api, domainManifests(target, host, settings), { fence, confirm })
  yield* confirm.pipe(Effect.tapErrorTag("ObjectNotOwned", () => remove(api, target, host, claim.token)))
})
