/**
 * Claim: a host belongs to one service in the whole region. It is a ConfigMap named after the host in the platform's own
 * namespace: the API server lets exactly one create it. It is never deleted: a host that was given up stays as a
 * tombstone, because its DNS may still lead here, so that another customer must first show that the DNS is theirs.
 */
import { createHash, randomBytes } from "node:crypto"
import { UnexpectedAnswer } from "@mcpdeploy/core/ClusterApplier"
import type { DomainName } from "@mcpdeploy/core/DomainManager"
import {
  Owner,
  ownerLabels,
  ProjectName,
  ServiceName,
  ServiceTarget,
  UserId
} from "@mcpdeploy/core/domain/Identity"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AlreadyExists, Conflict, type Failure } from "../kubernetes/ApiFailure.ts"
import type { KubernetesApi } from "../kubernetes/KubernetesApi.ts"
import { kinds, nameOf, type ObjectRef } from "../kubernetes/Kind.ts"
import { isManaged, type LiveObject } from "../kubernetes/LiveObject.ts"
import { fieldManager, labels, type Manifest, projectLabels } from "../manifests/Manifest.ts"
import { retryConflicts } from "../apply/Retry.ts"
import { registeredDomain } from "./HostPolicy.ts"

/** On a claim: `held`, `removing` or `released`. */
export const claimLabel = "mcpdeploy.dev/domain-claim"
/** On a claim: its registered domain, hashed because a label is short. */
const registeredLabel = "mcpdeploy.dev/registered-domain"

const registeredKey = (host: string): string =>
  createHash("sha256")
    .update(registeredDomain(host) ?? host)
    .digest("hex")
    .slice(0, 20)

const dataKey = "claim.json"

const Content = Schema.Struct({
  user: UserId,
  project: ProjectName,
  service: ServiceName,
  /** `removing`: what was made for the host is being deleted; `released`: it is gone. */
  state: Schema.Literals(["held", "removing", "released"]),
  /** Grows with every change of hands: what an earlier holder still writes carries a lesser one. */
  token: Schema.Int,
  /** Whether the DNS has led here during this claim. Until then, who proves to own the DNS may take the host. */
  verified: Schema.optionalKey(Schema.Boolean),
  /** Makes proofs of ownership unguessable, and old ones worthless. */
  nonce: Schema.String
})
type Content = typeof Content.Type

export interface Claim extends Content {
  readonly host: string
  readonly uid: string
  readonly resourceVersion: string
}

const ClaimObject = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, uid: Schema.String, resourceVersion: Schema.String }),
  data: Schema.Struct({ [dataKey]: Schema.fromJsonString(Content) })
})
const decodeClaim = Schema.decodeUnknownEffect(ClaimObject)

const refOf = (namespace: string, host: string): ObjectRef => ({
  kind: kinds.ConfigMap,
  namespace,
  name: host
})

const decode = Effect.fnUntraced(function* (
  live: LiveObject,
  ref: ObjectRef
): Effect.fn.Return<Claim, UnexpectedAnswer> {
  const object = nameOf(ref)
  if (!isManaged(live)) return yield* new UnexpectedAnswer({ object, detail: "it is no claim of a host" })
  const { data, metadata } = yield* decodeClaim(live).pipe(
    Effect.mapError((error) => new UnexpectedAnswer({ object, detail: error.message }))
  )
  return {
    ...data[dataKey],
    host: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion
  }
})

export const targetOf = ({ project, service, user }: Pick<Content, "user" | "project" | "service">) =>
  new ServiceTarget({ owner: new Owner({ user, project }), service })

const isOf = (claim: Claim, target: ServiceTarget): boolean => targetOf(claim).key === target.key

export const find = Effect.fnUntraced(function* (
  api: KubernetesApi,
  namespace: string,
  host: string
): Effect.fn.Return<Claim | undefined, Failure> {
  const ref = refOf(namespace, host)
  const live = yield* api.get(ref).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
  return live === undefined ? undefined : yield* decode(live, ref)
})

const list = Effect.fnUntraced(function* (
  api: KubernetesApi,
  namespace: string,
  labels: Readonly<Record<string, string>>
): Effect.fn.Return<ReadonlyArray<Claim>, Failure> {
  const label = Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",")
  const ref: ObjectRef = { kind: kinds.ConfigMap, namespace, name: "" }
  const { items } = yield* api.list(ref, { label })
  return yield* Effect.forEach(items, (live) => decode(live, ref))
})

/** The hosts that a project holds. */
export const listHeld = (api: KubernetesApi, namespace: string, owner: Owner) =>
  list(api, namespace, { ...projectLabels(owner), [claimLabel]: "held" })

/** How many hosts a customer holds, in all projects. */
export const countHeld = (api: KubernetesApi, namespace: string, user: UserId) =>
  Effect.map(list(api, namespace, { [ownerLabels.user]: user, [claimLabel]: "held" }), ({ length }) => length)

const manifestOf = (namespace: string, host: string, content: Content): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: host,
    namespace,
    labels: {
      ...projectLabels(targetOf(content).owner),
      [claimLabel]: content.state,
      [registeredLabel]: registeredKey(host)
    }
  },
  data: { [dataKey]: JSON.stringify(content) }
})

/** A claim without what the API server added. */
const contentIn = ({ nonce, project, service, state, token, user, verified }: Claim): Content => ({
  ...{ user, project, service, state, token, nonce },
  ...(verified === undefined ? {} : { verified })
})

const contentOf = ({
  project,
  service,
  user
}: {
  user: UserId
  project: ProjectName
  service: ServiceName
}) => ({
  user,
  project,
  service
})

/** Made at the first claim of a region. */
const createNamespace = (api: KubernetesApi, name: string) =>
  api
    .create(
      {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { [labels.managedBy]: fieldManager } }
      },
      { kind: kinds.Namespace, namespace: undefined, name }
    )
    .pipe(Effect.catchTag("AlreadyExists", () => Effect.void))

const create = (api: KubernetesApi, namespace: string, host: string, content: Content) => {
  const ref = refOf(namespace, host)
  const manifest = manifestOf(namespace, host, content)
  return api.create(manifest, ref).pipe(
    Effect.catchTag("NotFound", () =>
      Effect.andThen(createNamespace(api, namespace), api.create(manifest, ref))
    ),
    Effect.flatMap((live) => decode(live, ref))
  )
}

const replace = (api: KubernetesApi, namespace: string, claim: Claim, content: Content) => {
  const ref = refOf(namespace, claim.host)
  const manifest = manifestOf(namespace, claim.host, content)
  const { resourceVersion, uid } = claim
  return api
    .replace({ ...manifest, metadata: { ...manifest.metadata, uid, resourceVersion } }, ref)
    .pipe(Effect.flatMap((live) => decode(live, ref)))
}

/** What a customer's TXT record must say: bound to the customer, the host, and this release of it. */
export const proofOf = (nonce: string, user: string, host: string): string =>
  `mcpdeploy-verify=${createHash("sha256").update(`${nonce}\0${user}\0${host}`).digest("hex").slice(0, 40)}`

export type Acquired =
  | { readonly _tag: "Held"; readonly claim: Claim }
  | { readonly _tag: "Taken" }
  /** `proof` is not in the DNS. */
  | { readonly _tag: "Unproven"; readonly proof: string; readonly because: string }

/** Whether the DNS of the host holds this proof. */
export type IsProven<E> = (proof: string) => Effect.Effect<boolean, E>

/**
 * Another customer's claim in the same registered domain, whose DNS has led here: one record of theirs, such as
 * `*.example.com`, may lead here for `host` too.
 */
const foreignRelative = Effect.fnUntraced(function* (
  api: KubernetesApi,
  namespace: string,
  host: string,
  user: string
) {
  const claims = yield* list(api, namespace, { [registeredLabel]: registeredKey(host) })
  return claims.find((claim) => claim.verified === true && claim.user !== user)
})

/** Makes the host the target's. Of many who come at once, one gets it. Claiming again changes nothing. */
export const acquire = Effect.fnUntraced(
  function* <E extends { readonly _tag: string }>(
    api: KubernetesApi,
    namespace: string,
    host: DomainName,
    target: ServiceTarget,
    isProven: IsProven<E>
  ): Effect.fn.Return<Acquired, Failure | E> {
    const { user } = target.owner
    const current = yield* find(api, namespace, host)
    const isHeld = current !== undefined && current.state !== "released"
    const isTaken = isHeld && !isOf(current, target)
    // Who only names a host first does not keep it from whom it belongs to.
    const isOpen = isTaken && current.state === "held" && current.verified !== true && current.user !== user
    if (isTaken && !isOpen) return { _tag: "Taken" }
    if (isHeld && !isTaken && current.state === "held") return { _tag: "Held", claim: current }
    const earlier =
      current === undefined
        ? yield* foreignRelative(api, namespace, host, user)
        : current.user === user
          ? undefined
          : current
    if (earlier !== undefined) {
      const proof = proofOf(earlier.nonce, user, host)
      const because = isOpen
        ? "another customer has claimed it, though its DNS does not lead here"
        : earlier.host === host
          ? "another customer had it, and its DNS may still be theirs"
          : "another customer has a host of the same domain"
      if (!(yield* isProven(proof))) return { _tag: "Unproven", proof, because }
    }
    const content: Content = {
      ...contentOf({ ...target.owner, service: target.service }),
      state: "held",
      token: (current?.token ?? 0) + 1,
      nonce: randomBytes(16).toString("hex")
    }
    const claim =
      current === undefined
        ? yield* create(api, namespace, host, content)
        : yield* replace(api, namespace, current, content)
    return { _tag: "Held", claim }
  },
  (effect, _api, namespace, host) => retryRaces(effect, nameOf(refOf(namespace, host)))
)

const isRace = Schema.is(Schema.Union([Conflict, AlreadyExists]))

/** {@link retryConflicts} for effects that also fail otherwise. */
const retryRaces = <A, E extends { readonly _tag: string }>(
  effect: Effect.Effect<A, Failure | E>,
  object: string
): Effect.Effect<A, Failure | E> => {
  type Outcome =
    | { readonly _tag: "Done"; readonly value: A }
    | { readonly _tag: "Failed"; readonly error: Failure | E }
  const attempt: Effect.Effect<Outcome, Failure> = effect.pipe(
    Effect.map((value): Outcome => ({ _tag: "Done", value })),
    Effect.catch((error): Effect.Effect<Outcome, Failure> =>
      isRace(error) ? Effect.fail(error) : Effect.succeed({ _tag: "Failed", error })
    )
  )
  return Effect.flatMap(retryConflicts(attempt, object), (outcome): Effect.Effect<A, Failure | E> =>
    outcome._tag === "Done" ? Effect.succeed(outcome.value) : Effect.fail(outcome.error)
  )
}

/** Notes that the DNS has led here. Nothing is written when that is known, or the host has changed hands. */
export const markVerified = Effect.fnUntraced(
  function* (api: KubernetesApi, namespace: string, claim: Claim): Effect.fn.Return<void, Failure> {
    const current = claim.verified === true ? undefined : yield* find(api, namespace, claim.host)
    if (current === undefined || current.uid !== claim.uid || current.token !== claim.token) return
    if (current.verified === true) return
    yield* replace(api, namespace, current, { ...contentIn(current), verified: true })
  },
  (effect, _api, namespace, claim) => retryConflicts(effect, nameOf(refOf(namespace, claim.host)))
)

/** Whether the claim is still the one that `claim` was. */
export const isCurrent = (api: KubernetesApi, namespace: string, claim: Claim) =>
  Effect.map(
    find(api, namespace, claim.host),
    (current) => current?.state === "held" && current.token === claim.token && current.uid === claim.uid
  )

/**
 * Marks the target's claim as being removed, from when on its holder's writes are refused; undefined when the target
 * holds nothing. Repeating it gives the same claim.
 */
export const beginRemoval = Effect.fnUntraced(
  function* (
    api: KubernetesApi,
    namespace: string,
    host: string,
    target: ServiceTarget
  ): Effect.fn.Return<Claim | undefined, Failure> {
    const current = yield* find(api, namespace, host)
    if (current === undefined || current.state === "released" || !isOf(current, target)) return undefined
    if (current.state === "removing") return current
    const content: Content = { ...contentIn(current), state: "removing", token: current.token + 1 }
    return yield* replace(api, namespace, current, content)
  },
  (effect, _api, namespace, host) => retryConflicts(effect, nameOf(refOf(namespace, host)))
)

/** Leaves the tombstone. When the target claimed the host again meanwhile, it keeps it. */
export const release = Effect.fnUntraced(function* (api: KubernetesApi, namespace: string, claim: Claim) {
  const nonce = randomBytes(16).toString("hex")
  yield* replace(api, namespace, claim, { ...contentIn(claim), nonce, state: "released" }).pipe(
    Effect.catchTag(["Conflict", "NotFound"], () => Effect.void)
  )
})
