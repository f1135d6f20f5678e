/** What k3s and the others demand, as far as it can be known without them: held against roles and regions, wherever these tests run. */
import { execFileSync } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { isIPv6 } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { parse, parseAllDocuments } from "yaml"
import flags from "./site/flags.json" with { type: "json" }

const project = fileURLToPath(new URL("../..", import.meta.url))
const roles = join(project, "ansible/roles")
const text = (path: string) => readFileSync(path, "utf8")
const role = (path: string) => text(join(roles, path))

/** Of Ansible's files, with their paths below `folder`. */
const filesOf = (folder: string, pattern: RegExp) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => pattern.test(name))
    .map((name) => ({ name, content: text(join(folder, name)) }))

interface Task {
  readonly block?: ReadonlyArray<Task>
  readonly loop?: ReadonlyArray<string>
}

/** Keys at the left margin of a template that renders to YAML. */
const keysOf = (template: string) =>
  [...template.matchAll(/^([a-z0-9-]+):/gm)].flatMap(({ 1: key }) => key ?? [])

describe("k3s' configuration", () => {
  const known = { server: [...flags.server, ...flags.agent], agent: flags.agent }
  const unknown = (kind: keyof typeof known, template: string) =>
    keysOf(template).filter((key) => !known[kind].includes(key))

  it("has only flags that k3s knows", () => {
    assert.deepStrictEqual(unknown("server", role("k3s_server/templates/config.yaml.j2")), [])
    assert.deepStrictEqual(unknown("agent", role("k3s_agent/templates/config.yaml.j2")), [])
    assert.isAbove(keysOf(role("k3s_server/templates/config.yaml.j2")).length, 15)
  })

  it("is refused with one that it does not know, or that only servers have", () => {
    assert.deepStrictEqual(unknown("server", "node-ip: 1\nflannel-mtu: 1400\n"), ["flannel-mtu"])
    assert.deepStrictEqual(unknown("agent", "server: 1\ncluster-cidr: 10.42.0.0/16\n"), ["cluster-cidr"])
  })

  it("disables only components that k3s has, and has a manifest for each that the platform needs elsewhere", () => {
    const disabled = /^disable: \[(.*)\]$/m
      .exec(role("k3s_server/templates/config.yaml.j2"))?.[1]
      ?.split(", ")
    assert.isDefined(disabled)
    for (const component of disabled) assert.include(flags.disable, component)
    for (const component of ["coredns", "metrics-server"]) {
      assert.include(disabled, component)
      assert.match(role(`k3s_server/templates/${component}.yaml.j2`), /^kind: Deployment$/m)
    }
  })

  it("gives the kubelet the kernel that protect-kernel-defaults demands", () => {
    // read in kubernetes/kubernetes staging/src/k8s.io/component-helpers/node/util/sysctl/sysctl.go, commit 04791b490660
    const demanded = {
      "vm.overcommit_memory": 1,
      "vm.panic_on_oom": 0,
      "kernel.panic": 10,
      "kernel.panic_on_oops": 1,
      "kernel.keys.root_maxkeys": 1_000_000,
      "kernel.keys.root_maxbytes": 25_000_000
    }
    assert.include(parse(role("base/defaults/main.yml")).base_sysctl, demanded)
  })

  it("names flannel's backend, its device in the firewalls, and its module alike", () => {
    assert.include(role("k3s_server/templates/config.yaml.j2"), "flannel-backend: wireguard-native")
    assert.include(parse(role("base/defaults/main.yml")).base_kernel_modules, "wireguard")
    const firewalls = [
      role("firewall/defaults/main.yml"),
      ...filesOf(join(project, "regions"), /group_vars\/.*\.yml$/).map(({ content }) => content)
    ].flatMap((content) => {
      const interfaces: Array<string> | undefined = parse(content).firewall_pod_interfaces
      return interfaces === undefined ? [] : [interfaces]
    })
    assert.isAbove(firewalls.length, 1)
    for (const interfaces of firewalls) assert.includeMembers(interfaces, ["cni0", "flannel-wg"])
  })
})

describe("manifests", () => {
  /** k3s' AddOn has the file's name up to the first dot (k3s-io/k3s pkg/deploy/controller.go, commit 0301210fa15f). */
  const addonOf = (file: string) => file.split(".", 1)[0] ?? ""
  const isName = (name: string) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)

  /** Every file that a role puts where k3s applies it. */
  const files = filesOf(roles, /tasks\/.*\.yml$/).flatMap(({ content }) => {
    const tasks = (each: ReadonlyArray<Task>): ReadonlyArray<Task> =>
      each.flatMap((task) => [task, ...tasks(task.block ?? [])])
    return tasks(parse(content)).flatMap((task) =>
      [...JSON.stringify(task).matchAll(/\/server\/manifests\/([^"]+)/g)].flatMap(({ 1: name = "" }) =>
        name.includes("{{ item }}")
          ? (task.loop ?? []).map((item) => name.replace("{{ item }}", item))
          : [name]
      )
    )
  })
  const written = [...new Set(files)]

  it("have names that Kubernetes takes, each another, and none of k3s' own", () => {
    assert.isAbove(written.length, 6)
    assert.deepStrictEqual(
      written.filter((file) => !isName(addonOf(file)) || !file.endsWith(".yaml")),
      []
    )
    assert.strictEqual(new Set(written.map(addonOf)).size, written.length)
    for (const file of written) assert.notInclude([...flags.disable, "ccm", "rolebindings"], addonOf(file))
  })

  it("of other names are told apart", () => {
    for (const name of ["mcpdeploy-cert_manager.yaml", "Mcpdeploy.yaml", "-a.yaml", "a-.yaml", ".yaml"])
      assert.isFalse(isName(addonOf(name)), name)
  })
})

describe("the cluster's DNS", () => {
  const objects = parseAllDocuments(
    role("k3s_server/templates/coredns.yaml.j2").replaceAll(/\{\{.*?\}\}/g, "0")
  ).map((document) => document.toJS())
  const [deployment] = objects.filter((object) => object?.kind === "Deployment")
  const [configuration] = objects.filter((object) => object?.kind === "ConfigMap")
  const { affinity, tolerations } = deployment.spec.template.spec

  // CoreDNS ends with «Wrong argument count or unexpected line ending» at a block of one line.
  it("has a configuration whose blocks begin and end lines of their own", () => {
    const corefile: string = configuration.data.Corefile
    const braced = corefile.split("\n").filter((line) => /[{}]/.test(line))
    assert.isAbove(braced.length, 6)
    for (const line of braced) assert.match(line, /^[^{}]*\{$|^ *\}$/)
  })

  it("runs on ops and run alone, on no node twice, so that it answers while ctrl is lost", () => {
    const terms = affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
    assert.deepStrictEqual(terms, [
      { matchExpressions: [{ key: "mcpdeploy.io/pool", operator: "In", values: ["ops", "run"] }] }
    ])
    assert.strictEqual(
      affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey,
      "kubernetes.io/hostname"
    )
    assert.deepStrictEqual(
      tolerations.map(({ value }: { value: string }) => value),
      ["ops"]
    )
  })
})

describe("gVisor's configuration", () => {
  // read in google/gvisor runsc/config/flags.go, release-20260817.0
  const known = ["platform", "network", "overlay2", "file-access", "systemd-cgroup", "debug", "debug-log"]
  const options = [...role("gvisor/files/runsc.toml").matchAll(/^ *([a-z0-9-]+) = "/gm)].map(
    ({ 1: name }) => name
  )

  it("has only flags that runsc knows, and leaves cgroups to systemd as k3s does", () => {
    assert.includeMembers(known, options)
    assert.include(role("gvisor/files/runsc.toml"), 'systemd-cgroup = "true"')
  })
})

describe("the size of a packet between nodes", () => {
  it("is said once, and nowhere another", () => {
    const said = [
      ...filesOf(join(project, "ansible/roles"), /\.(yml|j2)$/),
      ...filesOf(join(project, "regions"), /\.(ya?ml|md)$/)
    ].flatMap(({ content, name }) =>
      [...content.matchAll(/\bmtu\b\D{0,20}(\d{3,5})/gi)].map(({ 1: size }) => `${size} ${name}`)
    )
    assert.isAbove(said.length, 0)
    assert.deepStrictEqual(
      said.filter((each) => !each.startsWith("1400 ")),
      []
    )
  })
})

const temporary = mkdtempSync(join(tmpdir(), "mcpdeploy-k3s-"))
afterAll(() => rmSync(temporary, { recursive: true }))
beforeAll(() => {
  cpSync(join(project, "regions"), temporary, { recursive: true })
  execFileSync(
    process.execPath,
    [
      join(project, "packages/cli/src/main.ts"),
      ...["region", "new", "us-east-1", "--provider", "hetzner", "--location", "ash", "--regions", temporary]
    ],
    { stdio: "pipe" }
  )
})

/** Families of a list of addresses or ranges. */
const families = (addresses: ReadonlyArray<string>) =>
  [...new Set(addresses.map((address) => (isIPv6(address.split("/")[0] ?? "") ? 6 : 4)))].toSorted()

/** As k3s demands it of each node (k3s-io/k3s pkg/agent/run.go, commit 0097157bb67c). */
const agree = (pods: ReadonlyArray<string>, services: ReadonlyArray<string>, node: ReadonlyArray<string>) =>
  families(pods).join() === families(services).join() &&
  families(pods).every((family) => families(node).includes(family))

const numberOf = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)
const isIn = (address: string, range: string) => {
  const [base = "", length = "32"] = range.split("/")
  const size = 2 ** (32 - Number(length))
  return Math.floor(numberOf(address) / size) === Math.floor(numberOf(base) / size)
}

it("k3s' rule on families: pods, services and nodes have the same", () => {
  assert.isTrue(agree(["10.42.0.0/16"], ["10.43.0.0/16"], ["10.0.0.10"]))
  assert.isTrue(
    agree(["10.42.0.0/16", "fd00::/56"], ["10.43.0.0/16", "fd01::/112"], ["10.0.0.10", "fd02::1"])
  )
  assert.isFalse(agree(["10.42.0.0/16", "fd00::/56"], ["10.43.0.0/16", "fd01::/112"], ["10.0.0.10"]))
  assert.isFalse(agree(["10.42.0.0/16"], ["10.43.0.0/16", "fd01::/112"], ["10.0.0.10"]))
})

type Variables = Readonly<Record<string, string>> & {
  readonly region_pod_ranges: ReadonlyArray<string>
  readonly region_service_ranges: ReadonlyArray<string>
}

describe.each(["eu-central-1", "us-east-1"])("the directory of %s", (name) => {
  const variables = (): Variables => parse(text(join(temporary, name, "inventory/group_vars/all/main.yml")))

  it("has pods, services and nodes of the same families, and its fixed services among the services", () => {
    const said = variables()
    const hosts = [
      ...text(join(temporary, name, "inventory/hosts.yml")).matchAll(/private_ip: (\S+)/g)
    ].flatMap(({ 1: address }) => address ?? [])
    for (const host of hosts)
      assert.isTrue(agree(said.region_pod_ranges, said.region_service_ranges, [host]), host)
    const [services = ""] = said.region_service_ranges
    assert.isTrue(isIn(said["region_webhook_address"] ?? "", services))
    // What the role makes the address of the cluster's DNS of.
    assert.match(services, /\.0\/\d+$/)
    assert.isTrue(isIn(services.split("/")[0]?.replace(/\.0$/, ".10") ?? "", services))
  })

  it("names releases as their projects do, and pins what publishes no checksum beside it", () => {
    const said = variables()
    assert.match(said["region_k3s_version"] ?? "", /^v1\.\d+\.\d+\+k3s\d+$/)
    assert.match(said["region_gvisor_version"] ?? "", /^20\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\.\d+$/)
    assert.match(said["region_buildkit_version"] ?? "", /^v\d+\.\d+\.\d+$/)
    assert.match(said["region_gitea_version"] ?? "", /^\d+\.\d+\.\d+$/)
    for (const pinned of ["region_k3s_checksum", "region_buildkit_checksum"])
      assert.match(said[pinned] ?? "", /^sha256:[0-9a-f]{64}$/)
  })
})

describe("what was read elsewhere", () => {
  const reference = /read in (\S+\/\S+|docs\.\S+) \S+/

  it("stands beside or above every version that a region pins", () => {
    const lines = text(join(project, "regions/eu-central-1/inventory/group_vars/all/main.yml")).split("\n")
    const wrong = lines.filter(
      (line, index) =>
        /^region_\w+_version: /.test(line) && !reference.test(line) && !reference.test(lines[index - 1] ?? "")
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("stands above every variable of a role that says where to download from", () => {
    const wrong = filesOf(roles, /defaults\/main\.yml$/).flatMap(({ content, name }) =>
      // A variable, with the comment above it.
      [...content.matchAll(/(?:^#.*\n)*^[a-z].*(?:\n[ -].*)*/gm)]
        .flatMap(([variable]) => variable)
        .filter((variable) => /^[^#\n]*https:/m.test(variable) && !reference.test(variable))
        .map((variable) => `${name}: ${variable}`)
    )
    assert.deepStrictEqual(wrong, [])
  })
})
