/** Plan of monitors, pools and load balancers: a pure function of what is wanted and what is there. */
import type { ActualState } from "./ActualState.ts"
import type { MonitorFields } from "./api/CloudflareApi.ts"
import type { LoadBalancer, Monitor, Pool } from "./api/Resources.ts"
import { type CloudflareChange, type CloudflareConflict, type CloudflarePlan, diffOf } from "./Change.ts"
import type { DesiredLoadBalancer, DesiredPool, DesiredState } from "./DesiredState.ts"
import { isOwned } from "./Ownership.ts"

const monitorDiff = (before: Monitor | undefined, after: MonitorFields) =>
  diffOf([
    ["type", before?.type, after.type],
    ["port", before?.port, after.port],
    ["interval", before?.interval, after.interval],
    ["timeout", before?.timeout, after.timeout],
    ["retries", before?.retries, after.retries],
    ...(after.type === "tcp"
      ? []
      : ([
          ["method", before?.method, after.method],
          ["path", before?.path, after.path],
          ["expected_codes", before?.expected_codes, after.expected_codes],
          ["allow_insecure", before?.allow_insecure ?? undefined, after.allow_insecure],
          ["host", before?.header?.["Host"]?.join(" "), after.header?.["Host"]?.join(" ")]
        ] as const))
  ])

/**
 * The monitor of a description. Where there are two, one was made by an attempt whose answer was lost: the one that a pool
 * uses stays, or else the one with the least id, so that everybody decides the same.
 */
export const monitorsOf = (actual: ActualState, description: string) => {
  const used = new Set(actual.pools.map(({ monitor }) => monitor))
  const [first, ...doubled] = actual.monitors
    .filter((monitor) => monitor.description === description)
    .toSorted((a, b) => Number(used.has(b.id)) - Number(used.has(a.id)) || a.id.localeCompare(b.id))
  return { first, doubled }
}

const planMonitors = (desired: DesiredState, actual: ActualState) => {
  const changes: Array<CloudflareChange> = []
  const deletes: Array<CloudflareChange> = []
  const remove = (monitor: Monitor, destructive: boolean) =>
    deletes.push({
      resource: `monitor ${monitor.description ?? monitor.id}`,
      action: "delete",
      diff: [`- ${monitor.type} ${monitor.port ?? ""} (${monitor.id})`],
      destructive,
      operation: { kind: "deleteMonitor", id: monitor.id }
    })
  for (const fields of desired.monitors) {
    const resource = `monitor ${fields.description}`
    const { doubled, first } = monitorsOf(actual, fields.description)
    const diff = monitorDiff(first, fields)
    if (first === undefined) {
      const operation = { kind: "createMonitor", fields } as const
      changes.push({ resource, action: "create", diff, destructive: false, operation })
    } else if (diff.length > 0) {
      const operation = { kind: "updateMonitor", id: first.id, fields } as const
      changes.push({ resource, action: "update", diff, destructive: false, operation })
    }
    for (const monitor of doubled) remove(monitor, false)
  }
  const wanted = new Set(desired.monitors.map(({ description }) => description))
  for (const monitor of actual.monitors) {
    const description = monitor.description ?? ""
    if (description.startsWith(desired.prefix.monitor) && !wanted.has(description)) remove(monitor, true)
  }
  return { changes, deletes }
}

const show = (origins: Pool["origins"] | DesiredPool["origins"]) =>
  new Map(origins.map(({ address, name }) => [name, address]))

const originsDiff = (before: Pool | undefined, after: DesiredPool): ReadonlyArray<string> => {
  const old = show(before?.origins ?? [])
  const wanted = show(after.origins)
  const names = [...new Set([...old.keys(), ...wanted.keys()])].toSorted()
  return diffOf(names.map((name) => [`origin ${name}`, old.get(name), wanted.get(name)] as const))
}

const planPools = (desired: DesiredState, actual: ActualState) => {
  const changes: Array<CloudflareChange> = []
  const deletes: Array<CloudflareChange> = []
  for (const pool of desired.pools) {
    const resource = `pool ${pool.name}`
    const before = actual.pools.find(({ name }) => name === pool.name)
    const monitor = actual.monitors.find(({ id }) => id === before?.monitor)
    const chosen = monitorsOf(actual, pool.monitor).first
    // A pool that uses a doubled monitor is as good as one without: it gets the one that stays.
    const monitored = monitor !== undefined && monitor.id === chosen?.id ? pool.monitor : monitor?.id
    const diff = [
      ...diffOf([
        ["description", before?.description, pool.description],
        ["minimum_origins", before?.minimum_origins, pool.minimum_origins],
        ["monitor", monitored, pool.monitor],
        ["latitude", before?.latitude, pool.latitude ?? before?.latitude],
        ["longitude", before?.longitude, pool.longitude ?? before?.longitude]
      ]),
      ...originsDiff(before, pool)
    ]
    if (before === undefined) {
      const operation = { kind: "createPool", pool } as const
      changes.push({ resource, action: "create", diff, destructive: false, operation })
    } else if (diff.length > 0) {
      const operation = { kind: "updatePool", id: before.id, pool } as const
      changes.push({ resource, action: "update", diff, destructive: false, operation })
    }
  }
  const wanted = new Set(desired.pools.map(({ name }) => name))
  for (const pool of actual.pools) {
    if (!pool.name.startsWith(desired.prefix.pool) || wanted.has(pool.name)) continue
    deletes.push({
      resource: `pool ${pool.name}`,
      action: "delete",
      diff: pool.origins.map(({ address, name }) => `- origin ${name}: ${address}`),
      destructive: true,
      operation: { kind: "deletePool", id: pool.id }
    })
  }
  return { changes, deletes }
}

const settingsDiff = (before: LoadBalancer | undefined, after: DesiredLoadBalancer) =>
  diffOf([
    [
      "description",
      isOwned(before?.description, after.description) ? after.description : before?.description,
      after.description
    ],
    ["enabled", before?.enabled ?? undefined, true],
    ["proxied", before?.proxied ?? undefined, after.proxied],
    ["steering_policy", before?.steering_policy, after.steering_policy]
  ])

const planLoadBalancers = (desired: DesiredState, actual: ActualState) => {
  const changes: Array<CloudflareChange> = []
  const leaves: Array<CloudflareChange> = []
  const nameOf = (id: string) => actual.pools.find((pool) => pool.id === id)?.name ?? id
  const isOwn = (id: string) => nameOf(id).startsWith(desired.prefix.pool)
  for (const balancer of desired.loadBalancers) {
    const resource = `load balancer ${balancer.name}`
    const before = actual.loadBalancers.find(({ name }) => name === balancer.name)
    const shared = settingsDiff(before, balancer)
    if (before === undefined) {
      const operation = { kind: "createLoadBalancer", balancer } as const
      const diff = [...shared, `+ pool: ${balancer.pool}`]
      changes.push({ resource, action: "create", diff, destructive: false, operation })
      continue
    }
    const member = before.default_pools.some((id) => nameOf(id) === balancer.pool)
    if (!member) {
      changes.push({
        resource,
        action: "update",
        diff: [`+ pool: ${balancer.pool}`],
        destructive: false,
        operation: { kind: "updateLoadBalancer", id: before.id, balancer, settings: false }
      })
    }
    if (shared.length > 0) {
      changes.push({
        resource,
        action: isOwned(before.description, balancer.description) ? "update" : "adopt",
        diff: shared,
        destructive: before.default_pools.some((id) => !isOwn(id)),
        operation: { kind: "updateLoadBalancer", id: before.id, balancer, settings: true }
      })
    }
  }
  for (const name of desired.leaves) {
    const before = actual.loadBalancers.find((balancer) => balancer.name === name)
    const own = before?.default_pools.filter(isOwn) ?? []
    if (before === undefined || own.length === 0) continue
    const last = own.length === before.default_pools.length
    leaves.push({
      resource: `load balancer ${name}`,
      action: last ? "delete" : "update",
      diff: own.map((id) => `- pool: ${nameOf(id)}`),
      destructive: true,
      operation: { kind: "leaveLoadBalancer", id: before.id, poolPrefix: desired.prefix.pool }
    })
  }
  return { changes, leaves }
}

/** A load balancer takes precedence over a record of its name, so it would hide ours. */
const hidden = (desired: DesiredState, actual: ActualState): ReadonlyArray<CloudflareConflict> => {
  const wanted = new Set(desired.loadBalancers.map(({ name }) => name))
  const left = new Set(desired.leaves)
  const main = desired.loadBalancers[0]?.name ?? ""
  return actual.loadBalancers
    .filter(({ name }) => !wanted.has(name) && desired.records.some((record) => record.name === name))
    .filter(({ name, description }) => !left.has(name) || !isOwned(description, "mcpdeploy"))
    .map(({ name }) => ({
      resource: `load balancer ${name}`,
      detail: `a load balancer ${name} takes precedence over the record ${name}: rename it to ${main}, and it is taken over, or delete it`
    }))
}

export const planLoadBalancing = (desired: DesiredState, actual: ActualState) => {
  const monitors = planMonitors(desired, actual)
  const pools = planPools(desired, actual)
  const balancers = planLoadBalancers(desired, actual)
  const plan: CloudflarePlan = {
    changes: [...monitors.changes, ...pools.changes, ...balancers.changes],
    conflicts: hidden(desired, actual)
  }
  return { plan, deletes: [...balancers.leaves, ...pools.deletes, ...monitors.deletes] }
}
