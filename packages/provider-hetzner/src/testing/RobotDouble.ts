/**
 * RobotDouble: an HTTP server on loopback that plays Hetzner's Robot webservice for tests, strictly: servers, vSwitches and the stateless
 * firewall. Written from its documentation, apart from the client.
 */
import { type ApiAnswer, type ApiDouble, type ApiRequest, serveApi } from "@mcpdeploy/core/testing/ApiDouble"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** The account that the double stands for. */
export interface RobotDoubleOptions {
  readonly user: string
  readonly password: string
  /** Number and main address of each dedicated server of the account. */
  readonly servers: Readonly<Record<number, string>>
  /** How long a change is in process; 0 when absent. */
  readonly processMs?: number
}

interface Member {
  readonly readyAt: number
  readonly isFailed: boolean
}
interface VSwitch {
  readonly id: number
  name: string
  vlan: number
  cancelled: boolean
  readonly members: Map<number, Member>
}
type Rule = Readonly<Record<string, string | null>>
interface Firewall {
  readonly activeAt: number
  readonly status: string
  readonly filterIpv6: boolean
  readonly whitelistHos: boolean
  readonly input: ReadonlyArray<Rule>
  readonly output: ReadonlyArray<Rule>
}

/** A server on loopback that stands for Robot's web service. */
export interface RobotDouble extends ApiDouble {
  readonly vswitches: Array<VSwitch>
  readonly firewalls: Map<number, Firewall>
  /** Servers that Robot fails to join. */
  readonly failing: Set<number>
}

const ruleNames = [
  ...["name", "ip_version", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "tcp_flags", "action"]
]
const maxRules = 10
const maxServers = 100

const refused = (status: number, code: string, message: string, more: Schema.JsonObject = {}): ApiAnswer => ({
  status,
  body: { error: { status, code, message, ...more } }
})
const invalid = (missing: ReadonlyArray<string>, wrong: ReadonlyArray<string>): ApiAnswer =>
  refused(400, "INVALID_INPUT", "invalid input", { missing, invalid: wrong })

const port = /^\d{1,5}(-\d{1,5})?$/
const ipv4Range = /^\d{1,3}(\.\d{1,3}){3}(\/\d{1,2})?$/

/** What is wrong with a rule, by Robot's documentation of the firewall. */
const wrongWith = (rule: Rule): string | undefined => {
  const { action, dst_port, ip_version, protocol, src_ip, src_port, dst_ip, tcp_flags } = rule
  if (action !== "accept" && action !== "discard") return "action"
  if (ip_version != null && ip_version !== "ipv4" && ip_version !== "ipv6") return "ip_version"
  for (const range of [src_ip, dst_ip]) {
    if (range == null) continue
    if (ip_version == null) return "an address without ip_version"
    if (ip_version === "ipv6") return "IPv6 rules take no address"
    if (!ipv4Range.test(range)) return "address"
  }
  for (const one of [src_port, dst_port])
    if (one != null && !(port.test(one) && (protocol === "tcp" || protocol === "udp"))) return "port"
  if (tcp_flags != null && protocol !== "tcp") return "tcp_flags"
  return undefined
}

/** A double for as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: RobotDoubleOptions
): Effect.fn.Return<RobotDouble, never, Scope.Scope> {
  const world = {
    vswitches: new Array<VSwitch>(),
    firewalls: new Map<number, Firewall>(),
    failing: new Set<number>()
  }
  let lastId = 40_000
  const soon = () => Date.now() + (options.processMs ?? 0)
  const numbers = Object.keys(options.servers).map(Number)

  const serverJson = (number: number): Schema.JsonObject => ({
    server_ip: options.servers[number] ?? "",
    server_ipv6_net: "2001:db8:1::",
    server_number: number,
    server_name: `machine ${number}`,
    product: "AX41",
    dc: "FSN1-DC1",
    traffic: "unlimited",
    status: "ready",
    cancelled: false,
    paid_until: "2027-01-01"
  })
  const statusOf = ({ isFailed, readyAt }: Member) =>
    Date.now() < readyAt ? "in process" : isFailed ? "failed" : "ready"
  const entryJson = ({ cancelled, id, name, vlan }: VSwitch) => ({ id, name, vlan, cancelled })
  const detailJson = (one: VSwitch): Schema.JsonObject => ({
    ...entryJson(one),
    server: [...one.members].map(([number, member]) => ({
      server_ip: options.servers[number] ?? "",
      server_ipv6_net: "2001:db8:1::",
      server_number: number,
      status: statusOf(member)
    })),
    subnet: [],
    cloud_network: []
  })
  const isInProcess = ({ members }: VSwitch) =>
    [...members.values()].some((member) => statusOf(member) === "in process")
  const firewallJson = (number: number): Schema.JsonObject => {
    const firewall = world.firewalls.get(number)
    return {
      server_ip: options.servers[number] ?? "",
      server_number: number,
      status:
        firewall === undefined ? "disabled" : Date.now() < firewall.activeAt ? "in process" : firewall.status,
      filter_ipv6: firewall?.filterIpv6 ?? false,
      whitelist_hos: firewall?.whitelistHos ?? true,
      port: "main",
      rules: { input: firewall?.input ?? [], output: firewall?.output ?? [] }
    }
  }

  const formOf = ({ headers, text }: ApiRequest): URLSearchParams => {
    if (!(headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded"))
      double.violate("a body that is no form")
    return new URLSearchParams(text)
  }
  const membersOf = (form: URLSearchParams): ReadonlyArray<number> | ApiAnswer => {
    for (const key of form.keys())
      if (key !== "server[]") double.violate(`vswitch server: unknown field ${key}`)
    const asked = form.getAll("server[]").map(Number)
    if (asked.length === 0) return invalid(["server"], [])
    return asked.every((number) => numbers.includes(number))
      ? asked
      : refused(404, "SERVER_NOT_FOUND", "Server not found")
  }

  const createVSwitch = (form: URLSearchParams): ApiAnswer => {
    for (const key of form.keys())
      if (!["name", "vlan"].includes(key)) double.violate(`vswitch: unknown field ${key}`)
    const name = form.get("name") ?? ""
    const vlan = Number(form.get("vlan"))
    if (name === "" || !(vlan >= 4000 && vlan <= 4091)) {
      double.violate("vswitch: a name, and a VLAN of 4000 to 4091")
      return invalid([], ["vlan"])
    }
    const made: VSwitch = { id: ++lastId, name, vlan, cancelled: false, members: new Map() }
    world.vswitches.push(made)
    return { status: 201, body: detailJson(made) }
  }

  const changeMembers = (one: VSwitch, method: string, form: URLSearchParams): ApiAnswer => {
    const asked = membersOf(form)
    if ("status" in asked) return asked
    if (isInProcess(one))
      return refused(409, "VSWITCH_IN_PROCESS", "There is already an update in process for this vSwitch")
    if (method === "DELETE") {
      for (const number of asked) one.members.delete(number)
      return { status: 200, body: "" }
    }
    if (one.members.size + asked.length > maxServers)
      return refused(409, "VSWITCH_SERVER_LIMIT_REACHED", "The maximum number of servers is reached")
    const taken = asked.find((number) =>
      world.vswitches.some((other) => other !== one && other.vlan === one.vlan && other.members.has(number))
    )
    if (taken !== undefined)
      return refused(409, "VSWITCH_VLAN_NOT_UNIQUE", `vlan of vswitch is already in use at server ${taken}`)
    for (const number of asked) {
      if (one.members.has(number)) double.violate(`vswitch server: ${number} is in it already`)
      one.members.set(number, { readyAt: soon(), isFailed: world.failing.has(number) })
    }
    return { status: 201, body: "" }
  }

  const setFirewall = (number: number, form: URLSearchParams): ApiAnswer => {
    const rules = {
      input: new Map<number, Record<string, string>>(),
      output: new Map<number, Record<string, string>>()
    }
    for (const [key, value] of form) {
      const [, list, index, field] = /^rules\[(input|output)\]\[(\d+)\]\[(\w+)\]$/.exec(key) ?? []
      if (list === undefined) {
        if (!["status", "filter_ipv6", "whitelist_hos"].includes(key))
          double.violate(`firewall: unknown field ${key}`)
        continue
      }
      if (!ruleNames.includes(field ?? "")) double.violate(`firewall: unknown field ${key}`)
      const all = list === "input" ? rules.input : rules.output
      all.set(Number(index), { ...all.get(Number(index)), [field ?? ""]: value })
    }
    const filled = (all: ReadonlyMap<number, Record<string, string>>): ReadonlyArray<Rule> =>
      [...all.values()].map((rule) => Object.fromEntries(ruleNames.map((name) => [name, rule[name] ?? null])))
    const input = filled(rules.input)
    const output = filled(rules.output)
    const wrong = [...input, ...output].map(wrongWith).find((text) => text !== undefined)
    if (wrong !== undefined || input.length > maxRules || output.length > maxRules) {
      double.violate(`firewall: ${wrong ?? "more than 10 rules"}`)
      return invalid([], ["rules"])
    }
    const before = world.firewalls.get(number)
    if (before !== undefined && Date.now() < before.activeAt)
      return refused(
        409,
        "FIREWALL_IN_PROCESS",
        "The firewall cannot be updated because a update is currently running"
      )
    world.firewalls.set(number, {
      activeAt: soon(),
      status: form.get("status") ?? "active",
      filterIpv6: form.get("filter_ipv6") === "true",
      whitelistHos: form.get("whitelist_hos") === "true",
      input,
      output
    })
    return { status: 202, body: { firewall: firewallJson(number) } }
  }

  const respond = (request: ApiRequest): ApiAnswer => {
    const { headers, method, path } = request
    const login = Buffer.from(`${options.user}:${options.password}`).toString("base64")
    if (headers.authorization !== `Basic ${login}`) return refused(401, "UNAUTHORIZED", "Unauthorized")
    const [, kind, id, part] = path.split("/")
    const number = Number(id)
    if (kind === "server" && id === undefined && method === "GET")
      return numbers.length === 0
        ? refused(404, "SERVER_NOT_FOUND", "No server found")
        : { status: 200, body: numbers.map((one) => ({ server: serverJson(one) })) }
    if (kind === "vswitch") {
      if (id === undefined)
        return method === "GET"
          ? { status: 200, body: world.vswitches.map(entryJson) }
          : createVSwitch(formOf(request))
      const one = world.vswitches.find((each) => each.id === number)
      if (one === undefined) return refused(404, "NOT_FOUND", "vSwitch not found")
      if (part === undefined && method === "GET") return { status: 200, body: detailJson(one) }
      if (part === undefined && method === "DELETE") {
        if (formOf(request).get("cancellation_date") !== "now")
          double.violate("vswitch: no cancellation_date")
        if (one.cancelled) return refused(409, "CONFLICT", "The vSwitch is already cancelled")
        one.cancelled = true
        return { status: 200, body: "" }
      }
      if (part === "server") return changeMembers(one, method, formOf(request))
    }
    if (kind === "firewall" && id !== undefined) {
      if (!numbers.includes(number)) return refused(404, "SERVER_NOT_FOUND", "Server not found")
      if (method === "GET") return { status: 200, body: { firewall: firewallJson(number) } }
      if (method === "POST") return setFirewall(number, formOf(request))
    }
    double.violate(`${method} ${path} is not documented`)
    return refused(404, "NOT_FOUND", "not found")
  }

  const server = yield* serveApi({
    basePath: "",
    respond,
    throttled: (seconds) =>
      refused(403, "RATE_LIMIT_EXCEEDED", "rate limit exceeded", { max_request: 200, interval: seconds }),
    failed: (status) => refused(status, "INTERNAL_ERROR", "internal error"),
    // Robot's lists have no pages.
    shortened: (body) => body,
    headers: () => ({})
  })
  const double: RobotDouble = Object.assign(server, world)
  return double
})
