/** NewRegion: the files of a region's new directory. What a person has to fill in is marked, and `region check` finds it. */
import type { RegionName } from "@mcpdeploy/core/region/Region"
import { hostsFile, variablesFile } from "@mcpdeploy/core/region/Region"

interface Layout {
  readonly name: RegionName
  readonly domain: string
  readonly provider: string
  /** Lines `region_…_version: …` of the region that this one is like. */
  readonly versions: ReadonlyArray<string>
}

const hetzner = `
hetzner:
  network:
    zone: eu-central
    # Cloud servers and the load balancer.
    cloud_subnet: 10.0.0.0/24
    # Dedicated servers, over the vSwitch.
    vswitch_subnet: 10.0.1.0/24
    vlan: 4000
  load_balancer: { type: lb11, location: fsn1 }

# Dedicated servers join over the vSwitch, whose first address is the vendor's router; Cloud servers have their private address from Hetzner.
private_network_vlan: "{{ hetzner.network.vlan if hetzner_robot is defined else 0 }}"
private_network_addresses: "{{ [private_ip ~ '/' ~ hetzner.network.vswitch_subnet.split('/')[1]] if hetzner_robot is defined else [] }}"
private_network_routes: "{{ [{'to': region_private_range, 'via': hetzner.network.vswitch_subnet | regex_replace('[.]0/[0-9]+$', '.1')}] if hetzner_robot is defined else [] }}"
`

const hosts = (layout: Layout): string => `---
# The one list of the region's nodes and pools. The address is of a range for documentation (RFC 5737).
all:
  children:
    k3s_cluster:
      children:
        ctrl:
          hosts:
            ctrl-1:
              ansible_host: 192.0.2.1
              private_ip: 10.0.0.10
${layout.provider === "hetzner" ? "              hetzner_cloud: { server_type: cpx31, location: fsn1 }\n" : ""}        ops:
          hosts: {}
        build_pool:
          hosts: {}
        run_pool:
          hosts: {}
`

const variables = ({ domain, name, provider, versions }: Layout): string => `---
region_name: ${name}
region_domain: ${domain}
region_directory: "{{ inventory_dir }}/.."
ansible_user: root
ansible_ssh_common_args: -o UserKnownHostsFile={{ region_directory }}/known_hosts -o StrictHostKeyChecking=yes
# Vendors, in the order in which they are applied: Cloudflare needs the load balancer's address.${provider === "hetzner" ? "\n# With dedicated servers: [hetzner-robot, hetzner, cloudflare]." : ""}
region_providers: [${provider === "none" ? "" : `${provider}, `}cloudflare]
${
  provider === "hetzner"
    ? ""
    : "# The addresses of the TCP load balancer, which the provider's API does not tell.\n# region_load_balancer: { ipv4: 192.0.2.5 }\n"
}
region_private_range: 10.0.0.0/16
# IPv4, as the private network: k3s wants pods, services and nodes to be of the same families.
region_pod_ranges: [10.42.0.0/16]
region_service_ranges: [10.43.0.0/16]
# Who may reach SSH.
region_admin_ranges: [192.0.2.0/24]
# Public keys of administrators, as in ~/.ssh/id_ed25519.pub.
region_ssh_keys: []
# Of the Service deployer-server (k8s/deployer/server.yaml).
region_webhook_address: 10.43.0.80
${provider === "hetzner" ? hetzner : ""}
cloudflare:
  zone: ${domain}
  steering: "off"
  # With a second region: the host of custom domains is a load balancer too.
  customDomains: steered

${versions.join("\n")}

# restic's own: s3:https://host/bucket/path, sftp:user@host:/path
region_backup_repository: s3:https://backups.example.com/mcpdeploy/${name}
region_temporal_address: ${name}.example.com:7233
region_temporal_namespace: default
`

const processes = ({ domain }: Layout): string => `{
  "cluster": {
    "platformDomain": "${domain}",
    "domains": { "issuer": "letsencrypt-prod", "cnameTarget": "cname.${domain}", "loadBalancerAddresses": [] }
  },
  "buildkit": {
    "address": "tcp://10.0.0.30:1234",
    "tls": {
      "ca": "/etc/mcpdeploy/files/buildkit-ca.crt",
      "certificate": "/etc/mcpdeploy/files/buildkit.crt",
      "key": "/etc/mcpdeploy/files/buildkit.key"
    }
  },
  "registry": { "endpoint": "https://registry.internal:5000" },
  "git": { "privateHosts": ["gitea.internal:3000"], "privateCaFile": "/etc/mcpdeploy/region/region-ca.crt" },
  "gitea": {
    "url": "https://gitea.internal:3000",
    "token": "env:GITEA_TOKEN",
    "webhookUrl": "http://deployer-server.internal:8080/webhooks/gitea",
    "webhookSecret": "env:GITEA_WEBHOOK_SECRET"
  }
}
`

const readme = ({ name }: Layout): string => `# ${name}

## Machines

## Network

## Topology

## Decisions
`

/** What a new region has from the one that it is like, unchanged. */
export const likewise = [
  "k8s",
  "inventory/group_vars/build_pool.yml",
  "inventory/group_vars/ops.yml",
  "inventory/group_vars/vault.example.yml"
]

/** The versions that a region's variables name, and the checksums that pin them. */
export const versionsOf = (variablesText: string): ReadonlyArray<string> =>
  variablesText.split("\n").filter((line) => /^region_\w+_(version|checksum): /.test(line))

/** Path in the new directory, and text; {@link likewise} has the rest. */
export const newRegionFiles = (layout: Layout): ReadonlyArray<readonly [path: string, text: string]> => [
  [hostsFile, hosts(layout)],
  [variablesFile, variables(layout)],
  ["region.json", processes(layout)],
  [
    "known_hosts",
    "# ssh-keyscan's lines, once their fingerprints were compared at the provider's console.\n"
  ],
  ["README.md", readme(layout)]
]
