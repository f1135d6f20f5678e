/** Objects of one kind in the double: what was written is in lists only after some of them (eventual consistency). */
import { randomBytes } from "node:crypto"
import type * as Schema from "effect/Schema"

export type Fields = { readonly [key: string]: Schema.Json }
export type Stored = Fields & { readonly id: string }

interface Entry {
  readonly now: Stored | undefined
  /** What lists show while `staleLists` are left. */
  readonly before: Stored | undefined
  staleLists: number
}

export interface Collection {
  /** The truth. */
  readonly all: () => ReadonlyArray<Stored>
  readonly get: (id: string) => Stored | undefined
  /** What a list shows now. */
  readonly listed: () => ReadonlyArray<Stored>
  readonly put: (fields: Fields, id?: string) => Stored
  readonly remove: (id: string) => void
}

/** `lag`: how many lists do not show a write yet. */
export const makeCollection = (lag: () => number): Collection => {
  const entries = new Map<string, Entry>()
  const write = (id: string, now: Stored | undefined) => {
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
    put: (fields, id = randomBytes(16).toString("hex")) => {
      const stored: Stored = { ...entries.get(id)?.now, ...fields, id }
      write(id, stored)
      return stored
    },
    remove: (id) => write(id, undefined)
  }
}
