/**
 * Region: what a region's directory says. Its Ansible inventory is the one list of nodes and pools:
 * `inventory/hosts.yml` and `inventory/group_vars/all/main.yml`.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { PlatformDomain } from "../domain/PlatformHost.ts"
import { type FileProblem, readYaml, type YamlFile, YamlFileInvalid } from "../YamlFile.ts"
import { doOverlap, IpRange, Ipv4, Ipv6, isInRange } from "./Address.ts"

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** One DNS label (RFC 1123), such as `eu-central-1`. */
export const RegionName = Schema.String.pipe(
  Schema.check(Schema.isPattern(label, { expected: "a name such as eu-central-1" })),
  Schema.brand("RegionName")
)
export type RegionName = typeof RegionName.Type

/** One DNS label: it is the machine's host name and its name in the cluster. */
export const NodeName = Schema.String.pipe(
  Schema.check(Schema.isPattern(label, { expected: "a host name such as run-1" })),
  Schema.brand("NodeName")
)
export type NodeName = typeof NodeName.Type

/** Groups of the inventory. In the cluster a pool's name has a hyphen: `build-pool`, `run-pool`. */
export const pools = ["ctrl", "ops", "build_pool", "run_pool"] as const
/** What a node is for. */
export type Pool = (typeof pools)[number]

const Host = Schema.StructWithRest(
  Schema.Struct({
    /** Its public address, at which Ansible reaches it. */
    ansible_host: Ipv4,
    public_ipv6: Schema.optionalKey(Ipv6),
    /** Its address in the region's private network. */
    private_ip: Ipv4
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)

const Group = Schema.Struct({ hosts: Schema.Record(Schema.String, Host) })

const HostsFile = Schema.Struct({
  all: Schema.Struct({
    children: Schema.Struct({
      k3s_cluster: Schema.Struct({
        children: Schema.Struct({ ctrl: Group, ops: Group, build_pool: Group, run_pool: Group })
      })
    })
  })
})

/** A line of `~/.ssh/id_ed25519.pub` (sshd(8), "AUTHORIZED_KEYS FILE FORMAT", without options). */
const SshPublicKey = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\n]*)?$/, {
      expected: "a public key: ssh-ed25519 AAAA… name"
    })
  )
)

const Variables = Schema.StructWithRest(
  Schema.Struct({
    region_name: RegionName,
    region_domain: PlatformDomain,
    /** Vendors, in the order in which they are applied. */
    region_providers: Schema.Array(Schema.String),
    /** Where no vendor's API tells it: the addresses of the TCP load balancer. */
    region_load_balancer: Schema.optionalKey(Schema.Struct({ ipv4: Ipv4, ipv6: Schema.optionalKey(Ipv6) })),
    region_private_range: IpRange,
    region_pod_ranges: Schema.Array(IpRange),
    region_service_ranges: Schema.Array(IpRange),
    /** Whom Ansible logs in as. */
    ansible_user: Schema.optionalKey(Schema.NonEmptyString),
    /** Who may reach SSH. */
    region_admin_ranges: Schema.Array(IpRange),
    /** Administrators' public keys. */
    region_ssh_keys: Schema.optionalKey(Schema.Array(SshPublicKey))
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)

/** A machine of the inventory. */
export interface RegionNode {
  readonly name: NodeName
  readonly pool: Pool
  readonly address: Ipv4
  readonly ipv6: Ipv6 | undefined
  readonly privateAddress: Ipv4
  /** What a provider wants to know of it, such as `hetzner_cloud`; undefined where the inventory says nothing. */
  readonly settings: <A, I>(
    key: string,
    schema: Schema.Codec<A, I>
  ) => Effect.Effect<A | undefined, YamlFileInvalid>
}

/** A region's directory, decoded. */
export interface Region {
  readonly name: RegionName
  readonly domain: PlatformDomain
  readonly providers: ReadonlyArray<string>
  /** In the inventory's order. */
  readonly nodes: ReadonlyArray<RegionNode>
  readonly loadBalancer: { readonly ipv4: Ipv4; readonly ipv6?: Ipv6 } | undefined
  readonly privateRange: IpRange
  readonly podRanges: ReadonlyArray<IpRange>
  readonly serviceRanges: ReadonlyArray<IpRange>
  readonly adminRanges: ReadonlyArray<IpRange>
  /** Administrators' public keys. */
  readonly sshKeys: ReadonlyArray<string>
  /** Whom Ansible logs in as. */
  readonly loginUser: string
  /** What a provider wants to know of the region, under its own key. Missing: an error that says so. */
  readonly settings: <A, I>(key: string, schema: Schema.Codec<A, I>) => Effect.Effect<A, YamlFileInvalid>
}

/** The inventory's hosts, in a region's directory. */
export const hostsFile = "inventory/hosts.yml"
/** The variables of all hosts, in a region's directory. */
export const variablesFile = "inventory/group_vars/all/main.yml"

const root = ["all", "children", "k3s_cluster", "children"]
const fieldOf = ({ name, pool }: { readonly name: string; readonly pool: Pool }, key: string) => [
  ...root,
  pool,
  "hosts",
  name,
  key
]

/** What each field alone cannot show: two nodes with one address, one outside of the private network, no node that must be there. */
const problemsOf = (
  file: YamlFile,
  nodes: ReadonlyArray<RegionNode>,
  privateRange: IpRange
): ReadonlyArray<FileProblem> => {
  const seen = new Map<string, string>()
  const taken = (node: RegionNode, kind: string, value: string | undefined, key: string) => {
    if (value === undefined) return []
    const before = seen.get(`${kind} ${value}`)
    seen.set(`${kind} ${value}`, node.name)
    return before === undefined ? [] : [file.problem(fieldOf(node, key), `${before} has ${value} already`)]
  }
  return [
    ...pools
      .filter((pool) => !nodes.some((node) => node.pool === pool))
      .map((pool) => file.problem([...root, pool], "a region needs at least one node in every pool")),
    ...nodes.flatMap((node) => [
      ...taken(node, "name", node.name, "ansible_host"),
      ...taken(node, "public", node.address, "ansible_host"),
      ...taken(node, "ipv6", node.ipv6, "public_ipv6"),
      ...taken(node, "private", node.privateAddress, "private_ip"),
      ...(isInRange(node.privateAddress, privateRange)
        ? []
        : [file.problem(fieldOf(node, "private_ip"), `it is not in region_private_range ${privateRange}`)])
    ])
  ]
}

/** Ranges that are not apart: an address would be two things at once. */
const rangeProblems = (file: YamlFile, said: typeof Variables.Type): ReadonlyArray<FileProblem> => {
  const named = [
    { key: "region_private_range", range: said.region_private_range },
    ...said.region_pod_ranges.map((range) => ({ key: "region_pod_ranges", range })),
    ...said.region_service_ranges.map((range) => ({ key: "region_service_ranges", range }))
  ]
  return named.flatMap(({ key, range }, index) =>
    named
      .slice(0, index)
      .filter((before) => doOverlap(before.range, range))
      .map((before) => file.problem([key], `${range} overlaps with ${before.range} of ${before.key}`))
  )
}

/** Reads a region's directory. */
export const readRegion = Effect.fn("readRegion")(function* (directory: string) {
  const path = yield* Path.Path
  const variables = yield* readYaml(path.join(directory, variablesFile))
  const hosts = yield* readYaml(path.join(directory, hostsFile))
  const said = yield* variables.decode(Variables)
  const overlaps = rangeProblems(variables, said)
  if (overlaps.length > 0) return yield* new YamlFileInvalid({ path: variables.path, problems: overlaps })
  const groups = (yield* hosts.decode(HostsFile)).all.children.k3s_cluster.children
  const nameless = pools.flatMap((pool) =>
    Object.keys(groups[pool].hosts)
      .filter((key) => !Schema.is(NodeName)(key))
      .map((name) => hosts.problem([...root, pool, "hosts", name], "a host name such as run-1 is needed"))
  )
  if (nameless.length > 0) return yield* new YamlFileInvalid({ path: hosts.path, problems: nameless })
  const nodes = pools.flatMap((pool) =>
    Object.entries(groups[pool].hosts).map(([key, host]): RegionNode => {
      const name = NodeName.make(key)
      return {
        name,
        pool,
        address: host.ansible_host,
        ipv6: host.public_ipv6,
        privateAddress: host.private_ip,
        settings: (of, schema) => {
          const at = fieldOf({ name, pool }, of)
          return hosts.has(at) ? hosts.decode(schema, at) : Effect.undefined
        }
      }
    })
  )
  const problems = problemsOf(hosts, nodes, said.region_private_range)
  if (problems.length > 0) return yield* new YamlFileInvalid({ path: hosts.path, problems })
  const folder = path.basename(path.resolve(directory))
  if (said.region_name !== folder) {
    return yield* new YamlFileInvalid({
      path: variables.path,
      problems: [variables.problem(["region_name"], `the region's directory is called ${folder}`)]
    })
  }
  return {
    name: said.region_name,
    domain: said.region_domain,
    providers: said.region_providers,
    nodes,
    loadBalancer: said.region_load_balancer,
    privateRange: said.region_private_range,
    podRanges: said.region_pod_ranges,
    serviceRanges: said.region_service_ranges,
    adminRanges: said.region_admin_ranges,
    sshKeys: said.region_ssh_keys ?? [],
    loginUser: said.ansible_user ?? "root",
    settings: (key, schema) => variables.decode(schema, [key])
  } satisfies Region
})
