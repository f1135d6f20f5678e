/** Checklist: the nine steps of adding a region, each done, missing, or for a person to do. Pure. */
import { type Region, variablesFile } from "@mcpdeploy/core/region/Region"
import type { RegionArea, RegionPlan } from "@mcpdeploy/core/region/RegionInfrastructure"
import { type LoadBalancerAddress, nameOf } from "@mcpdeploy/core/region/RegionInfrastructure"
import type { RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { admissionFile } from "@mcpdeploy/provider-k3s/manifests/AdmissionFile"
import * as Schema from "effect/Schema"
import type { AskedNode } from "./NodeFirewall.ts"
import { fillIn } from "./Placeholders.ts"
import type { Problem } from "./VaultCheck.ts"

/** `person`: no provider of the region can do or see it. */
export const StepState = Schema.Literals(["done", "missing", "person"])

export const CheckedStep = Schema.Struct({
  /** 1 to 9. */
  step: Schema.Int,
  title: Schema.String,
  state: StepState,
  /** What is there, or what lacks. */
  detail: Schema.String,
  /** What to do; absent where nothing is. */
  todo: Schema.optionalKey(Schema.String)
})
export type CheckedStep = typeof CheckedStep.Type

/** What was found out beforehand. */
export interface RegionState {
  readonly name: string
  /** Why the inventory is none, or the region that it describes. */
  readonly region: Region | string
  /** Text of each of {@link manifests}; empty where it is not there. */
  readonly manifests: Readonly<Record<string, string>>
  /** Fields that still have an example, and what stands there. */
  readonly placeholders: ReadonlyArray<string>
  /** What lacks of its secrets. */
  readonly vault: Problem | undefined
  /** Why `region.json` is none, or what it says. */
  readonly processes: RegionFile | string
  readonly readme: string
  /** Hosts that `known_hosts` has a key of. */
  readonly knownHosts: ReadonlySet<string>
  /** Roles of `ansible/roles`. */
  readonly roles: ReadonlySet<string>
  readonly providers: ReadonlyArray<{
    readonly name: string
    readonly areas: ReadonlyArray<RegionArea>
    readonly roles: ReadonlyArray<string>
  }>
  /** Why there is no plan, or the plan. */
  readonly plan: RegionPlan | string
  /** Addresses of the TCP load balancer, as soon as it has some. */
  readonly loadBalancer: LoadBalancerAddress | undefined
  /** The firewalls of run nodes; asked only where nothing else is left to do about them. */
  readonly asked: ReadonlyArray<AskedNode>
}

type Step = Omit<CheckedStep, "step">

const done = (title: string, detail: string): Step => ({ title, state: "done", detail })
const missing = (title: string, detail: string, todo: string): Step => ({
  title,
  state: "missing",
  detail,
  todo
})
const person = (title: string, detail: string, todo: string): Step => ({
  title,
  state: "person",
  detail,
  todo
})

const agnosticRoles = ["base", "ssh", "firewall", "private_network", "k3s_server", "k3s_agent", "gvisor"]
const sections = ["Machines", "Network", "Topology", "Decisions"]
const admission = "k8s/admission.yaml"
/** Files that are made of the region's domain. */
export const manifests = [admission, "k8s/clusterissuer.yaml", "k8s/wildcard.yaml"]

const list = (all: ReadonlyArray<string>): string => all.join(", ")
const lines = (all: ReadonlyArray<string>): string => all.join("\n")

const sameAddresses = (said: ReadonlyArray<string>, { ipv4, ipv6 }: LoadBalancerAddress): boolean =>
  said.toSorted().join() === [ipv4, ...(ipv6 === undefined ? [] : [ipv6])].toSorted().join()

/** The inventory is the one list: what the processes' file says again has to be the same. */
const contradictions = (
  region: Region,
  processes: RegionFile | string,
  loadBalancer: LoadBalancerAddress | undefined
): ReadonlyArray<Problem> => {
  if (typeof processes === "string") return [[`region.json: ${processes}`, "correct it"]]
  const { address } = processes.buildkit
  const builders = region.nodes.filter(({ pool }) => pool === "build_pool")
  const { domains, platformDomain } = processes.cluster
  const addresses = domains?.loadBalancerAddresses ?? []
  const correct = "correct region.json"
  return [
    ...(platformDomain === region.domain
      ? []
      : [
          [`region.json says the domain ${platformDomain}, the inventory ${region.domain}`, correct] as const
        ]),
    ...(builders.length === 0 || builders.some((node) => address.includes(`//${node.privateAddress}:`))
      ? []
      : [[`${address} of region.json is no build node's private address`, correct] as const]),
    ...(loadBalancer === undefined || sameAddresses(addresses, loadBalancer)
      ? []
      : [
          [
            `region.json says loadBalancerAddresses ${list(addresses) || "none"}, and the load balancer has ${list([loadBalancer.ipv4, ...(loadBalancer.ipv6 === undefined ? [] : [loadBalancer.ipv6])])}`,
            correct
          ] as const
        ])
  ]
}

/** Whether a list of the file names the domain: a zone of the issuer, a name of the certificate. */
const names = (text: string, domain: string): boolean =>
  text.split("\n").some((line) => /^\s*- "?([^"]*)"?\s*$/.exec(line)?.[1] === domain)

const manifestProblems = (region: Region, texts: RegionState["manifests"]): ReadonlyArray<Problem> =>
  manifests.flatMap((file): ReadonlyArray<Problem> => {
    const text = texts[file] ?? ""
    if (text === "") return [[`there is no ${file}`, "copy it from another region, and adapt it"]]
    const isOfDomain = file === admission ? text === admissionFile(region.domain) : names(text, region.domain)
    return isOfDomain
      ? []
      : [
          [
            `${file} is not as it is laid out for the domain ${region.domain}`,
            `take it from a region that is: mcpdeploy region new NAME --domain ${region.domain}`
          ]
        ]
  })

const directoryStep = (state: RegionState): Step => {
  const { knownHosts, loadBalancer, name, placeholders, processes, region, vault } = state
  const title = "Directory with inventory, manifests and known_hosts"
  if (typeof region === "string") {
    return missing(title, region, `correct it, or lay one out: mcpdeploy region new ${name}`)
  }
  const unknown = region.nodes.filter(({ address }) => !knownHosts.has(address))
  const problems: ReadonlyArray<Problem> = [
    ...manifestProblems(region, state.manifests),
    ...(placeholders.length === 0
      ? []
      : [
          [
            lines(placeholders.map((one) => `${one} is an example`)),
            `put in what is true; ${fillIn} and addresses and names for documentation (RFC 5737, RFC 2606) are examples`
          ] as const
        ]),
    ...contradictions(region, processes, loadBalancer),
    ...(vault === undefined ? [] : [vault]),
    ...(unknown.length === 0
      ? []
      : [
          [
            `known_hosts has no key of ${list(unknown.map((node) => node.name))}`,
            `compare the fingerprints at the provider's console: ssh-keyscan -t ed25519 ${unknown.map(({ address }) => address).join(" ")} >> known_hosts`
          ] as const
        ]),
    ...(region.sshKeys.length > 0
      ? []
      : [["region_ssh_keys is empty: nobody could reach the nodes", `fill it in: ${variablesFile}`] as const])
  ]
  return problems.length === 0
    ? done(title, `${region.nodes.length} nodes`)
    : missing(
        title,
        lines(problems.map(([detail]) => detail)),
        lines([...new Set(problems.map(([, todo]) => todo))])
      )
}

const providerRolesStep = ({ providers, region, roles }: RegionState): Step => {
  const title = "Provider-specific roles"
  if (typeof region === "string") return missing(title, "the inventory cannot be read", "see step 1")
  const needed = [...new Set(providers.flatMap((provider) => provider.roles))]
  const lacking = needed.filter((role) => !roles.has(role))
  return lacking.length === 0
    ? done(title, needed.length === 0 ? "none is needed" : list(needed))
    : missing(
        title,
        `ansible/roles has no ${list(lacking)}, which a provider of the region names`,
        "write it, or say with --ansible where the roles are"
      )
}

const agnosticRolesStep = ({ roles }: RegionState): Step => {
  const title = "Roles of every region"
  const lacking = agnosticRoles.filter((role) => !roles.has(role))
  return lacking.length === 0
    ? done(title, list(agnosticRoles))
    : missing(title, `ansible/roles has no ${list(lacking)}`, "say with --ansible where the roles are")
}

/** Whether all that the firewall's step needs of vendors and inventory is there, so that its nodes can be asked. */
export const isFirewallPlanned = (plan: RegionPlan): boolean =>
  plan.waiting.length === 0 &&
  plan.conflicts.length === 0 &&
  !plan.changes.some(({ area }) => area === "firewall" || area === "inventory")

/** A step that providers make and see. */
const areaStep = (
  { name, plan, providers, region }: RegionState,
  title: string,
  areas: ReadonlyArray<RegionArea>,
  byHand: string
): Step => {
  if (typeof region === "string") return missing(title, "the inventory cannot be read", "see step 1")
  const makers = providers.filter((provider) => provider.areas.some((area) => areas.includes(area)))
  if (makers.length === 0) return person(title, "no provider of the region does it", byHand)
  if (typeof plan === "string") return missing(title, plan, "then check again")
  const names = new Set(makers.map((maker) => maker.name))
  const waiting = plan.waiting.find(({ provider }) => names.has(provider))
  if (waiting !== undefined) return missing(title, waiting.detail, `mcpdeploy region apply ${name}`)
  const conflict = plan.conflicts.find(({ provider }) => names.has(provider))
  if (conflict !== undefined) return missing(title, nameOf(conflict), conflict.detail)
  const changes = plan.changes.filter(({ area }) => areas.includes(area))
  return changes.length === 0
    ? done(title, `as wanted at ${list([...names])}`)
    : missing(
        title,
        list(changes.map((change) => `${change.action} ${nameOf(change)}`)),
        `mcpdeploy region apply ${name}${changes
          .filter(({ destructive }) => destructive)
          .map((change) => ` --allow "${nameOf(change)}"`)
          .join("")}`
      )
}

const loadBalancerStep = (state: RegionState): Step => {
  const title = "TCP load balancer, 80 and 443 to the run-pool"
  const { region } = state
  const byHand =
    "make one, with the run nodes as targets and TCP passed through; then set region_load_balancer"
  const step = areaStep(state, title, ["loadBalancer"], byHand)
  return step.state === "person" && typeof region !== "string" && region.loadBalancer !== undefined
    ? person(
        title,
        `made by hand, at ${region.loadBalancer.ipv4}`,
        "keep its targets in step with the run-pool"
      )
    : step
}

const firewallStep = (state: RegionState): Step => {
  const title = "Firewall: 80 and 443 from the load balancer and Cloudflare alone"
  const step = areaStep(
    { ...state, providers: [...state.providers, { name: "inventory", areas: ["inventory"], roles: [] }] },
    title,
    ["firewall", "inventory"],
    ""
  )
  if (step.state !== "done") return step
  const wrong = state.asked.filter(({ problem }) => problem !== undefined)
  return wrong.length === 0
    ? done(title, `as wanted on ${list(state.asked.map(({ name }) => name))}`)
    : missing(
        title,
        lines(wrong.map(({ name, problem }) => `${name} ${problem}`)),
        `ansible-playbook playbooks/site.yml -i ../regions/${state.name}/inventory/hosts.yml --tags firewall`
      )
}

const readmeStep = ({ readme }: RegionState): Step => {
  const title = "README: machines, network, topology, decisions"
  const parts = readme.split(/^## +/m)
  const lacking = sections.filter(
    (section) =>
      !parts.some((part) => part.startsWith(section) && part.split("\n").slice(1).join("").trim() !== "")
  )
  return lacking.length === 0
    ? done(title, list(sections))
    : missing(title, `README.md says nothing under ${list(lacking)}`, "write it")
}

/** The nine steps, in order. */
export const checklist = (state: RegionState): ReadonlyArray<CheckedStep> =>
  [
    directoryStep(state),
    providerRolesStep(state),
    agnosticRolesStep(state),
    areaStep(
      state,
      "Private network between the nodes",
      ["network"],
      "connect them, with the inventory's private_ip"
    ),
    loadBalancerStep(state),
    areaStep(
      state,
      "cname record to the load balancer",
      ["dns"],
      "point cname at the load balancer's address"
    ),
    areaStep(state, "Run nodes in Cloudflare's origin pool", ["origins"], "put the run nodes into the pool"),
    firewallStep(state),
    readmeStep(state)
  ].map((step, index) => ({ step: index + 1, ...step }))
