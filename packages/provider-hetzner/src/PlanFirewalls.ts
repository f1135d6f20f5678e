/** Firewalls, applied by label, so that a server has its own from its first packet. */
import { type ActualState, sourcesOf } from "./ActualState.ts"
import type { FirewallRule } from "./api/Resources.ts"
import { type DesiredFirewall, type DesiredState, webRules } from "./DesiredState.ts"
import type { PlanPart } from "./Change.ts"
import { inTheWay, ownershipOf } from "./Ownership.ts"

const lines = ({ direction, port, protocol, source_ips }: FirewallRule): ReadonlyArray<string> =>
  source_ips.map((source) => `${direction} ${protocol}${port == null ? "" : ` ${port}`} from ${source}`)

const allLines = (rules: ReadonlyArray<FirewallRule>): ReadonlySet<string> => new Set(rules.flatMap(lines))

const json = ({ description, port, ...rule }: FirewallRule) => ({
  ...rule,
  source_ips: [...rule.source_ips],
  ...(port == null ? {} : { port }),
  ...(description == null ? {} : { description })
})

/** The run firewall's rules name the load balancer as soon as it has addresses. */
const wanted = (desired: DesiredState, actual: ActualState, firewall: DesiredFirewall): DesiredFirewall => {
  if (firewall.name !== desired.runFirewall) return firewall
  const balancer = actual.loadBalancers.find(({ name }) => name === desired.loadBalancer.name)
  const known = firewall.rules.flatMap(({ port, source_ips }) => (port === "80" ? source_ips : []))
  return { ...firewall, rules: webRules([...known, ...(balancer === undefined ? [] : sourcesOf(balancer))]) }
}

const planFirewall = (
  part: PlanPart,
  desired: DesiredState,
  actual: ActualState,
  one: DesiredFirewall
): void => {
  const { name, rules, selector } = wanted(desired, actual, one)
  const resource = `firewall ${name}`
  const found = actual.firewalls.find((firewall) => firewall.name === name)
  const applyTo = [{ type: "label_selector", label_selector: { selector } }]
  if (found === undefined) {
    part.changes.push({
      area: "firewall",
      resource,
      action: "create",
      diff: [`+ applied to ${selector}`, ...[...allLines(rules)].map((line) => `+ ${line}`)],
      destructive: false,
      operation: {
        kind: "create",
        of: "firewalls",
        fields: { name, rules: rules.map(json), apply_to: applyTo, labels: desired.labels }
      }
    })
    return
  }
  const [before, after] = [allLines(found.rules), allLines(rules)]
  const isApplied = found.applied_to.some(({ label_selector: by }) => by?.selector === selector)
  const diff = [
    ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
    ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`)
  ]
  const ownership = ownershipOf(found.labels, desired)
  if (ownership === "foreign" || (ownership === "unlabelled" && (diff.length > 0 || !isApplied))) {
    part.conflicts.push(inTheWay(resource, found.labels, desired))
    return
  }
  const change = { area: "firewall", resource, destructive: false } as const
  if (ownership === "unlabelled") {
    part.changes.push({
      ...change,
      action: "adopt",
      diff: [],
      operation: {
        kind: "label",
        of: "firewalls",
        id: found.id,
        labels: { ...found.labels, ...desired.labels }
      }
    })
  }
  if (diff.length > 0) {
    part.changes.push({
      ...change,
      action: "update",
      diff,
      operation: {
        kind: "act",
        of: "firewalls",
        id: found.id,
        action: "set_rules",
        fields: { rules: rules.map(json) }
      }
    })
  }
  if (!isApplied) {
    part.changes.push({
      ...change,
      action: "update",
      diff: [`+ applied to ${selector}`],
      operation: {
        kind: "act",
        of: "firewalls",
        id: found.id,
        action: "apply_to_resources",
        fields: { apply_to: applyTo }
      }
    })
  }
}

export const planFirewalls = (desired: DesiredState, actual: ActualState): PlanPart => {
  const part: PlanPart = { changes: [], conflicts: [] }
  for (const firewall of desired.firewalls) planFirewall(part, desired, actual, firewall)
  return part
}
