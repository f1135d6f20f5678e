/**
 * RegionInfrastructure: the ground that a region stands on (nodes, network, load balancer, firewall, DNS, origin pools), described once
 * in its directory, then planned, applied and verified. Each vendor is a {@link RegionPart}; {@link combine} makes one of them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { IpRange } from "./Address.ts"

/** `adopt`: it is as wanted and somebody else's; only its ownership is written. */
export const RegionAction = Schema.Literals(["create", "update", "adopt", "delete"])
export type RegionAction = typeof RegionAction.Type

/** Which part of the ground it is about. `inventory`: files of the region's own directory. */
export const RegionArea = Schema.Literals([
  "node",
  "network",
  "loadBalancer",
  "firewall",
  "origins",
  "dns",
  "inventory"
])
export type RegionArea = typeof RegionArea.Type

/** Something that differs from what the region's directory says, and the change that ends it. */
export const RegionChange = Schema.Struct({
  /** Such as `hetzner`. */
  provider: Schema.String,
  area: RegionArea,
  action: RegionAction,
  /** Unique at its provider, such as `record A cname.ml.ink`. */
  resource: Schema.String,
  /** `- old` and `+ new`, a field each. */
  diff: Schema.Array(Schema.String),
  /** It takes something away, costs money, or changes what other regions share. Made only when {@link nameOf} it is allowed. */
  destructive: Schema.Boolean
})
export type RegionChange = typeof RegionChange.Type

/** Something that is not the region's is where something of it has to be. Nothing is written while there is one. */
export const RegionConflict = Schema.Struct({
  provider: Schema.String,
  resource: Schema.String,
  /** What is there, and what to do. */
  detail: Schema.String
})
export type RegionConflict = typeof RegionConflict.Type

/** A provider cannot plan yet. */
export const RegionWaiting = Schema.Struct({
  provider: Schema.String,
  /** For what, and how it comes to be. */
  detail: Schema.String
})
export type RegionWaiting = typeof RegionWaiting.Type

/** What has to change, what stands in the way, and what waits for something else. */
export const RegionPlan = Schema.Struct({
  /** In the order in which they are made. */
  changes: Schema.Array(RegionChange),
  conflicts: Schema.Array(RegionConflict),
  waiting: Schema.Array(RegionWaiting)
})
export type RegionPlan = typeof RegionPlan.Type

/** What an apply has made and what it has left. */
export const RegionApplied = Schema.Struct({
  made: Schema.Array(RegionChange),
  /** Destructive, and not allowed by name. */
  left: Schema.Array(RegionChange),
  waiting: Schema.Array(RegionWaiting)
})
export type RegionApplied = typeof RegionApplied.Type

/** What a destructive change is allowed by, such as `cloudflare record A cname.ml.ink`. */
export const nameOf = ({ provider, resource }: { readonly provider: string; readonly resource: string }) =>
  `${provider} ${resource}`

/** A vendor's API failed, or the region's directory asks for what the vendor cannot have. */
export class RegionProviderFailed extends Schema.TaggedError<RegionProviderFailed>()("RegionProviderFailed", {
  provider: Schema.String,
  /** The tag of the provider's own error. */
  reason: Schema.String,
  detail: Schema.String,
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** Something that is not the region's is in the way. Nothing was written. */
export class RegionConflicts extends Schema.TaggedError<RegionConflicts>()("RegionConflicts", {
  conflicts: Schema.Array(RegionConflict)
}) {
  readonly retryable = false
  override get message(): string {
    return this.conflicts.map((conflict) => `${nameOf(conflict)}: ${conflict.detail}`).join("\n")
  }
}

/** What is there is not what the region's directory says. */
export class RegionDrift extends Schema.TaggedError<RegionDrift>()("RegionDrift", {
  region: Schema.String,
  differences: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return `region ${this.region} is not as its directory says; see \`mcpdeploy region plan ${this.region}\`:\n${this.differences.map((each) => `  ${each}`).join("\n")}`
  }
}

/** Why a region's infrastructure could not be looked at or changed. */
export type RegionError = RegionProviderFailed | RegionConflicts

/** Makes a provider's own error the contract's. */
export const failedAt =
  (provider: string) =>
  (error: {
    readonly _tag: string
    readonly message: string
    readonly retryable: boolean
  }): RegionProviderFailed =>
    new RegionProviderFailed({
      provider,
      reason: error._tag,
      detail: error.message,
      retryable: error.retryable
    })

/** Public addresses of the region's TCP load balancer. */
export const LoadBalancerAddress = Schema.Struct({
  ipv4: Schema.String,
  ipv6: Schema.optionalKey(Schema.String)
})
export type LoadBalancerAddress = typeof LoadBalancerAddress.Type

/** What one vendor gave the region, and others need: known only once it has been made. */
export interface RegionFacts {
  readonly loadBalancer?: LoadBalancerAddress
  /** From where a run node's ports 80 and 443 must be reached. */
  readonly webSources?: ReadonlyArray<IpRange>
  /** Of those, TCP load balancers that say the client's address by PROXY protocol: only they are believed. */
  readonly proxyProtocolSources?: ReadonlyArray<IpRange>
  /** Of those, HTTP proxies that say the client's address in `X-Forwarded-For`: only they are believed. */
  readonly httpProxySources?: ReadonlyArray<IpRange>
  /** The number that a vendor of dedicated servers gave the network that joins them. */
  readonly layer2Network?: number
}

const joined = <A>(one: ReadonlyArray<A> = [], other: ReadonlyArray<A> = []): ReadonlyArray<A> => [
  ...one,
  ...other
]

const merged = (before: RegionFacts, more: RegionFacts): RegionFacts => ({
  ...before,
  ...more,
  webSources: joined(before.webSources, more.webSources),
  proxyProtocolSources: joined(before.proxyProtocolSources, more.proxyProtocolSources),
  httpProxySources: joined(before.httpProxySources, more.httpProxySources)
})

type Of<A> = Omit<A, "provider">

/** The plan of one vendor's part. */
export interface PartPlan {
  readonly changes: ReadonlyArray<Of<RegionChange>>
  readonly conflicts: ReadonlyArray<Of<RegionConflict>>
  /** For what it waits; then there are no changes. */
  readonly waiting?: string
}

/**
 * What one vendor does for a region. `plan` and `facts` only read. `apply` makes what is not destructive and what `allow` names (by
 * resource, without the provider); killed at any point and run again it converges, without a duplicate.
 */
export interface RegionPart {
  readonly provider: string
  readonly plan: (known: RegionFacts) => Effect.Effect<PartPlan, RegionError>
  readonly apply: (
    known: RegionFacts,
    allow: ReadonlySet<string>
  ) => Effect.Effect<
    { readonly made: ReadonlyArray<Of<RegionChange>>; readonly left: ReadonlyArray<Of<RegionChange>> },
    RegionError
  >
  /** What exists of {@link RegionFacts} now. */
  readonly facts: Effect.Effect<RegionFacts, RegionError>
}

/** A region's ground (network, load balancers, firewalls, DNS), kept as its directory says. */
export class RegionInfrastructure extends Context.Service<
  RegionInfrastructure,
  {
    /** What has to change. Writes nothing. */
    readonly plan: Effect.Effect<RegionPlan, RegionError>
    /** What all vendors have given so far. */
    readonly facts: Effect.Effect<RegionFacts, RegionError>
    /** Makes it so, but for destructive changes that `allow` does not name (as {@link nameOf} does). */
    readonly apply: (allow: ReadonlySet<string>) => Effect.Effect<RegionApplied, RegionError>
    /** Succeeds where nothing has to change. Writes nothing. */
    readonly verify: Effect.Effect<void, RegionError | RegionDrift>
  }
>()("mcpdeploy/core/RegionInfrastructure") {}

/**
 * One infrastructure of several vendors', in the order in which they are applied: each knows what all have given so far. With a
 * conflict at any of them nothing is written at all.
 */
export const combine = (
  region: string,
  parts: ReadonlyArray<RegionPart>,
  given: RegionFacts = {}
): RegionInfrastructure["Service"] => {
  const named =
    (provider: string) =>
    <A>(each: A): A & { readonly provider: string } => ({ ...each, provider })
  const waitingOf = (provider: string, waiting: string | undefined): ReadonlyArray<RegionWaiting> =>
    waiting === undefined ? [] : [{ provider, detail: waiting }]
  const known = Effect.map(
    Effect.forEach(parts, ({ facts }) => facts),
    (facts) => facts.reduce(merged, given)
  )

  const plan = Effect.gen(function* () {
    const facts = yield* known
    const plans = yield* Effect.forEach(parts, (part) =>
      Effect.map(part.plan(facts), ({ changes, conflicts, waiting }) => ({
        changes: changes.map(named(part.provider)),
        conflicts: conflicts.map(named(part.provider)),
        waiting: waitingOf(part.provider, waiting)
      }))
    )
    return {
      changes: plans.flatMap(({ changes }) => changes),
      conflicts: plans.flatMap(({ conflicts }) => conflicts),
      waiting: plans.flatMap(({ waiting }) => waiting)
    }
  }).pipe(Effect.withSpan("RegionInfrastructure.plan", { attributes: { region } }))

  const apply = Effect.fn("RegionInfrastructure.apply")(function* (allow: ReadonlySet<string>) {
    const { conflicts } = yield* plan
    if (conflicts.length > 0) return yield* new RegionConflicts({ conflicts })
    const made: Array<RegionChange> = []
    const left: Array<RegionChange> = []
    const waiting: Array<RegionWaiting> = []
    for (const part of parts) {
      const { provider } = part
      // What an earlier part has just made is known to the next one.
      const facts = yield* known
      const waits = waitingOf(provider, (yield* part.plan(facts)).waiting)
      waiting.push(...waits)
      if (waits.length > 0) continue
      const own = [...allow].flatMap((name) =>
        name.startsWith(`${provider} `) ? [name.slice(provider.length + 1)] : []
      )
      const applied = yield* part.apply(facts, new Set(own))
      made.push(...applied.made.map(named(provider)))
      left.push(...applied.left.map(named(provider)))
    }
    return { made, left, waiting }
  })

  const verify = Effect.gen(function* () {
    const { changes, conflicts, waiting } = yield* plan
    const differences = [
      ...changes.map((change) => `${change.action} ${nameOf(change)}`),
      ...conflicts.map((conflict) => `${nameOf(conflict)}: ${conflict.detail}`),
      ...waiting.map(({ detail, provider }) => `${provider} waits: ${detail}`)
    ]
    if (differences.length > 0) return yield* new RegionDrift({ region, differences })
  }).pipe(Effect.withSpan("RegionInfrastructure.verify", { attributes: { region } }))

  return RegionInfrastructure.of({ plan, facts: known, apply, verify })
}
