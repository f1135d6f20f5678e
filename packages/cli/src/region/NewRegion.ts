/**
 * NewRegion: the files of a region's new directory, after those of one that is there. What only a person knows is an example or
 * `fill-in`, and `region check` finds it.
 */
import type { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { hostsFile, type RegionName, variablesFile } from "@mcpdeploy/core/region/Region"
import { vswitchZone } from "@mcpdeploy/provider-hetzner/HetznerSettings"
import type { RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { admissionFile } from "@mcpdeploy/provider-k3s/manifests/AdmissionFile"
import { type Document, isScalar, parseDocument } from "yaml"
import { fillIn } from "./Placeholders.ts"

/** Whose API makes network and load balancer; undefined: a person does. */
export type Vendor =
  | { readonly name: "hetzner"; readonly location: string; readonly zone: string }
  | undefined

export interface Layout {
  readonly name: RegionName
  readonly domain: PlatformDomain
  readonly vendor: Vendor
}

/** The region that the new one is like. */
export interface Likeness {
  readonly name: string
  readonly domain: PlatformDomain
  /** Text of its variables. */
  readonly variables: string
  readonly processes: RegionFile
}

/** Folders and files that a new region has from the one that it is like, with its own name and domain in them. */
export const likewise = ["k8s", "inventory/group_vars/build_pool.yml", "inventory/group_vars/ops.yml"]
export const vaultExample = "inventory/group_vars/vault.example.yml"

/** Made of the domain, not copied. */
const admission = "k8s/admission.yaml"

const buildAddress = "10.0.0.30"
const poolsOfNodes = [
  ["ctrl", "ctrl-1", 10],
  ["ops", "ops-1", 20],
  ["build_pool", "build-1", 30],
  ["run_pool", "run-1", 41]
] as const

const hosts = ({ vendor }: Layout): string =>
  [
    "---",
    "# The one list of the region's nodes and pools: Ansible, `mcpdeploy region` and the firewall read it.",
    "# The addresses here are of the ranges for documentation (RFC 5737): put in those of the machines.",
    ...(vendor?.zone === vswitchZone
      ? [
          "# A dedicated server has `hetzner_robot: { server_number: 1 }` instead, and a private_ip of hetzner.network.vswitch_subnet."
        ]
      : []),
    "all:",
    "  children:",
    "    k3s_cluster:",
    "      children:",
    ...poolsOfNodes.flatMap(([pool, name, number]) => [
      `        ${pool}:`,
      "          hosts:",
      `            ${name}:`,
      `              ansible_host: 192.0.2.${number}`,
      `              private_ip: 10.0.0.${number}`,
      ...(vendor === undefined
        ? []
        : [`              hetzner_cloud: { server_type: ${fillIn}, location: ${vendor.location} }`])
    ]),
    ""
  ].join("\n")

const hetznerSettings = ({ location, zone }: NonNullable<Vendor>) => ({
  network: {
    zone,
    cloud_subnet: "10.0.0.0/24",
    ...(zone === vswitchZone ? { vswitch_subnet: "10.0.1.0/24", vlan: 4000 } : {})
  },
  load_balancer: { type: "lb11", location }
})

/** Variables of one vendor, which a region without it does not have. */
const hetznerVariables = [
  "hetzner",
  "private_network_vlan",
  "private_network_addresses",
  "private_network_routes"
]

const commented = (document: Document.Parsed, key: string, text: string): void => {
  const map = document.contents
  if (map === null || !("items" in map)) return
  for (const item of map.items) {
    const name = typeof item === "object" && "key" in item ? item.key : undefined
    if (isScalar(name) && name.value === key) name.commentBefore = ` ${text}`
  }
}

const variables = (layout: Layout, like: Likeness): string => {
  const { domain, name, vendor } = layout
  const document = parseDocument(renamed(like.variables, layout, like))
  const set = (key: string, value: unknown) => {
    document.set(key, document.createNode(value, { flow: true }))
  }
  set("region_name", name)
  set("region_domain", domain)
  set("region_providers", vendor === undefined ? ["cloudflare"] : [vendor.name, "cloudflare"])
  commented(
    document,
    "region_providers",
    vendor === undefined
      ? "Vendors, in the order in which they are applied. Cloudflare needs the load balancer's address, which no API tells:\n region_load_balancer: { ipv4: … }"
      : "Vendors, in the order in which they are applied: Cloudflare needs the load balancer's address."
  )
  document.delete("region_load_balancer")
  set("region_admin_ranges", ["192.0.2.0/24"])
  set("region_ssh_keys", [])
  set("region_backup_repository", `s3:https://backups.example.com/mcpdeploy/${name}`)
  set("region_temporal_address", `${name}.example.com:7233`)
  set("region_temporal_namespace", fillIn)
  set("cloudflare", {
    zone: domain,
    steering: "off",
    // A second region of the domain: the host of custom domains is a load balancer in both.
    ...(domain === like.domain ? { customDomains: "steered" } : {})
  })
  if (vendor?.zone !== vswitchZone) for (const key of hetznerVariables) document.delete(key)
  if (vendor !== undefined) document.set("hetzner", document.createNode(hetznerSettings(vendor)))
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}

const processes = (layout: Layout, { processes: like }: Likeness): string => {
  const file: RegionFile = {
    ...like,
    cluster: {
      ...like.cluster,
      platformDomain: layout.domain,
      ...(like.cluster.domains === undefined
        ? {}
        : {
            domains: {
              ...like.cluster.domains,
              cnameTarget: `cname.${layout.domain}`,
              loadBalancerAddresses: []
            }
          })
    },
    buildkit: { ...like.buildkit, address: `tcp://${buildAddress}:1234` }
  }
  return `${JSON.stringify(file, undefined, 2)}\n`
}

const readme = ({ name }: Layout): string => `# ${name}

## Machines

## Network

## Topology

## Decisions
`

const word = (text: string): RegExp =>
  new RegExp(`(?<![\\w-])${text.replaceAll(/[.[\]]/g, (sign) => `\\${sign}`)}(?![\\w/-])`, "g")

/** A text of the one that it is like, with the new region's name and domain: also where the domain stands in a pattern. */
export const renamed = (text: string, layout: Layout, like: Pick<Likeness, "name" | "domain">): string =>
  (
    [
      [like.domain, layout.domain],
      [like.domain.replaceAll(".", "[.]"), layout.domain.replaceAll(".", "[.]")],
      [like.name, layout.name]
    ] as const
  ).reduce((all, [from, to]) => all.replaceAll(word(from), () => to), text)

/** The example of a vault, without the secrets of vendors that the region has not. */
export const vaultOf = (text: string, { vendor }: Layout): string =>
  text
    .split("\n")
    .filter((line) => vendor?.zone === vswitchZone || !line.startsWith("vault_hetzner_robot_"))
    .filter((line) => vendor !== undefined || !line.startsWith("vault_hcloud_"))
    .join("\n")

/** Path in the new directory, and text. They are written over what is there {@link likewise}. */
export const newRegionFiles = (
  layout: Layout,
  like: Likeness
): ReadonlyArray<readonly [path: string, text: string]> => [
  [hostsFile, hosts(layout)],
  [variablesFile, variables(layout, like)],
  ["region.json", processes(layout, like)],
  [admission, admissionFile(layout.domain)],
  [
    "known_hosts",
    "# ssh-keyscan's lines, once their fingerprints were compared at the provider's console. Ansible trusts no other key.\n"
  ],
  ["README.md", readme(layout)]
]
