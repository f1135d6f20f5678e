/** Apply: makes a region's plan true. Killed at any call and run again, it goes on where it was. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ActualState, readActualState } from "./ActualState.ts"
import { CloudflareApi } from "./api/CloudflareApi.ts"
import type { CloudflareReason } from "./api/CloudflareReason.ts"
import type { LoadBalancer } from "./api/Resources.ts"
import type { CloudflareChange, CloudflarePlan, Operation } from "./Change.ts"
import { createOnce, lookFor, type Settle } from "./CreateOnce.ts"
import type { DesiredPool, DesiredState } from "./DesiredState.ts"
import { planChanges } from "./Plan.ts"
import { monitorsOf } from "./PlanLoadBalancing.ts"

/** Something that is not ours is in the way. Nothing was written. */
export class CloudflareConflicts extends Schema.TaggedError<CloudflareConflicts>()("CloudflareConflicts", {
  conflicts: Schema.Array(Schema.Struct({ resource: Schema.String, detail: Schema.String }))
}) {
  readonly retryable = false
  override get message(): string {
    return this.conflicts.map(({ detail, resource }) => `${resource}: ${detail}`).join("\n")
  }
}

/** What is at Cloudflare is not what the region wants. Nothing was written. */
export class CloudflareDrift extends Schema.TaggedError<CloudflareDrift>()("CloudflareDrift", {
  region: Schema.String,
  differences: Schema.Array(Schema.String)
}) {
  readonly retryable = false
  override get message(): string {
    return `Cloudflare is not as region ${this.region} wants it: ${this.differences.join("; ")}; see the plan, and apply it`
  }
}

/** What was written is not what is there afterwards: another writer, or Cloudflare is late. */
export class CloudflareNotConverged extends Schema.TaggedError<CloudflareNotConverged>()(
  "CloudflareNotConverged",
  { resources: Schema.Array(Schema.String) }
) {
  readonly retryable = true
  override get message(): string {
    return `Cloudflare does not show what was written (${this.resources.join(", ")}): something else changes it too, or it is late; run it again`
  }
}

export type CloudflareError = CloudflareReason | CloudflareConflicts | CloudflareNotConverged

export interface ApplyOptions {
  /** The resources whose destructive changes are made. */
  readonly allow: ReadonlySet<string>
  readonly settle: Settle
}

export interface Applied {
  readonly made: ReadonlyArray<CloudflareChange>
  /** Destructive, and not named. */
  readonly left: ReadonlyArray<CloudflareChange>
}

const maxRounds = 3

/** The origins as wanted. Those that are there keep what a person sets for maintenance: weight, `enabled`, a header. */
const mergeOrigins = (actual: ActualState, pool: DesiredPool) => {
  const before = actual.pools.find(({ name }) => name === pool.name)?.origins ?? []
  return pool.origins.map((origin) => ({ ...before.find(({ name }) => name === origin.name), ...origin }))
}

const makeSteps = Effect.fnUntraced(function* (actual: ActualState, settle: Settle) {
  const api = yield* CloudflareApi
  const zone = actual.zone.id
  const account = actual.zone.account.id
  /** Made by this run, by description and by name. */
  const monitorIds = new Map<string, string>()
  const poolIds = new Map(actual.pools.map(({ id, name }) => [name, id]))
  const poolFields = ({ monitor, ...pool }: DesiredPool) => ({
    ...pool,
    origins: mergeOrigins(actual, { ...pool, monitor }),
    monitor: monitorIds.get(monitor) ?? monitorsOf(actual, monitor).first?.id ?? ""
  })
  const findIn =
    <A>(list: Effect.Effect<ReadonlyArray<A>, CloudflareReason>) =>
    (test: (one: A) => boolean) =>
      Effect.map(list, (all) => all.find(test))

  /** Adds the pool where it is missing, to what is there at this moment: other regions write the same list. */
  const joined = (balancer: LoadBalancer, pool: string) =>
    balancer.default_pools.includes(pool) ? {} : { default_pools: [...balancer.default_pools, pool] }

  return Effect.fn("Cloudflare.change")(function* (
    operation: Operation
  ): Effect.fn.Return<void, CloudflareReason> {
    switch (operation.kind) {
      case "createMonitor": {
        const { fields } = operation
        const find = findIn(api.monitors.list(account))(
          ({ description }) => description === fields.description
        )
        // Cloudflare refuses a second record, pool or load balancer of a name, but not a second monitor: it has none. One
        // that an earlier run made in its last moment may be shown late.
        const late = yield* lookFor(find, settle)
        const monitor = late ?? (yield* createOnce(api.monitors.create(account, fields), find, settle))
        return void monitorIds.set(fields.description, monitor.id)
      }
      case "updateMonitor":
        return yield* Effect.asVoid(api.monitors.update(account, operation.id, operation.fields))
      case "deleteMonitor":
        return yield* api.monitors.delete(account, operation.id)
      case "createPool": {
        const { name } = operation.pool
        const pool = yield* createOnce(
          api.pools.create(account, { ...poolFields(operation.pool), enabled: true }),
          findIn(api.pools.list(account))((pool) => pool.name === name),
          settle
        )
        return void poolIds.set(name, pool.id)
      }
      case "updatePool":
        return yield* Effect.asVoid(api.pools.update(account, operation.id, poolFields(operation.pool)))
      case "deletePool":
        return yield* api.pools.delete(account, operation.id)
      case "createLoadBalancer": {
        const { pool, ...fields } = operation.balancer
        const id = poolIds.get(pool) ?? ""
        const created = yield* createOnce(
          api.loadBalancers.create(zone, {
            ...fields,
            enabled: true,
            default_pools: [id],
            fallback_pool: id
          }),
          findIn(api.loadBalancers.list(zone))(({ name }) => name === fields.name),
          settle
        )
        // Another region may have made it at the same time.
        const missing = joined(created, id)
        if ("default_pools" in missing) yield* api.loadBalancers.update(zone, created.id, missing)
        return
      }
      case "updateLoadBalancer": {
        const { name: _, pool, ...fields } = operation.balancer
        const id = poolIds.get(pool) ?? ""
        const now = yield* api.loadBalancers.get(zone, operation.id)
        const shared = operation.settings ? { ...fields, enabled: true } : {}
        const fieldsToWrite = { ...joined(now, id), ...shared }
        if (Object.keys(fieldsToWrite).length === 0) return
        return yield* Effect.asVoid(api.loadBalancers.update(zone, now.id, fieldsToWrite))
      }
      case "leaveLoadBalancer": {
        const now = yield* api.loadBalancers.get(zone, operation.id)
        const own = new Set(
          [...poolIds].flatMap(([name, id]) => (name.startsWith(operation.poolPrefix) ? [id] : []))
        )
        const rest = now.default_pools.filter((id) => !own.has(id))
        const [next] = rest
        if (next === undefined) return yield* api.loadBalancers.delete(zone, now.id)
        const fallback = own.has(now.fallback_pool ?? "") ? { fallback_pool: next } : {}
        return yield* Effect.asVoid(
          api.loadBalancers.update(zone, now.id, { default_pools: rest, ...fallback })
        )
      }
      case "createRecord": {
        const { content, name, type } = operation.fields
        const same = (record: { name: string; type: string; content?: string | null }) =>
          record.name === name && record.type === type && record.content === content
        return yield* Effect.asVoid(
          createOnce(api.records.create(zone, operation.fields), findIn(api.records.list(zone))(same), settle)
        )
      }
      case "updateRecord":
        return yield* Effect.asVoid(api.records.update(zone, operation.id, operation.fields))
      case "deleteRecord":
        return yield* api.records.delete(zone, operation.id)
    }
  })
})

/** Reads and plans. No write. */
export const plan = Effect.fn("Cloudflare.plan")(function* (
  desired: DesiredState
): Effect.fn.Return<CloudflarePlan, CloudflareReason, CloudflareApi> {
  return planChanges(desired, yield* readActualState(desired.zone))
})

/** Succeeds where there is nothing to change. No write. */
export const verify = Effect.fn("Cloudflare.verify")(function* (
  desired: DesiredState
): Effect.fn.Return<void, CloudflareReason | CloudflareDrift, CloudflareApi> {
  const { changes, conflicts } = yield* plan(desired)
  const differences = [
    ...changes.map(({ action, resource }) => `${action} ${resource}`),
    ...conflicts.map(({ detail, resource }) => `${resource}: ${detail}`)
  ]
  if (differences.length > 0) return yield* new CloudflareDrift({ region: desired.region, differences })
})

export const apply = Effect.fn("Cloudflare.apply")(function* (
  desired: DesiredState,
  options: ApplyOptions
): Effect.fn.Return<Applied, CloudflareError, CloudflareApi> {
  const isAllowed = (change: CloudflareChange) => !change.destructive || options.allow.has(change.resource)
  const made: Array<CloudflareChange> = []
  let actual = yield* readActualState(desired.zone)
  for (let round = 0; ; round++) {
    const { changes, conflicts } = planChanges(desired, actual)
    if (conflicts.length > 0) return yield* new CloudflareConflicts({ conflicts })
    const due = changes.filter(isAllowed)
    if (due.length === 0) return { made, left: changes }
    if (round === maxRounds)
      return yield* new CloudflareNotConverged({ resources: due.map(({ resource }) => resource) })
    const make = yield* makeSteps(actual, options.settle)
    for (const change of due) {
      yield* Effect.logInfo(`${change.action} ${change.resource}`)
      yield* make(change.operation)
      made.push(change)
    }
    // Cloudflare may show a write late. Only when it still does not after a while is it written again.
    for (let tries = 0; ; tries++) {
      actual = yield* readActualState(desired.zone)
      const rest = planChanges(desired, actual).changes.filter(isAllowed)
      if (rest.length === 0 || tries === options.settle.tries) break
      yield* Effect.sleep(`${options.settle.seconds} seconds`)
    }
  }
})
