/** The double's routes: what each request is answered with. */
import type { ApiAnswer } from "@mcpdeploy/core/testing/ApiDouble"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Collection, Fields, Stored } from "@mcpdeploy/core/testing/Collection"
import * as Requests from "./Requests.ts"
import * as Rules from "./Rules.ts"

export type Answer = ApiAnswer

export const ok = (result: Schema.Json, info?: Schema.Json): Answer => ({
  status: 200,
  body: {
    success: true,
    errors: [],
    messages: [],
    result,
    ...(info === undefined ? {} : { result_info: info })
  }
})
export const refused = (
  { code, message, status }: Rules.Refusal,
  headers: Record<string, string> = {}
): Answer => ({
  status,
  headers,
  body: { success: false, errors: [{ code, message }], messages: [], result: null }
})

export interface Kind {
  readonly collection: Collection<string>
  readonly create: Schema.Codec<unknown, unknown>
  readonly edit: Schema.Codec<unknown, unknown>
  readonly rules: (world: Rules.World, fields: Fields, id?: string) => Rules.Refusal | undefined
  readonly defaults: (fields: Fields) => Fields
  readonly inUse?: (world: Rules.World, stored: Stored<string>) => Rules.Refusal | undefined
  readonly pageParameters: ReadonlyArray<string>
}

const isFields = Schema.is(Schema.Record(Schema.String, Schema.Json))
const fieldsOf = (value: unknown): Fields | undefined => (isFields(value) ? value : undefined)

/** Answers a request as documented. `violation` is told what a correct client would not send. */
export const answerOf = (
  world: Rules.World,
  kinds: Readonly<Record<string, Kind>>,
  pageSize: number,
  request: { readonly method: string; readonly url: URL; readonly body: Schema.Json | undefined },
  violation: (what: string) => void
): Answer => {
  const { body, method, url } = request
  const invalid = (code: number, message: string) => {
    violation(`${method} ${url.pathname}: ${message}`)
    return refused({ status: 400, code, message })
  }
  const parameters = (known: ReadonlyArray<string>) =>
    [...url.searchParams.keys()].find((name) => !known.includes(name))
  const page = (all: ReadonlyArray<Schema.Json>): Answer => {
    const asked = (name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise)
    const size = Math.min(asked("per_page", pageSize), pageSize)
    const number = asked("page", 1)
    if (!(size >= 1) || !(number >= 1)) return invalid(1004, "page and per_page must be positive numbers")
    const some = all.slice((number - 1) * size, number * size)
    const info = {
      page: number,
      per_page: size,
      count: some.length,
      total_count: all.length,
      total_pages: Math.ceil(all.length / size)
    }
    return ok(some, info)
  }
  const path = url.pathname.replace(/^\/client\/v4/, "")
  if (path === "/zones" && method === "GET") {
    const unknown = parameters([
      "name",
      "page",
      "per_page",
      "status",
      "account.id",
      "order",
      "direction",
      "match"
    ])
    if (unknown !== undefined) return invalid(1004, `unknown parameter ${unknown}`)
    const { accountId, id, name } = world.zone
    const asked = url.searchParams.get("name") ?? name
    const zone = { id, name, status: "active", account: { id: accountId, name: "acme" }, type: "full" }
    return page(asked === name ? [zone] : [])
  }
  const match =
    /^\/(zones|accounts)\/([^/]+)\/(dns_records|load_balancers(?:\/monitors|\/pools)?)(?:\/([^/]+))?$/.exec(
      path
    )
  const kind = match === null ? undefined : kinds[`${match[1]}/${match[3]}`]
  if (match === null || kind === undefined)
    return refused({ status: 404, code: 7000, message: "No route for that URI" })
  const scope = match[1] === "zones" ? world.zone.id : world.zone.accountId
  if (match[2] !== scope)
    return refused({
      status: 404,
      code: 7003,
      message: "Could not route to it, perhaps your object identifier is invalid?"
    })
  const id = match[4]
  const { collection } = kind
  if (id === undefined && method === "GET") {
    const unknown = parameters(kind.pageParameters)
    return unknown === undefined ? page(collection.listed()) : invalid(1004, `unknown parameter ${unknown}`)
  }
  if (url.search !== "") return invalid(1004, `unknown parameters ${url.search}`)
  const stored = id === undefined ? undefined : collection.get(id)
  if (id !== undefined && stored === undefined)
    return refused({
      status: 404,
      code: match[3] === "dns_records" ? 81044 : 1001,
      message: "it does not exist"
    })
  if (method === "GET" && stored !== undefined) return ok(stored)
  if (method === "DELETE" && stored !== undefined) {
    if (body !== undefined) return invalid(1004, "DELETE has no body")
    const refusal = kind.inUse?.(world, stored)
    if (refusal !== undefined) return refused(refusal)
    collection.remove(stored.id)
    return ok({ id: stored.id })
  }
  const editing = method === "PATCH" && stored !== undefined
  if (!editing && !(method === "POST" && id === undefined))
    return refused({ status: 405, code: 10405, message: "Method not allowed" })
  const checked = Schema.decodeExit(editing ? kind.edit : kind.create, { onExcessProperty: "error" })(body)
  if (Exit.isFailure(checked)) return invalid(1002, `validation failed: ${String(checked.cause)}`)
  const fields = fieldsOf(body)
  if (fields === undefined) return invalid(1002, "validation failed: no object")
  const all = { ...stored, ...fields }
  const refusal = kind.rules(world, all, stored?.id)
  if (refusal !== undefined) return refused(refusal)
  const time = new Date().toISOString()
  return ok(collection.put(kind.defaults({ created_on: time, ...all, modified_on: time }), stored?.id))
}

/** The kinds of objects, by the path below a zone or an account. */
export const kindsOf = (world: Rules.World): Readonly<Record<string, Kind>> => {
  const paging = ["page", "per_page"]
  return {
    "zones/dns_records": {
      collection: world.records,
      create: Requests.record,
      edit: Requests.record,
      rules: Rules.recordRules,
      defaults: Rules.recordDefaults,
      pageParameters: [...paging, "order", "direction", "match", "type", "proxied"]
    },
    "zones/load_balancers": {
      collection: world.loadBalancers,
      create: Requests.loadBalancer,
      edit: Requests.loadBalancerEdit,
      rules: Rules.loadBalancerRules,
      defaults: Rules.loadBalancerDefaults,
      pageParameters: paging
    },
    "accounts/load_balancers/pools": {
      collection: world.pools,
      create: Requests.pool,
      edit: Requests.poolEdit,
      rules: Rules.poolRules,
      defaults: Rules.poolDefaults,
      inUse: Rules.poolInUse,
      pageParameters: [...paging, "monitor"]
    },
    "accounts/load_balancers/monitors": {
      collection: world.monitors,
      create: Requests.monitor,
      edit: Requests.monitorEdit,
      rules: Rules.monitorRules,
      defaults: Rules.monitorDefaults,
      inUse: Rules.monitorInUse,
      pageParameters: paging
    }
  }
}

/** A page without its last entry, its `result_info` as before. */
export const shortened = (body: Schema.Json): Schema.Json => {
  const fields = fieldsOf(body)
  const result = fields?.["result"]
  return fields !== undefined && Array.isArray(result) ? { ...fields, result: result.slice(0, -1) } : body
}
