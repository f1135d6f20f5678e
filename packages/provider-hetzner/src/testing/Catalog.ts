/**
 * What the double sells. The CPX types of the first generation can no longer be ordered in Europe
 * (https://docs.hetzner.cloud/changelog#2025-10-16-server-types-deprecated); the API still lists them, for other locations.
 */
import type { Fields } from "@mcpdeploy/core/testing/Collection"
import type * as Schema from "effect/Schema"

interface TypeLocation extends Schema.JsonObject {
  readonly id: number
  readonly name: string
  readonly available: boolean
  readonly recommended: boolean
  readonly deprecation: { readonly announced: string; readonly unavailable_after: string } | null
}
export interface ServerType extends Schema.JsonObject {
  readonly id: number
  readonly name: string
  readonly architecture: "x86" | "arm"
  readonly locations: ReadonlyArray<TypeLocation>
}

const locations = ["fsn1", "nbg1", "hel1", "ash", "hil", "sin"]
export const europe = ["fsn1", "nbg1", "hel1"]

const price = (location: string) => ({
  location,
  price_hourly: { net: "0.0200000000", gross: "0.0238000000000000" },
  price_monthly: { net: "10.0000000000", gross: "11.9000000000000000" },
  included_traffic: 21990232555520,
  price_per_tb_traffic: { net: "1.0000000000", gross: "1.1900000000000000" }
})

/** `gone`: where it could be ordered until the end of 2025. */
const serverType = (
  id: number,
  name: string,
  cores: number,
  memory: number,
  sold: ReadonlyArray<string>,
  gone: ReadonlyArray<string> = []
): ServerType => ({
  id,
  name,
  description: name.toUpperCase(),
  category: name.startsWith("ccx") ? "General Purpose" : "Regular Performance",
  cores,
  memory,
  disk: cores * 40,
  storage_type: "local",
  cpu_type: name.startsWith("ccx") ? "dedicated" : "shared",
  architecture: name.startsWith("cax") ? "arm" : "x86",
  included_traffic: 0,
  deprecated: false,
  deprecation: null,
  prices: [...sold, ...gone].map(price),
  locations: [...sold, ...gone].map((location) => ({
    id: locations.indexOf(location) + 1,
    name: location,
    available: !gone.includes(location),
    recommended: !gone.includes(location),
    deprecation: gone.includes(location)
      ? { announced: "2025-10-16T06:00:00+00:00", unavailable_after: "2025-12-31T23:59:00+00:00" }
      : null
  }))
})

const image = (id: number, name: string, architecture: "x86" | "arm"): Fields => ({
  id,
  type: "system",
  status: "available",
  name,
  description: name,
  image_size: null,
  disk_size: 5,
  created: "2026-01-01T00:00:00+00:00",
  created_from: null,
  bound_to: null,
  os_flavor: "debian",
  os_version: name.split("-")[1] ?? null,
  architecture,
  rapid_deploy: true,
  protection: { delete: false },
  deprecated: null,
  deleted: null,
  labels: {}
})

const loadBalancerType = (id: number, name: string, targets: number): Fields => ({
  id,
  name,
  description: name.toUpperCase(),
  max_connections: 10_000,
  max_services: 5,
  max_targets: targets,
  max_assigned_certificates: 10,
  deprecated: null,
  deprecation: null,
  prices: locations.map(price)
})

export interface Catalog {
  readonly server_types: Array<ServerType>
  readonly load_balancer_types: Array<Fields>
  readonly images: Array<Fields>
}

export const makeCatalog = (): Catalog => ({
  server_types: [
    serverType(22, "cpx31", 4, 8, ["ash", "hil", "sin"], europe),
    serverType(45, "cax21", 4, 8, europe),
    serverType(96, "ccx13", 2, 8, locations),
    serverType(98, "ccx33", 8, 32, locations),
    serverType(109, "cpx22", 2, 4, europe),
    serverType(110, "cpx32", 4, 8, europe)
  ],
  load_balancer_types: [loadBalancerType(1, "lb11", 25), loadBalancerType(2, "lb21", 75)],
  images: (["x86", "arm"] as const).flatMap((architecture, index) => [
    image(114_690_387 + index, "debian-12", architecture),
    image(310_000_387 + index, "debian-13", architecture)
  ])
})
