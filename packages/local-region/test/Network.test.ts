import { assert, describe, it } from "@effect/vitest"
import { BlockList } from "node:net"
import * as Schema from "effect/Schema"
import * as Network from "@mcpdeploy/local-region/Network"

const machine = "192.0.2.2"
const rules = Network.firewall([machine]).split("\n")

const inRange = (cidr: string, address: string): boolean => {
  const [network, bits] = cidr.split("/")
  const range = new BlockList()
  range.addSubnet(network ?? "", Number(bits ?? 32))
  return range.check(address)
}

/** A RUN step's address. */
const step = "10.44.0.7"

/** What the rules do with the first packet of a connection that comes in on the device. */
const verdict = (device: string, address: string, port: number, source = step): "drop" | "pass" => {
  for (const rule of rules) {
    const match =
      /^-A UNTRUSTED -i (\S+)(?: -s (\S+))? -d (\S+)(?: -p (?:udp|tcp) --dport (\d+))? -j (DROP|RETURN)$/.exec(
        rule
      )
    if (match === null || match[1] !== device) continue
    if (match[2] !== undefined && !inRange(match[2], source)) continue
    if (!inRange(match[3] ?? "", address) || (match[4] !== undefined && Number(match[4]) !== port)) continue
    return match[5] === "DROP" ? "drop" : "pass"
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
      assert.strictEqual(verdict(Network.builds.link, address, number), "drop", `${address}:${number}`)
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
        Network.builds.gateway,
        Network.builds.linkAddress
      ]),
      port
    ],
    ([address, number]) => {
      assert.strictEqual(verdict(Network.builds.link, address, number), "drop")
    }
  )

  it("lets builds ask the resolver, and nothing else at its address", () => {
    assert.strictEqual(verdict(Network.builds.link, Network.slirp.dns, 53), "pass")
    assert.strictEqual(verdict(Network.builds.link, Network.slirp.dns, 80), "drop")
  })

  it("lets the daemon reach the registry, and nothing else of the node; its steps not even that", () => {
    const { daemon, link } = Network.builds
    const { registry, registryForBuilds } = Network.guestPorts
    assert.strictEqual(verdict(link, Network.pods.node, registry, daemon), "pass")
    assert.strictEqual(verdict(link, Network.pods.node, registry, step), "drop")
    assert.strictEqual(verdict(link, Network.builds.linkAddress, registryForBuilds, daemon), "drop")
    assert.strictEqual(verdict(link, Network.pods.node, Network.guestPorts.api, daemon), "drop")
    assert.strictEqual(verdict(link, "169.254.169.254", 80, daemon), "drop")
    const inside = Network.buildsFirewall.split("\n").filter((rule) => rule.startsWith("-A UNTRUSTED"))
    assert.strictEqual(
      inside[0],
      `-A UNTRUSTED -i ${Network.builds.bridge} ! -s ${Network.builds.cidr} -j DROP`
    )
  })

  it("lets builds and pods out", () => {
    for (const bridge of [Network.builds.link, Network.pods.bridge]) {
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

  it("refuses service addresses that lead nowhere, rather than let them out of the machine", () => {
    const filter = rules.slice(rules.indexOf("*filter"))
    for (const chain of ["FORWARD", "OUTPUT"])
      assert.includeMembers(filter, [
        `-A ${chain} -d ${Network.services.cidr} -p tcp -j REJECT --reject-with tcp-reset`,
        `-A ${chain} -d ${Network.services.cidr} -j REJECT`
      ])
  })

  it("answers are let through before anything is dropped", () => {
    const chain = rules.filter((rule) => rule.startsWith("-A UNTRUSTED"))
    assert.strictEqual(chain[0], "-A UNTRUSTED -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN")
  })
})
