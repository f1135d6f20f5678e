/** RobotPart: the vSwitch that joins a region's dedicated servers to its network, and the firewall at their switch ports. */
import type { Region } from "@mcpdeploy/core/region/Region"
import {
  failedAt,
  RegionConflicts,
  type RegionFacts,
  type RegionPart
} from "@mcpdeploy/core/region/RegionInfrastructure"
import { RegionProvider, secretOf } from "@mcpdeploy/core/region/RegionProvider"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { HetznerNotConverged } from "../Apply.ts"
import { HetznerActionFailed, type HetznerReason } from "../api/HetznerReason.ts"
import { layer, RobotApi } from "./RobotApi.ts"
import {
  type ActualRobot,
  desiredRobot,
  type DesiredRobot,
  planRobot,
  type RobotChange,
  type RobotOperation
} from "./RobotPlan.ts"

const provider = "hetzner-robot"
const failed = failedAt(provider)

/** How long changes are waited for that Robot carries out by itself. */
export interface SettleOptions {
  /** Between two looks at what Robot carries out. */
  readonly pollSeconds: number
  /** How long Robot may take for a change. */
  readonly settleSeconds: number
}
const defaultSettle: SettleOptions = { pollSeconds: 5, settleSeconds: 600 }

/** Rounds of reading, planning and writing: each makes all that it can. */
const maxRounds = 6

const shown = ({ action, area, destructive, diff, resource }: RobotChange) => ({
  action,
  area,
  destructive,
  diff,
  resource
})

/** Those of the region's VLAN, oldest first. */
const findVSwitches = Effect.fnUntraced(function* ({ vswitch: { vlan } }: DesiredRobot) {
  const api = yield* RobotApi
  const entries = (yield* api.vswitches).filter((one) => !one.cancelled && one.vlan === vlan)
  return yield* Effect.forEach(
    entries.toSorted((a, b) => a.id - b.id),
    ({ id }) => api.vswitch(id)
  )
})

const read = Effect.fn("Robot.read")(function* (
  desired: DesiredRobot
): Effect.fn.Return<ActualRobot, HetznerReason, RobotApi> {
  if (desired.servers.length === 0) return { servers: [], vswitches: [], firewalls: new Map() }
  const api = yield* RobotApi
  const servers = yield* api.servers
  const known = desired.servers.filter(({ number }) =>
    servers.some(({ server_number }) => server_number === number)
  )
  return {
    servers,
    vswitches: yield* findVSwitches(desired),
    // One after the other: Robot counts requests by the hour.
    firewalls: new Map(
      yield* Effect.forEach(known, ({ number }) =>
        Effect.map(api.firewall(number), (firewall) => [number, firewall] as const)
      )
    )
  }
})

/** Reads until Robot carries nothing out any more. */
const readSettled = Effect.fn("Robot.readSettled")(function* (desired: DesiredRobot, settle: SettleOptions) {
  const deadline = (yield* Clock.currentTimeMillis) + settle.settleSeconds * 1000
  for (;;) {
    const actual = yield* read(desired)
    const pending = [
      ...actual.vswitches
        .flatMap(({ server }) => server)
        .filter(({ status }) => status === "in process")
        .map(({ server_number }) => `server ${server_number} in the vSwitch`),
      ...[...actual.firewalls.values()]
        .filter(({ status }) => status === "in process")
        .map(({ server_number }) => `the firewall of server ${server_number}`)
    ]
    if (pending.length === 0) return actual
    if ((yield* Clock.currentTimeMillis) > deadline)
      return yield* new HetznerActionFailed({
        command: pending.join(", "),
        detail: `Robot still carries it out after ${settle.settleSeconds} seconds`
      })
    yield* Effect.logInfo(`Robot carries out: ${pending.join(", ")}`)
    yield* Effect.sleep(`${settle.pollSeconds} seconds`)
  }
})

const perform = (api: RobotApi["Service"], operation: RobotOperation) => {
  switch (operation.kind) {
    case "createVSwitch":
      return api.createVSwitch(operation)
    case "cancelVSwitch":
      return api.cancelVSwitch(operation.id)
    case "addServers":
      return api.addServers(operation.id, operation.numbers)
    case "removeServers":
      return api.removeServers(operation.id, operation.numbers)
    case "setFirewall":
      return api.setFirewall(operation.server, operation.rules)
  }
}

/** It may have been done: whether it was, the next round sees. */
const isUnsure = (reason: HetznerReason): boolean =>
  reason._tag === "HetznerMalformed" ||
  reason._tag === "HetznerBusy" ||
  (reason._tag === "HetznerUnavailable" && reason.maybeDone)

/** Fails where `hetzner` in the region's variables, or a node's settings, are not as `HetznerSettings` says. */
export const robotPart = Effect.fn("robotPart")(function* (
  region: Region,
  settle: SettleOptions = defaultSettle
) {
  const api = yield* RobotApi
  const withApi = Effect.provideService(RobotApi, api)
  const desired = yield* desiredRobot(region)

  const apply = Effect.fn("Robot.apply")(function* (allow: ReadonlySet<string>) {
    const made = new Map<string, RobotChange>()
    for (let round = 1; ; round++) {
      const { changes, conflicts } = planRobot(desired, yield* readSettled(desired, settle))
      if (conflicts.length > 0)
        return yield* new RegionConflicts({ conflicts: conflicts.map((one) => ({ ...one, provider })) })
      const due = changes.flatMap((change) =>
        change.operation === undefined || (change.destructive && !allow.has(change.resource))
          ? []
          : [{ change, operation: change.operation }]
      )
      if (due.length === 0) return { made: [...made.values()].map(shown), left: changes.map(shown) }
      if (round > maxRounds)
        return yield* new HetznerNotConverged({ resources: due.map(({ change }) => change.resource) })
      for (const { change, operation } of due) {
        yield* Effect.logInfo(`${change.action} ${change.resource}`)
        yield* perform(api, operation).pipe(
          Effect.catchIf(
            (reason) => isUnsure(reason) && round < maxRounds,
            (reason) => Effect.logDebug(`looking whether it was done: ${reason.message}`)
          )
        )
        made.set(`${change.action} ${change.resource}`, change)
      }
    }
  })

  return {
    provider,
    facts:
      desired.servers.length === 0
        ? Effect.succeed({})
        : withApi(findVSwitches(desired)).pipe(
            Effect.mapError(failed),
            Effect.map(([found]): RegionFacts => (found === undefined ? {} : { layer2Network: found.id }))
          ),
    plan: () =>
      withApi(read(desired)).pipe(
        Effect.mapError(failed),
        Effect.map((actual) => {
          const { changes, conflicts } = planRobot(desired, actual)
          return { changes: changes.map(shown), conflicts }
        })
      ),
    apply: (_known, allow) =>
      withApi(apply(allow)).pipe(
        Effect.mapError((error) => (error._tag === "RegionConflicts" ? error : failed(error)))
      )
  } satisfies RegionPart
})

/** `HETZNER_ROBOT_USER` and `HETZNER_ROBOT_PASSWORD`; `HETZNER_ROBOT_ENDPOINT` is another address than Hetzner's, for tests. */
export const regionProvider = new RegionProvider({
  name: provider,
  areas: ["network", "firewall"],
  roles: ["hetzner_vswitch", "private_network"],
  part: Effect.fnUntraced(function* (region, env) {
    const user = yield* secretOf(provider, env, "HETZNER_ROBOT_USER", "of Robot's web service")
    const password = yield* secretOf(provider, env, "HETZNER_ROBOT_PASSWORD", "of Robot's web service")
    const baseUrl = env["HETZNER_ROBOT_ENDPOINT"]
    const api = yield* Layer.build(
      layer({ user, password, ...(baseUrl === undefined ? {} : { baseUrl }) })
    ).pipe(Effect.mapError(failed))
    return yield* robotPart(region).pipe(Effect.provideService(RobotApi, Context.get(api, RobotApi)))
  })
})
