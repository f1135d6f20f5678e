/** What the firewall lets through, as a table: from the platform's rules, not from the ruleset. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Lab from "../lab/Lab.ts"
import * as Topology from "./Topology.ts"

const { internet, node, pods, services, sources } = Topology
export type Source = keyof typeof sources

export const families = [0, 1] as const
export const protocols = ["tcp", "udp"] as const

/** Who reaches which port of a run node. Whoever is not named does not. */
const open: Record<string, ReadonlyArray<Source>> = {
  "22 tcp": ["admin"],
  "80 tcp": ["load balancer", "Cloudflare"],
  "443 tcp": ["load balancer", "Cloudflare"]
}
/** Between nodes all but SSH and the web's ports. */
const closedBetweenNodes = ["22 tcp", "80 tcp", "443 tcp"]

export const isOpen = (source: Source, service: string): boolean =>
  open[service]?.includes(source) === true ||
  (source === "another node" && !closedBetweenNodes.includes(service))

const everybody: ReadonlyArray<Source> = [
  "stranger",
  "admin",
  "load balancer",
  "Cloudflare",
  "another node",
  "a machine that is no node"
]
const inside: ReadonlyArray<Source> = ["another node", "a machine that is no node"]

export interface Case extends Lab.Probe {
  readonly name: string
  readonly expected: boolean
}

/** Every source × port × protocol × family. */
export const arriving = (expected: (source: Source, service: string) => boolean): ReadonlyArray<Case> =>
  everybody.flatMap((source) =>
    [...Topology.nodePorts, ...Topology.translated].flatMap((port) =>
      protocols.flatMap((protocol) =>
        families.map((family) => ({
          name: `${source} → ${port} ${protocol} v${family === 0 ? 4 : 6}`,
          protocol,
          port,
          from: sources[source][family],
          to: (inside.includes(source) ? node.private : node.public)[family],
          expected: expected(source, `${port} ${protocol}`)
        }))
      )
    )
  )

const allOf = (
  port: number,
  to: readonly [string, string],
  expected: boolean,
  name: string,
  from: readonly [string, string]
) =>
  protocols.flatMap((protocol) =>
    families.map((family) => ({
      name: `${name} ${port} ${protocol} v${family === 0 ? 4 : 6}`,
      protocol,
      port,
      from: from[family],
      to: to[family],
      expected
    }))
  )

export const fromPod = (port: number, to: readonly [string, string], expected: boolean, name: string) =>
  allOf(port, to, expected, `pod → ${name}`, pods.pod)

export const mail = [25, 465, 587]

export const leaving: ReadonlyArray<Case> = [
  ...mail.flatMap((port) => fromPod(port, internet.server, false, "internet")),
  ...[80, 443].flatMap((port) => fromPod(port, internet.server, true, "internet")),
  ...[internet.metadata, internet.private, internet.carrier, sources["another node"]].flatMap((to) =>
    [22, 25, 80, 6443, 10250].flatMap((port) => fromPod(port, to, false, to[0]))
  ),
  ...Object.values(node).flatMap((to) =>
    [...Topology.nodePorts, ...Topology.translated].flatMap((port) =>
      fromPod(port, to, false, "its own node")
    )
  ),
  ...Topology.podPorts.flatMap((port) => fromPod(port, pods.neighbour, true, "another pod")),
  // By a service's address: network policies decide.
  ...fromPod(443, services.api, true, "API server's service").filter(({ protocol }) => protocol === "tcp"),
  ...fromPod(53, services.dns, true, "DNS's service").filter(({ protocol }) => protocol === "udp"),
  ...fromPod(80, services.absent, false, "a service that is not there")
]

export const fromNode: ReadonlyArray<Case> = [
  ...mail.flatMap((port) => allOf(port, internet.server, false, "node → internet", node.public)),
  ...[80, 443].flatMap((port) => allOf(port, internet.server, true, "node → internet", node.public)),
  ...allOf(80, internet.metadata, true, "node → metadata", node.public),
  ...allOf(10250, sources["another node"], true, "node → another node", node.private),
  ...allOf(25, pods.pod, true, "node → pod", node.bridge)
]

/** What leaves the node towards ports that are asked for, when a pod sends all of `leaving`. */
export const leftBehind = families.flatMap((family) => [
  ...["80", "443"].flatMap((port) =>
    protocols.map((protocol) => `${internet.server[family]} ${protocol} ${port}`)
  ),
  `${sources["another node"][family]} tcp 6443`
])

/** The cases whose outcome is not the expected one. */
export const wrong = Effect.fn("wrong")(function* (
  lab: Lab.Lab,
  namespace: string,
  cases: ReadonlyArray<Case>
) {
  const answers = yield* lab.probe(namespace, cases)
  assert.strictEqual(answers.length, cases.length)
  return cases.flatMap(({ expected, name }, index) =>
    answers[index] === expected ? [] : [`${name}: ${expected ? "closed" : "open"}`]
  )
})

export const wrongArriving = Effect.fn("wrongArriving")(function* (lab: Lab.Lab, cases: ReadonlyArray<Case>) {
  const isInside = ({ from }: Case) => inside.some((source) => sources[source].some((each) => each === from))
  const parts = yield* Effect.all(
    [
      wrong(
        lab,
        "internet",
        cases.filter((each) => !isInside(each))
      ),
      wrong(lab, "private", cases.filter(isInside))
    ],
    { concurrency: "unbounded" }
  )
  return parts.flat()
})
