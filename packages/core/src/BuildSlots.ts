/**
 * BuildSlots: how many builds run at once on a build pool, shared fairly.
 *
 * A slot that becomes free goes to the waiting tenant that holds the fewest; among equals to the one that was served
 * longest ago. Within a tenant the order of arrival holds. So a hundred queued builds of one tenant hold up another's
 * first by no more than the builds that run already, and no slot is idle while anyone waits.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** How many builds may run in this process, do run, and wait. */
export interface BuildSlotsUsage {
  readonly capacity: number
  readonly used: number
  readonly waiting: number
}

interface Tenant {
  held: number
  /** When it was last given a slot, counted in slots given. */
  servedAt: number
  readonly waiting: Array<Deferred.Deferred<void>>
}

/** How many builds run at once in this process, shared fairly between tenants. */
export class BuildSlots extends Context.Service<
  BuildSlots,
  {
    /** Holds a slot until the scope closes; waits for one where none is free. */
    readonly take: (tenant: string) => Effect.Effect<void, never, Scope.Scope>
    /** Holds a slot until the scope closes, if one is free now. The answer says whether. */
    readonly takeIfFree: (tenant: string) => Effect.Effect<boolean, never, Scope.Scope>
    readonly usage: Effect.Effect<BuildSlotsUsage>
  }
>()("mcpdeploy/core/BuildSlots") {
  /** `capacity`: builds at once of this process. Processes that share a build pool share it out between them. */
  static readonly layer = (capacity: number): Layer.Layer<BuildSlots> =>
    Layer.sync(BuildSlots, () => make(capacity))
}

const make = (capacity: number): BuildSlots["Service"] => {
  const tenants = new Map<string, Tenant>()
  let used = 0
  let given = 0

  const tenantOf = (name: string): Tenant => {
    const known = tenants.get(name)
    if (known !== undefined) return known
    const tenant: Tenant = { held: 0, servedAt: 0, waiting: [] }
    tenants.set(name, tenant)
    return tenant
  }
  const give = (tenant: Tenant) => {
    used++
    tenant.held++
    tenant.servedAt = ++given
  }
  /** Whose turn it is; a tenant's place in the map breaks the tie of two that were never served. */
  const next = (): Tenant | undefined => {
    let best: Tenant | undefined
    for (const tenant of tenants.values()) {
      if (tenant.waiting.length === 0) continue
      const isBefore =
        best === undefined ||
        tenant.held < best.held ||
        (tenant.held === best.held && tenant.servedAt < best.servedAt)
      if (isBefore) best = tenant
    }
    return best
  }
  const forgetIdle = (name: string, tenant: Tenant) => {
    if (tenant.held === 0 && tenant.waiting.length === 0) tenants.delete(name)
  }
  const release = (name: string, tenant: Tenant) =>
    Effect.sync(() => {
      used--
      tenant.held--
      const winner = next()
      const turn = winner?.waiting.shift()
      if (winner !== undefined && turn !== undefined) {
        give(winner)
        Deferred.doneUnsafe(turn, Effect.void)
      }
      forgetIdle(name, tenant)
    })

  /** Ends a claim, whatever became of it: a turn that came while its waiter was interrupted is passed on. */
  const abandon = (name: string, tenant: Tenant, turn: Deferred.Deferred<void>) =>
    Effect.suspend(() => {
      const place = tenant.waiting.indexOf(turn)
      if (place < 0) return release(name, tenant)
      tenant.waiting.splice(place, 1)
      forgetIdle(name, tenant)
      return Effect.void
    })

  return BuildSlots.of({
    take: Effect.fn("BuildSlots.take")(function* (name) {
      const claim = Effect.map(Deferred.make<void>(), (turn) => {
        const tenant = tenantOf(name)
        if (used < capacity) {
          give(tenant)
          Deferred.doneUnsafe(turn, Effect.void)
        } else tenant.waiting.push(turn)
        return { tenant, turn }
      })
      const { turn } = yield* Effect.acquireRelease(claim, ({ tenant, turn }) => abandon(name, tenant, turn))
      yield* Deferred.await(turn)
    }),
    takeIfFree: Effect.fn("BuildSlots.takeIfFree")(function* (name) {
      const claim = Effect.sync(() => {
        if (used >= capacity) return undefined
        const tenant = tenantOf(name)
        give(tenant)
        return tenant
      })
      const tenant = yield* Effect.acquireRelease(claim, (tenant) =>
        tenant === undefined ? Effect.void : release(name, tenant)
      )
      return tenant !== undefined
    }),
    usage: Effect.sync(() => {
      let waiting = 0
      for (const tenant of tenants.values()) waiting += tenant.waiting.length
      return { capacity, used, waiting }
    })
  })
}
