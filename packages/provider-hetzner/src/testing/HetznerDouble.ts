/**
 * HetznerDouble: an HTTP server on loopback that plays Hetzner's Cloud API v1 for tests, strictly. What Hetzner documents as refused is
 * refused here, and what it does not document too. It is no Hetzner: it forwards no traffic, and sells no server.
 */
import { type ApiAnswer, type ApiDouble, type ApiRequest, serveApi } from "@mcpdeploy/core/testing/ApiDouble"
import { makeCollection } from "@mcpdeploy/core/testing/Collection"
import * as Effect from "effect/Effect"
import { type Catalog, makeCatalog } from "./Catalog.ts"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { requests } from "./Requests.ts"
import { created, perform, type Refusal, type World } from "./Rules.ts"

/** What the double knows, and how it answers lists. */
export interface DoubleOptions {
  readonly token: string
  /** The largest page that is given; 50 when absent. */
  readonly pageSize?: number
  /** How many lists do not show a write yet; 0 when absent. */
  readonly lag?: number
  /** How long an action runs, and holds what it is about; 0 when absent. */
  readonly actionMs?: number
  /** Public addresses of the account's dedicated servers. */
  readonly dedicated?: ReadonlyArray<string>
  /** The public addresses of a load balancer that is made; of ranges for documentation when absent. */
  readonly balancerAddress?: { readonly ipv4: string; readonly ipv6: string }
  /** The public address of a server that is made. */
  readonly addressOf?: (name: string) => string
}

/** A server on loopback that stands for Hetzner Cloud's API. */
export interface HetznerDouble extends ApiDouble, World {
  /** Why the next action that is begun fails. */
  failAction: { readonly code: string; readonly message: string } | undefined
}

/** How an action goes that is begun now. */
const outcome = (double: HetznerDouble) => {
  const failed = double.failAction
  double.failAction = undefined
  return failed
}

const kinds = ["servers", "networks", "firewalls", "placement_groups", "load_balancers", "ssh_keys"] as const
type Kind = (typeof kinds)[number]
const isKind = (text: string | undefined): text is Kind => kinds.some((kind) => kind === text)
/** Lists that a customer only reads. */
const catalogKinds = ["server_types", "load_balancer_types", "images"] as const
const isCatalogKind = (text: string | undefined): text is keyof Catalog =>
  catalogKinds.some((kind) => kind === text)
const singular = (kind: Kind) => kind.slice(0, -1)

const refused = ({ code, message, status }: Refusal): ApiAnswer => ({
  status,
  body: { error: { code, message, details: null } }
})

const isFields = Schema.is(Schema.JsonObject)

/** A double for as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: DoubleOptions
): Effect.fn.Return<HetznerDouble, never, Scope.Scope> {
  let lastId = 1000
  const newId = () => ++lastId
  const lag = () => options.lag ?? 0
  const world: World = {
    servers: makeCollection(lag, newId),
    networks: makeCollection(lag, newId),
    firewalls: makeCollection(lag, newId),
    placement_groups: makeCollection(lag, newId),
    load_balancers: makeCollection(lag, newId),
    ssh_keys: makeCollection(lag, newId),
    catalog: makeCatalog(),
    dedicated: options.dedicated ?? [],
    balancerAddress: options.balancerAddress,
    addressOf: options.addressOf ?? (() => "203.0.113.250")
  }
  const actions = new Map<
    number,
    { readonly command: string; readonly of: string; readonly until: number; readonly error: Schema.Json }
  >()

  const actionJson = (id: number): Schema.JsonObject => {
    const { command = "", error = null, of = "", until = 0 } = actions.get(id) ?? {}
    const isOver = Date.now() >= until
    return {
      id,
      command,
      status: !isOver ? "running" : error === null ? "success" : "error",
      progress: isOver ? 100 : 50,
      started: new Date(0).toISOString(),
      finished: isOver ? new Date(0).toISOString() : null,
      resources: [{ id: Number(of.split(" ")[1]), type: of.split(" ")[0] ?? "" }],
      error: isOver ? error : null
    }
  }
  const begin = (command: string, of: string, error: Schema.Json): Schema.JsonObject => {
    const id = newId()
    actions.set(id, { command, of, until: Date.now() + (options.actionMs ?? 0), error })
    return actionJson(id)
  }
  const isLocked = (of: string) =>
    [...actions.values()].some((action) => action.of === of && Date.now() < action.until)

  const filters: Readonly<Record<string, ReadonlyArray<string>>> = {
    server_types: ["name"],
    load_balancer_types: ["name"],
    images: [
      "name",
      "type",
      "status",
      "bound_to",
      "include_deprecated",
      "label_selector",
      "architecture",
      "sort"
    ],
    ssh_keys: ["name", "fingerprint", "label_selector", "sort"]
  }
  const listOf = (kind: Kind | keyof Catalog, url: URL): ApiAnswer => {
    const known = ["page", "per_page", ...(filters[kind] ?? ["name", "label_selector", "sort"])]
    const unknown = [...url.searchParams.keys()].find((key) => !known.includes(key))
    if (unknown !== undefined) double.violate(`GET ${kind}: unknown parameter ${unknown}`)
    const asked = Number(url.searchParams.get("per_page") ?? 25)
    if (!(asked >= 1 && asked <= 50)) double.violate(`GET ${kind}: per_page ${asked}`)
    const size = Math.min(asked, options.pageSize ?? 50)
    const page = Number(url.searchParams.get("page") ?? 1)
    const type = url.searchParams.get("type")
    const all: ReadonlyArray<Schema.JsonObject> = isCatalogKind(kind)
      ? world.catalog[kind].filter((one) => type === null || one["type"] === type)
      : world[kind].listed()
    const last = Math.max(1, Math.ceil(all.length / size))
    return {
      status: 200,
      body: {
        [kind]: all.slice((page - 1) * size, page * size),
        meta: {
          pagination: {
            page,
            per_page: size,
            previous_page: page > 1 ? page - 1 : null,
            next_page: page < last ? page + 1 : null,
            last_page: last,
            total_entries: all.length
          }
        }
      }
    }
  }

  const gate = ({ headers, text }: ApiRequest): ApiAnswer | undefined => {
    if (headers["user-agent"] === undefined) double.violate("no User-Agent")
    if (text !== "" && headers["content-type"] !== "application/json")
      double.violate("a body that is no application/json")
    return headers.authorization === `Bearer ${options.token}`
      ? undefined
      : refused({ status: 401, code: "unauthorized", message: "unable to authenticate" })
  }

  const write = (
    request: ApiRequest,
    kind: Kind,
    id: number | undefined,
    action: string | undefined
  ): ApiAnswer => {
    const { body, method } = request
    const name = [method, kind, ...(action === undefined ? [] : [action])].join(" ")
    const invalid = (message: string) => {
      double.violate(`${name}: ${message}`)
      return refused({ status: 422, code: "invalid_input", message })
    }
    const stored = id === undefined ? undefined : world[kind].get(id)
    if (id !== undefined && stored === undefined)
      return refused({ status: 404, code: "not_found", message: `${singular(kind)} not found` })
    const lock = `${singular(kind)} ${id}`
    if (method === "DELETE" && stored !== undefined && action === undefined) {
      if (isLocked(lock)) return refused({ status: 423, code: "locked", message: "it is locked" })
      world[kind].remove(stored.id)
      return kind === "servers"
        ? { status: 200, body: { action: begin("delete_server", lock, null) } }
        : { status: 204, body: null }
    }
    const schema = requests[name]
    if (schema === undefined) return refused({ status: 404, code: "not_found", message: `no ${name}` })
    const checked = Schema.decodeExit(schema, { onExcessProperty: "error" })(body)
    if (Exit.isFailure(checked) || !isFields(body)) return invalid(String(checked).slice(0, 400))
    if (method === "PUT" && stored !== undefined)
      return { status: 200, body: { [singular(kind)]: world[kind].put(body, stored.id) } }
    if (stored === undefined) {
      const others = world[kind].all()
      if (others.some((other) => other["name"] === body["name"]))
        return refused({ status: 409, code: "uniqueness_error", message: "name is already used" })
      const fields = created(world, kind, body, double.violate)
      if ("code" in fields) return refused(fields)
      const object = world[kind].put(fields.fields)
      const of = `${singular(kind)} ${object.id}`
      const begun = kind === "servers" || kind === "load_balancers"
      return {
        status: 201,
        body: {
          [singular(kind)]: object,
          ...(begun ? { action: begin(`create_${singular(kind)}`, of, outcome(double) ?? null) } : {}),
          ...(kind === "servers"
            ? { next_actions: [begin("start_server", of, null)], root_password: "canary-root" }
            : {}),
          ...(kind === "firewalls" ? { actions: [] } : {})
        }
      }
    }
    if (isLocked(lock)) return refused({ status: 423, code: "locked", message: "it is locked" })
    const failure = outcome(double)
    if (failure === undefined) {
      const changed = perform(world, `${kind} ${action}`, stored, body)
      if ("code" in changed) return refused(changed)
      world[kind].put(changed.fields, stored.id)
    }
    const one = begin(action ?? "", lock, failure ?? null)
    return { status: 201, body: kind === "firewalls" ? { actions: [one] } : { action: one } }
  }

  const respond = (request: ApiRequest): ApiAnswer => {
    const gated = gate(request)
    if (gated !== undefined) return gated
    const { method, path, url } = request
    const [, kind, id, actionsWord, action] = path.split("/")
    if (kind === "actions" && method === "GET" && actions.has(Number(id)))
      return { status: 200, body: { action: actionJson(Number(id)) } }
    if (isCatalogKind(kind) && method === "GET" && id === undefined) return listOf(kind, url)
    if (!isKind(kind) || (actionsWord !== undefined && actionsWord !== "actions"))
      return refused({ status: 404, code: "not_found", message: "no such path" })
    if (method === "GET" && id === undefined) return listOf(kind, url)
    return write(request, kind, id === undefined ? undefined : Number(id), action)
  }

  const server = yield* serveApi({
    basePath: "/v1",
    respond,
    throttled: (seconds) => ({
      ...refused({
        status: 429,
        code: "rate_limit_exceeded",
        message: "limit of 3600 requests per hour reached"
      }),
      headers: { "retry-after": String(seconds) }
    }),
    failed: (status) => refused({ status, code: "server_error", message: "internal error" }),
    shortened: (body) => {
      if (!isFields(body)) return body
      return Object.fromEntries(
        Object.entries(body).map(([key, value]) => [key, Array.isArray(value) ? value.slice(0, -1) : value])
      )
    },
    headers: () => ({ "ratelimit-limit": "3600", "ratelimit-remaining": "3599", "ratelimit-reset": "1" })
  })
  const double: HetznerDouble = Object.assign(server, world, { failAction: undefined })
  return double
})
