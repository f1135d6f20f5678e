/**
 * Who reaches whom: the product's table, our evaluator and Cyclonus' analysis have to agree on every cell. Cyclonus is
 * found by `MCPDEPLOY_TEST_CYCLONUS` or on PATH (`node packages/local-region/src/main.ts tool cyclonus` builds it).
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { isIPv6 } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { networkPolicies } from "../src/manifests/NetworkPolicies.ts"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { edges, ownCidrs, promised } from "./support/IsolationTable.ts"
import { type Endpoint, isAllowed, Policy, type Traffic } from "./support/PolicyEvaluator.ts"
import { region, targetOf } from "./support/Sample.ts"
import { titled } from "./support/TestCluster.ts"

const tenants = [targetOf("user1", "project1", "web").owner, targetOf("user2", "project1", "web").owner]
const [ours, theirs] = tenants.map(({ namespace }) => namespace)
const config = new RegionConfig({ ...region, clusterCidrs: ownCidrs })
const objects = tenants.flatMap((owner) => networkPolicies(owner, config))
const policies = Schema.decodeUnknownSync(Schema.Array(Policy))(JSON.parse(JSON.stringify(objects)))

const podLabels: ReadonlyArray<
  readonly [name: string, namespace: string, labels: Readonly<Record<string, string>>]
> = [
  ["web", ours ?? "", { "mcpdeploy.dev/service": "web" }],
  ["database", ours ?? "", { "mcpdeploy.dev/service": "database" }],
  ["neighbour", theirs ?? "", { "mcpdeploy.dev/service": "web" }],
  ["neighbour that calls itself Traefik", theirs ?? "", { "app.kubernetes.io/name": "traefik" }],
  ["neighbour that calls itself DNS", theirs ?? "", { "k8s-app": "kube-dns" }],
  ["Traefik", "dp-system", { "app.kubernetes.io/name": "traefik" }],
  ["registry", "dp-system", { "app.kubernetes.io/name": "registry" }],
  ["DNS", "kube-system", { "k8s-app": "kube-dns" }],
  ["Traefik of another namespace", "kube-system", { "app.kubernetes.io/name": "traefik" }],
  ["other", "default", { "k8s-app": "kube-dns" }]
]
const pods = podLabels.flatMap(([name, namespace, labels], index): ReadonlyArray<Endpoint> =>
  [`10.42.0.${index + 10}`, `fd42::${index + 10}`].map((address) => ({
    name,
    address,
    pod: { namespace, labels }
  }))
)
/** Without mapped addresses (`::ffff:10.0.0.1`): Node and Go take them for IPv4. */
const outside = [
  ...edges,
  ...["169.254.169.254", "10.43.0.1", "10.43.0.10", "1.1.1.1", "140.82.121.4", "95.216.10.7"],
  ...["fd00:ec2::254", "::1", "64:ff9b::a00:1", "2606:4700::1111", "2001:4860:4860::8888"]
].map((address): Endpoint => ({ name: address, address }))

const ports = [22, 25, 53, 80, 443, 5000, 5432, 6443, 9153, 10_250]
const sockets = [
  ...ports.flatMap((port) => [
    { port, protocol: "TCP" as const },
    { port, protocol: "UDP" as const }
  ]),
  { port: 53, protocol: "SCTP" as const }
]

/** Every pair of one family in which a pod takes part, on every port. */
const matrix: ReadonlyArray<Traffic> = [...pods, ...outside].flatMap((source) =>
  [...pods, ...outside]
    .filter(
      (destination) =>
        (source.pod !== undefined || destination.pod !== undefined) &&
        isIPv6(source.address) === isIPv6(destination.address)
    )
    .flatMap((destination) => sockets.map((socket) => ({ source, destination, ...socket })))
)
const cell = ({ destination, port, protocol, source }: Traffic): string =>
  `${source.name} (${source.address}) to ${destination.name} (${destination.address}) ${protocol} ${port}`

const wrong = (verdicts: ReadonlyArray<boolean>): ReadonlyArray<string> =>
  matrix.flatMap((traffic, index) =>
    verdicts[index] === promised(traffic) ? [] : [`${cell(traffic)}: ${String(verdicts[index])}`]
  )

const program =
  process.env["MCPDEPLOY_TEST_CYCLONUS"] ??
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "cyclonus"))
    .find((path) => existsSync(path))

const peerOf = ({ address, pod }: Endpoint) => ({
  IP: address,
  ...(pod === undefined
    ? {}
    : {
        Internal: {
          PodLabels: pod.labels,
          NamespaceLabels: { "kubernetes.io/metadata.name": pod.namespace },
          Namespace: pod.namespace
        }
      })
})

const askCyclonus = (path: string): ReadonlyArray<boolean> => {
  const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-cyclonus-"))
  try {
    writeFileSync(
      join(folder, "policies.yaml"),
      JSON.stringify({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicyList", items: objects })
    )
    const traffic = matrix.map(({ destination, port, protocol, source }) => ({
      Source: peerOf(source),
      Destination: peerOf(destination),
      Protocol: protocol,
      ResolvedPort: port,
      ResolvedPortName: ""
    }))
    writeFileSync(join(folder, "traffic.json"), JSON.stringify(traffic))
    const output = execFileSync(
      path,
      [
        ...["analyze", "--mode", "query-traffic", "--policy-path", join(folder, "policies.yaml")],
        ...["--traffic-path", join(folder, "traffic.json")]
      ],
      { encoding: "utf8", maxBuffer: 1024 ** 3, timeout: 120_000 }
    )
    return [...output.matchAll(/IS ALLOWED\? *\| *(TRUE|FALSE)/gi)].map(
      ([, verdict]) => verdict?.toLowerCase() === "true"
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe("isolation", () => {
  it("is what the product promises, on every cell, by our evaluator", () => {
    assert.deepStrictEqual(wrong(matrix.map((traffic) => isAllowed(policies, traffic))), [])
    for (const verdict of [true, false])
      assert.isAbove(matrix.filter((traffic) => promised(traffic) === verdict).length, 1_000)
  })

  it.skipIf(program === undefined)(
    titled("is the same on every cell by Cyclonus", program !== undefined, "MCPDEPLOY_TEST_CYCLONUS"),
    () => {
      const verdicts = askCyclonus(program ?? "")
      assert.lengthOf(verdicts, matrix.length)
      assert.deepStrictEqual(wrong(verdicts), [])
    }
  )

  it("needs both allowing policies; each denies the rest of its direction by itself", () => {
    for (const removed of ["deny-all", "allow-ingress", "allow-egress"]) {
      const rest = policies.filter(({ metadata }) => metadata.name !== removed)
      const differs = wrong(matrix.map((traffic) => isAllowed(rest, traffic))).length
      if (removed === "deny-all") assert.strictEqual(differs, 0)
      else assert.isAbove(differs, 0)
    }
  })
})
