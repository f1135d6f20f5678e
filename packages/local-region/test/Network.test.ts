import { assert, describe, it } from "@effect/vitest"
import { BlockList } from "node:net"
import * as Schema from "effect/Schema"
import * as Network from "@mcpdeploy/local-region/Network"

const machine = "192.0.2.2"
const rules = Network.firewall([machine]).split("\n")

/** What the rules do with the first packet of a connection that comes in on the bridge. */
const verdict = (bridge: string, address: string, port: number): "drop" | "pass" => {
  for (const rule of rules) {
    const match = /^-A UNTRUSTED -i (\S+) -d (\S+)(?: -p (?:udp|tcp) --dport (\d+))? -j (DROP|RETURN)$/.exec(
      rule
    )
    if (match === null || match[1] !== bridge) continue
    const [network, bits] = (match[2] ?? "").split("/")
    const range = new BlockList()
    range.addSubnet(network ?? "", Number(bits ?? 32))
    if (!range.check(address) || (match[3] !== undefined && Number(match[3]) !== port)) continue
    return match[4] === "DROP" ? "drop" : "pass"
  }
  return "pass"
}

const octet = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const port = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })))

describe("the firewall of untrusted traffic", () => {
  it.prop(
    "keeps builds from pods, services, other builds and link-local addresses, on every port",
    [Schema.Literals(["10.42", "10.43", "10.44", "169.254", "127.0"]), octet, octet, port],
    ([prefix, third, fourth, number]) => {
      const address = `${prefix}.${third}.${fourth}`
      assert.strictEqual(verdict(Network.builds.bridge, address, number), "drop", `${address}:${number}`)
    }
  )

  it.prop(
    "keeps builds from the machine, whatever address they try",
    [
      Schema.Literals([
        machine,
        Network.slirp.gateway,
        Network.slirp.guest,
        Network.pods.node,
        Network.builds.gateway
      ]),
      port
    ],
    ([address, number]) => {
      assert.strictEqual(verdict(Network.builds.bridge, address, number), "drop")
    }
  )

  it("lets builds ask the resolver, and nothing else at its address", () => {
    assert.strictEqual(verdict(Network.builds.bridge, Network.slirp.dns, 53), "pass")
    assert.strictEqual(verdict(Network.builds.bridge, Network.slirp.dns, 80), "drop")
  })

  it("lets builds and pods out", () => {
    for (const bridge of [Network.builds.bridge, Network.pods.bridge]) {
      assert.strictEqual(verdict(bridge, "203.0.113.80", 443), "pass")
    }
  })

  it("keeps pods from the node, the API and the registry, but not from DNS and each other", () => {
    const { bridge, node } = Network.pods
    assert.strictEqual(verdict(bridge, node, Network.guestPorts.registry), "drop")
    assert.strictEqual(verdict(bridge, node, Network.guestPorts.api), "drop")
    assert.strictEqual(verdict(bridge, Network.services.api, 443), "drop")
    assert.strictEqual(verdict(bridge, machine, 22), "drop")
    assert.strictEqual(verdict(bridge, "169.254.169.254", 80), "drop")
    assert.strictEqual(verdict(bridge, node, 53), "pass")
    assert.strictEqual(verdict(bridge, Network.services.dns, 53), "pass")
    assert.strictEqual(verdict(bridge, "10.42.0.9", 8080), "pass")
  })

  it("answers are let through before anything is dropped", () => {
    const chain = rules.filter((rule) => rule.startsWith("-A UNTRUSTED"))
    assert.strictEqual(chain[0], "-A UNTRUSTED -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN")
  })
})
