/** Collection: objects of one kind in a vendor's API double: what was written is in lists only after some of them (eventual consistency). */
import type * as Schema from "effect/Schema"

/** An object's fields, as JSON. */
export type Fields = { readonly [key: string]: Schema.Json }
/** An object that the double keeps. */
export type Stored<Id extends string | number> = Fields & { readonly id: Id }

interface Entry<Id extends string | number> {
  readonly now: Stored<Id> | undefined
  /** What lists show while `staleLists` are left. */
  readonly before: Stored<Id> | undefined
  staleLists: number
}

/** Objects of one kind, whose lists may lag behind, as a vendor's do. */
export interface Collection<Id extends string | number> {
  /** The truth. */
  readonly all: () => ReadonlyArray<Stored<Id>>
  readonly get: (id: Id) => Stored<Id> | undefined
  /** What a list shows now. */
  readonly listed: () => ReadonlyArray<Stored<Id>>
  readonly put: (fields: Fields, id?: Id) => Stored<Id>
  readonly remove: (id: Id) => void
}

/** `lag`: how many lists do not show a write yet. `newId` makes the id of a new object. */
export const makeCollection = <Id extends string | number>(
  lag: () => number,
  newId: () => Id
): Collection<Id> => {
  const entries = new Map<Id, Entry<Id>>()
  const write = (id: Id, now: Stored<Id> | undefined) => {
    const entry = entries.get(id)
    const before = entry === undefined ? undefined : entry.staleLists > 0 ? entry.before : entry.now
    entries.set(id, { now, before, staleLists: lag() })
  }
  return {
    all: () => [...entries.values()].flatMap(({ now }) => (now === undefined ? [] : [now])),
    get: (id) => entries.get(id)?.now,
    listed: () =>
      [...entries.values()].flatMap((entry) => {
        const shown = entry.staleLists > 0 ? entry.before : entry.now
        if (entry.staleLists > 0) entry.staleLists--
        return shown === undefined ? [] : [shown]
      }),
    put: (fields, id = newId()) => {
      const stored: Stored<Id> = { ...entries.get(id)?.now, ...fields, id }
      write(id, stored)
      return stored
    },
    remove: (id) => write(id, undefined)
  }
}
