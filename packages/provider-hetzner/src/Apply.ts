/** Apply: makes a region's plan true, one call after the other, each planned from what is there. Killed at any call and run again, it goes on. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ActualState, readActualState } from "./ActualState.ts"
import { HetznerApi } from "./api/HetznerApi.ts"
import type { HetznerReason } from "./api/HetznerReason.ts"
import type { HetznerChange, HetznerPlan, Operation } from "./Change.ts"
import type { DesiredState } from "./DesiredState.ts"
import type { Offer } from "./Offer.ts"
import { planChanges } from "./Plan.ts"

/** Something that is not the region's is in the way, or differs in what only a person can change. */
export class HetznerConflicts extends Schema.TaggedError<HetznerConflicts>()("HetznerConflicts", {
  conflicts: Schema.Array(Schema.Struct({ resource: Schema.String, detail: Schema.String }))
}) {
  readonly retryable = false
  override get message(): string {
    return this.conflicts.map(({ detail, resource }) => `${resource}: ${detail}`).join("\n")
  }
}

/** What was written is not what is there afterwards: another writer, or Hetzner is late. */
export class HetznerNotConverged extends Schema.TaggedError<HetznerNotConverged>()("HetznerNotConverged", {
  resources: Schema.Array(Schema.String)
}) {
  readonly retryable = true
  override get message(): string {
    return `Hetzner does not show what was written (${this.resources.join(", ")}): something else changes it too, or it is late; run it again`
  }
}

export type HetznerError = HetznerReason | HetznerConflicts | HetznerNotConverged

export interface ApplyOptions {
  /** The resources whose destructive changes are made. */
  readonly allow: ReadonlySet<string>
  /** How long a write may stay unseen in lists. */
  readonly settle: { readonly tries: number; readonly seconds: number }
}

export interface Applied {
  readonly made: ReadonlyArray<HetznerChange>
  /** Destructive and not named, or in need of one that is. */
  readonly left: ReadonlyArray<HetznerChange>
}

/** Times that one and the same change is tried where it is not known what became of it. */
const maxTries = 4

const perform = ({ act, create, delete: remove, label }: HetznerApi["Service"], operation: Operation) => {
  switch (operation.kind) {
    case "create":
      return create(operation.of, operation.fields)
    case "act":
      return act(operation.of, operation.id, operation.action, operation.fields)
    case "label":
      return label(operation.of, operation.id, operation.labels)
    case "delete":
      return remove(operation.of, operation.id)
  }
}

/** It may have been done, or is there: whether it was, what is there says. */
const isUnsure = (reason: HetznerReason): boolean =>
  reason._tag === "HetznerDuplicate" ||
  reason._tag === "HetznerMalformed" ||
  (reason._tag === "HetznerUnavailable" && reason.maybeDone)

const idOf = (change: HetznerChange): string => [change.action, change.resource, ...change.diff].join("\n")

/** Reads and plans. No write. */
export const plan = Effect.fn("Hetzner.plan")(function* (
  desired: DesiredState
): Effect.fn.Return<HetznerPlan, HetznerReason, HetznerApi> {
  return planChanges(desired, yield* readActualState(desired))
})

export const apply = Effect.fn("Hetzner.apply")(function* (
  desired: DesiredState,
  { allow, settle }: ApplyOptions
): Effect.fn.Return<Applied, HetznerError, HetznerApi> {
  const api = yield* HetznerApi
  const made = new Map<string, HetznerChange>()
  const tried = new Map<string, number>()
  let offer: Offer | undefined
  const read = Effect.tap(
    Effect.suspend(() => readActualState(desired, offer)),
    (actual) => Effect.sync(() => void (offer = actual.offer))
  )
  const dueOf = (
    actual: ActualState
  ): { readonly plan: HetznerPlan; readonly due: HetznerChange | undefined } => {
    const found = planChanges(desired, actual)
    const isDue = (change: HetznerChange) =>
      change.operation !== undefined && (!change.destructive || allow.has(change.resource))
    return { plan: found, due: found.changes.find(isDue) }
  }
  for (;;) {
    let { due, plan: found } = dueOf(yield* read)
    // What was made just now and is still due is shown late, for a while.
    for (let tries = 0; due !== undefined && made.has(idOf(due)) && tries < settle.tries; tries++) {
      yield* Effect.sleep(`${settle.seconds} seconds`)
      offer = undefined
      ;({ due, plan: found } = dueOf(yield* read))
    }
    if (found.conflicts.length > 0) return yield* new HetznerConflicts({ conflicts: found.conflicts })
    if (due?.operation === undefined) return { made: [...made.values()], left: found.changes }
    const id = idOf(due)
    const times = (tried.get(id) ?? 0) + 1
    if (times > maxTries) return yield* new HetznerNotConverged({ resources: [due.resource] })
    tried.set(id, times)
    yield* Effect.logInfo(`${due.action} ${due.resource}`)
    const change = due
    yield* perform(api, due.operation).pipe(
      Effect.catchIf(
        (reason) => isUnsure(reason) && times < maxTries,
        (reason) => Effect.logDebug(`looking whether it was done: ${reason.message}`)
      )
    )
    made.set(id, change)
    // The project's keys are a part of it.
    if (change.operation?.kind === "create" && change.operation.of === "ssh_keys") offer = undefined
  }
})
