/**
 * Machines: Debian with systemd and SSH, each booted by systemd-nspawn in namespaces of its own, with a public and a private
 * network as a hoster gives them. They reach the internet for packages, by user-mode networking; nothing reaches them but the lab.
 * They end with the scope, or with this process.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { run } from "@mcpdeploy/local-region/Command"
import { parse } from "yaml"
import * as Ansible from "./Ansible.ts"
import * as BaseSystem from "./BaseSystem.ts"
import * as Lab from "./Lab.ts"

/** A machine of the inventory. `name` is its host name and the name of its network namespace in the lab. */
export interface Machine {
  readonly name: string
  readonly group: "ctrl" | "ops" | "build_pool" | "run_pool"
  readonly public: readonly [string, string]
  readonly private: string
}

const machine = (name: string, group: Machine["group"], number: number): Machine => ({
  name,
  group,
  public: [`198.51.100.${number}`, `2001:db8:1::${number}`],
  private: `10.0.0.${number}`
})

export const four: ReadonlyArray<Machine> = [
  machine("ctrl-1", "ctrl", 10),
  machine("ops-1", "ops", 20),
  machine("build-1", "build_pool", 30),
  machine("run-1", "run_pool", 41)
]

/** The lab's own address in the public network: gateway, resolver's way, and administrator. */
export const administrator = ["198.51.100.1", "2001:db8:1::1"] as const

const Result = Schema.Struct({
  host: Schema.String,
  task: Schema.String,
  isHandler: Schema.Boolean,
  outcome: Schema.Literals(["ok", "changed", "skipped", "ignored", "failed", "unreachable"])
})
/** Variables of the vault, by name. */
const decodeVault = Schema.decodeUnknownEffect(Schema.Record(Schema.String, Schema.String))
const Results = Schema.Array(Schema.fromJsonString(Result))
/** What one task did on one machine. */
export type Result = typeof Result.Type

const networks = `
for name in public0 private0; do ip link add $name type bridge; ip link set $name up; done
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip addr add ${administrator[0]}/24 dev public0
ip addr add ${administrator[1]}/64 dev public0 nodad
nft -f - <<END
table ip lab {
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; oifname tap0 masquerade; }
}
END
`

/** In a cgroup of its own in every hierarchy: two systemds that share one end each other's services. */
const boot = `set -e
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  path="$hierarchy"
  for part in "$CGROUP" "$NAME"; do
    parent="$path"; path="$path/$part"
    mkdir -p "$path"
    if [ -e "$hierarchy/cpuset.cpu_exclusive" ]; then
      cat "$parent/cpuset.cpus" > "$path/cpuset.cpus"; cat "$parent/cpuset.mems" > "$path/cpuset.mems"
    fi
  done
  echo $$ > "$path/cgroup.procs"
done
echo ready
exec systemd-nspawn --quiet --register=no --keep-unit --machine="$NAME" --directory="$ROOT" --resolv-conf=off \\
  --network-bridge=public0 --network-veth-extra="pv-$NAME:private0" --console=pipe --boot > "$ROOT.log" 2>&1 < /dev/null`

const network = (own: Machine) => `[Match]
Name=host0
[Link]
RequiredForOnline=yes
[Network]
Address=${own.public[0]}/24
Address=${own.public[1]}/64
Gateway=${administrator[0]}
Gateway=${administrator[1]}
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
`

const prepared = `set -e
mkdir -p "$1.upper" "$1.work" "$1"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1.upper,workdir=$1.work" "$1"
mkdir -p "$1/root/.ssh" "$1/etc/systemd/network"
chmod 700 "$1/root/.ssh"
cp "$3.pub" "$1/root/.ssh/authorized_keys"
ssh-keygen -q -t ed25519 -N '' -f "$1/etc/ssh/ssh_host_ed25519_key"
echo "nameserver 192.168.77.3" > "$1/etc/resolv.conf"
cat > "$1/etc/systemd/network/10-host0.network"`

const removeCgroups = (group: string) =>
  run("sh", [
    "-c",
    `for path in $(find /sys/fs/cgroup -depth -type d -path "*/${group}*"); do rmdir "$path" || exit 1; done 2>/dev/null`
  ]).pipe(
    Effect.retry(($) => $(Schedule.spaced("200 millis")).pipe(Schedule.upTo({ times: 25 }))),
    Effect.ignore
  )

/** Boots the machines. The first call on a computer makes the base system, which takes a minute. */
export const make = Effect.fn("Machines.make")(function* (machines: ReadonlyArray<Machine>) {
  const fs = yield* FileSystem.FileSystem
  const [bin, base] = yield* Effect.all([Ansible.installed, BaseSystem.folder], { concurrency: 2 })
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-machines-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const cgroup = basename(folder)
  yield* Effect.addFinalizer(() => removeCgroups(cgroup))
  const key = join(folder, "key")
  yield* run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "administrator", "-f", key])

  const lab = yield* Lab.make
  yield* lab.sh("lab", networks)
  yield* lab.start("sh", [
    "-c",
    // It writes a 1 when the device is up; the shell hands that on, and waits for its end.
    `rm -f "$2" && mkfifo "$2"
slirp4netns --configure --mtu=65520 --disable-host-loopback --cidr=192.168.77.0/24 --ready-fd=3 "$1" tap0 3> "$2" > /dev/null 2>&1 &
read -r line < "$2" || [ -n "$line" ] && echo ready
wait`,
    "sh",
    String(lab.pid),
    join(folder, "slirp")
  ])

  const rootOf = ({ name }: Machine) => join(folder, name)
  /** Of systemd-nspawn, whose only child is the machine's systemd. */
  const pids = new Map<string, number>()
  const known = yield* Effect.forEach(
    machines,
    Effect.fn("Machines.boot")(function* (own) {
      const root = rootOf(own)
      yield* lab.exec("lab", "sh", ["-c", prepared, "sh", root, base, key], network(own))
      const hostKey = readFileSync(join(`${root}.upper`, "etc/ssh/ssh_host_ed25519_key.pub"), "utf8")
      const handle = yield* lab.start("env", [
        `NAME=${own.name}`,
        `ROOT=${root}`,
        `CGROUP=${cgroup}`,
        "nsenter",
        ...lab.enter("lab", "sh", ["-c", boot])
      ])
      pids.set(own.name, Number(handle.pid))
      return own.public.map((address) => `${address} ${hostKey}`).join("")
    }),
    { concurrency: "unbounded" }
  )
  const knownHosts = join(folder, "known_hosts")
  yield* fs.writeFileString(knownHosts, known.join(""))

  const ssh = (own: Machine, command: string, ...options: ReadonlyArray<string>) =>
    lab.exec("lab", "ssh", [
      ...[
        "-i",
        key,
        "-o",
        `UserKnownHostsFile=${knownHosts}`,
        "-o",
        "ConnectTimeout=3",
        "-o",
        "BatchMode=yes"
      ],
      ...options,
      `root@${own.public[0]}`,
      command
    ])

  yield* Effect.forEach(
    machines,
    (own) =>
      ssh(own, "systemctl is-system-running --wait").pipe(
        Effect.retry(($) => $(Schedule.spaced("300 millis")).pipe(Schedule.upTo({ times: 150 }))),
        Effect.timeout("60 seconds"),
        Effect.andThen(lab.sh("lab", `ip link set pv-${own.name} master private0 up`)),
        // The machine's network namespace under its name, so that the lab can act in it.
        Effect.andThen(
          lab.sh(
            "lab",
            `ip netns attach ${own.name} $(cat /proc/${pids.get(own.name)}/task/*/children | cut -d ' ' -f 1)`
          )
        )
      ),
    { concurrency: "unbounded" }
  )

  const inventory = join(folder, "inventory.json")
  const hosts = (group: Machine["group"]) =>
    Object.fromEntries(
      machines
        .filter((each) => each.group === group)
        .map((each) => [
          each.name,
          {
            ansible_host: each.public[0],
            public_ipv6: each.public[1],
            private_ip: each.private,
            private_network_addresses: [`${each.private}/24`],
            private_network_routes: [{ to: "10.0.0.0/16", via: "10.0.0.1" }]
          }
        ])
    )
  const certificates = yield* run(join(Ansible.folder, "bin/region-certificates"), ["10.0.0.20"]).pipe(
    Effect.flatMap((output) => decodeVault(parse(output)))
  )
  const inventoryVariables = {
    ansible_user: "root",
    ansible_ssh_private_key_file: key,
    ansible_ssh_common_args: `-o UserKnownHostsFile=${knownHosts} -o ControlPersist=10s`,
    region_name: "lab",
    region_private_range: "10.0.0.0/16",
    region_pod_ranges: ["10.42.0.0/16"],
    region_service_ranges: ["10.43.0.0/16"],
    region_admin_ranges: administrator,
    region_web_sources_ipv4: ["198.51.100.5", "173.245.48.0/20"],
    region_web_sources_ipv6: ["2001:db8:1::5", "2400:cb00::/32"],
    region_ssh_keys: [readFileSync(`${key}.pub`, "utf8").trim()],
    ...certificates
  }
  yield* fs.writeFileString(
    inventory,
    JSON.stringify({
      all: {
        vars: inventoryVariables,
        children: {
          k3s_cluster: {
            children: Object.fromEntries(
              (["ctrl", "ops", "build_pool", "run_pool"] as const).map((group) => [
                group,
                { hosts: hosts(group) }
              ])
            )
          }
        }
      }
    })
  )

  let runs = 0
  /** Runs a playbook on the machines, from the lab; what each task did. */
  const playbook = Effect.fn("Machines.playbook")(function* (path: string, args: ReadonlyArray<string> = []) {
    const file = join(folder, `results-${++runs}`)
    yield* run(
      "nsenter",
      lab.enter("lab", join(bin, "ansible-playbook"), ["--inventory", inventory, ...args, path]),
      {
        env: {
          ...Ansible.environment(bin),
          ANSIBLE_CALLBACK_PLUGINS: join(Ansible.folder, "test/lab/callback"),
          ANSIBLE_HOME: join(folder, "ansible"),
          // Machines of two runs have the same addresses: with the user's folder, one run would act on the other's.
          ANSIBLE_SSH_CONTROL_PATH_DIR: join(folder, "cp"),
          MCPDEPLOY_ANSIBLE_RESULTS: file
        },
        onLine: (line) => Effect.logDebug(line)
      }
    )
    const lines = readFileSync(file, "utf8").trim().split("\n")
    return yield* Schema.decodeEffect(Results)(lines)
  })

  return {
    lab,
    machines,
    /** Ansible's inventory of them. */
    inventory,
    /** What it says of all of them. */
    inventoryVariables,
    /** Where each machine's console is logged, and its root while it runs. */
    folder,
    ssh,
    playbook
  }
})

export type Machines = Effect.Success<ReturnType<typeof make>>
