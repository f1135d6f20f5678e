/** What the region's files say, as a pure function of its directory. */
import { Ipv4 } from "@mcpdeploy/core/region/Address"
import type { Region } from "@mcpdeploy/core/region/Region"
import * as Schema from "effect/Schema"

/** `plain` in the region's variables. */
export const PlainSettings = Schema.Struct({
  /** Where the files are written; a path unit of systemd reloads HAProxy and the name server when one changes. */
  folder: Schema.String,
  /** The public address of the machine that HAProxy runs on. */
  load_balancer: Ipv4
})
export type PlainSettings = typeof PlainSettings.Type

export interface PlainFile {
  readonly name: string
  readonly area: "loadBalancer" | "dns"
  readonly text: string
}

const head = "Written by `mcpdeploy region apply`. Do not edit."

/** TCP passed through to the run nodes: Traefik ends TLS, and answers the certificate authority on port 80. */
const haproxy = (region: Region): string => {
  const nodes = region.nodes.filter(({ pool }) => pool === "run_pool")
  const listen = (port: number) =>
    [
      `listen port-${port}`,
      `  bind :${port}`,
      ...nodes.map((node) => `  server ${node.name} ${node.privateAddress}:${port} check inter 15s`)
    ].join("\n")
  return `# ${head}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h

${[80, 443].map(listen).join("\n\n")}
`
}

/** To be included in the zone of the platform's domain. */
const zone = (region: Region, { load_balancer }: PlainSettings): string => `; ${head}
cname.${region.domain}. 300 IN A ${load_balancer}
*.${region.domain}. 300 IN A ${load_balancer}
`

export const filesOf = (region: Region, settings: PlainSettings): ReadonlyArray<PlainFile> => [
  { name: "haproxy.cfg", area: "loadBalancer", text: haproxy(region) },
  { name: "records.zone", area: "dns", text: zone(region, settings) }
]
