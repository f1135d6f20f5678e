import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { amountOf, memoryQuantity, resourcesOf } from "../src/manifests/Quantity.ts"
import { RegionConfig } from "../src/RegionConfig.ts"
import { type Node, roomOnNodes, type RuntimeClass, type TakenPod } from "../src/workload/Room.ts"
import { region } from "./support/Sample.ts"

const run = { "mcpdeploy.io/pool": "run" }
const runtimeClass: RuntimeClass = { scheduling: { nodeSelector: run } }

const node = (
  name: string,
  {
    allocatable,
    labels = run,
    ...spec
  }: Partial<Node["spec"]> & {
    readonly allocatable?: Readonly<Record<string, string>>
    readonly labels?: Readonly<Record<string, string>>
  } = {}
): Node => ({
  metadata: { name, labels },
  spec,
  status: { allocatable: { cpu: "2", memory: "8Gi", pods: "110", ...allocatable } }
})

const pod = (nodeName: string, cpu: string, memory: string): TakenPod => ({
  spec: { nodeName, containers: [{ resources: { requests: { cpu, memory } } }] }
})

const size = { cpu: 0.1, memory: amountOf("512Mi") }

describe("the room that is left", () => {
  it("is what the scarcest of CPU, memory and pods has left", () => {
    assert.strictEqual(roomOnNodes([node("a")], [], runtimeClass, size), 16)
    assert.strictEqual(
      roomOnNodes([node("a", { allocatable: { memory: "64Gi" } })], [], runtimeClass, size),
      20
    )
    assert.strictEqual(roomOnNodes([node("a", { allocatable: { pods: "3" } })], [], runtimeClass, size), 3)
    const taken = [pod("a", "1500m", "1Gi"), pod("elsewhere", "2", "8Gi")]
    assert.strictEqual(roomOnNodes([node("a")], taken, runtimeClass, size), 5)
    assert.strictEqual(roomOnNodes([node("a")], [pod("a", "3", "1Gi")], runtimeClass, size), 0)
  })

  it("counts the sandbox of each pod, and that of the pods that are there", () => {
    const withOverhead: RuntimeClass = {
      ...runtimeClass,
      overhead: { podFixed: { cpu: "100m", memory: "0" } }
    }
    assert.strictEqual(roomOnNodes([node("a")], [], withOverhead, size), 10)
    const there = { spec: { ...pod("a", "900m", "0").spec, overhead: { cpu: "100m" } } }
    assert.strictEqual(roomOnNodes([node("a")], [there], withOverhead, size), 5)
  })

  it("is only on nodes that take customers' pods", () => {
    const taint = { key: "dedicated", value: "run", effect: "NoSchedule" }
    const nodes = [
      node("cordoned", { unschedulable: true }),
      node("control-plane", { labels: {} }),
      node("tainted", { taints: [taint] }),
      node("preferred", { taints: [{ ...taint, effect: "PreferNoSchedule" }] })
    ]
    assert.strictEqual(roomOnNodes(nodes, [], runtimeClass, size), 16)
    const tolerating = {
      scheduling: { nodeSelector: run, tolerations: [{ key: "dedicated", operator: "Exists" }] }
    }
    assert.strictEqual(roomOnNodes(nodes, [], tolerating, size), 32)
  })

  it("is for more than 30 services of the default size on a machine of two cores and 4 GiB", () => {
    const { cpu, memory } = resourcesOf(region.limits, region.reserved).requests
    assert.deepStrictEqual({ cpu, memory }, { cpu: "20m", memory: "64Mi" })
    const machine = node("a", { allocatable: { cpu: "1800m", memory: "3500Mi" } })
    // As in production, where a sandbox has an overhead.
    const production: RuntimeClass = {
      ...runtimeClass,
      overhead: { podFixed: { cpu: "10m", memory: "32Mi" } }
    }
    const reserves = { cpu: amountOf(cpu), memory: amountOf(memory) }
    assert.isAtLeast(roomOnNodes([machine], [], production, reserves), 30)
  })

  it("in the default quota is enough for all of a project's services to be rolled out at once", () => {
    const { limits, quota } = region
    const pods = 2 * quota.services
    assert.isAtLeast(quota.pods, pods)
    assert.isAtLeast(amountOf(quota.cpu), pods * (amountOf(limits.cpu) + 0.01))
    assert.isAtLeast(amountOf(quota.memory), pods * (amountOf(limits.memory) + amountOf("32Mi")))
  })
})

describe("what a container reserves", () => {
  const part = Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0.001, maximum: 1 })))
  it.prop(
    "is something, and never more than its limit",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16_000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_536 })),
      part,
      part
    ],
    ([millicores, mebibytes, cpu, memory]) => {
      const { limits, requests } = resourcesOf(
        { cpu: `${millicores}m`, memory: `${mebibytes}Mi` },
        { cpu, memory }
      )
      for (const name of ["cpu", "memory"] as const) {
        assert.isAbove(amountOf(requests[name]), 0)
        assert.isAtMost(amountOf(requests[name]), amountOf(limits[name]) + 1e-9)
      }
      assert.strictEqual(memoryQuantity(requests.memory), requests.memory)
    }
  )

  it("is the region's setting", () => {
    const generous = new RegionConfig({ ...region, reserved: { cpu: 1, memory: 1 } })
    assert.deepStrictEqual(resourcesOf(generous.limits, generous.reserved).requests, {
      cpu: "1",
      memory: "512Mi"
    })
  })
})

describe("a quantity", () => {
  it("is read as Kubernetes writes it", () => {
    for (const [text, amount] of [
      ["100m", 0.1],
      ["2", 2],
      ["1.5", 1.5],
      ["64Mi", 64 * 1024 ** 2],
      ["1G", 1e9],
      ["128974848", 128_974_848],
      ["129e6", 129e6],
      ["3Ei", 3 * 1024 ** 6],
      ["none", 0]
    ] as const)
      assert.closeTo(amountOf(text), amount, amount * 1e-12, text)
  })
})
