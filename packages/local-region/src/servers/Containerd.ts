/** containerd with two runtimes: runsc (gVisor) for customer pods, runc for what the platform itself runs. */
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import { folderOf } from "../Toolchain.ts"

export const socket = "/run/containerd/containerd.sock"
/** The image of every pod's first container; the region pushes it to its registry. */
export const pauseImage = `${Network.registryName}/mcpdeploy/pause:1`

const cniConfiguration = {
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: Network.pods.bridge,
      isGateway: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        dataDir: "/run/cni-ipam",
        ranges: [[{ subnet: Network.pods.cidr, gateway: Network.pods.node }]],
        routes: [{ dst: "0.0.0.0/0" }]
      }
    },
    { type: "portmap", capabilities: { portMappings: true } }
  ]
}

const configuration = (options: {
  readonly root: string
  readonly cniFolder: string
  readonly cniBinaries: string
  readonly certs: string
  readonly runsc: string
  readonly shim: string
  readonly runc: string
}): string => `version = 3
root = ${JSON.stringify(options.root)}
state = "/run/containerd"

[grpc]
address = "${socket}"

# Its default is /opt/containerd, made on the machine.
[plugins.'io.containerd.internal.v1.opt']
path = "/run/containerd-opt"
[plugins.'io.containerd.nri.v1.nri']
disable = true

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "${pauseImage}"
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = ${JSON.stringify(options.certs)}

[plugins.'io.containerd.cri.v1.runtime']
# Not every root may lower a process's score (CAP_SYS_RESOURCE).
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [${JSON.stringify(options.cniBinaries)}]
conf_dir = ${JSON.stringify(options.cniFolder)}
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = ${JSON.stringify(options.runc)}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.gvisor]
runtime_type = "io.containerd.runsc.v1"
runtime_path = ${JSON.stringify(options.shim)}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.gvisor.options]
TypeUrl = "io.containerd.runsc.v1.options"
ConfigPath = ${JSON.stringify(options.runsc)}
`

export const start = Effect.fn("Containerd.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const command = yield* program("containerd", "containerd")
  const runsc = yield* program("gvisor", "runsc")
  const shim = yield* program("gvisor", "containerd-shim-runsc-v1")
  const at = (name: string) => join(folder.configuration, name)
  const cniFolder = at("pods.d")
  const certs = at("certs.d")
  const registry = join(certs, Network.registryName)
  yield* fs.makeDirectory(cniFolder, { recursive: true })
  yield* fs.makeDirectory(registry, { recursive: true })
  yield* fs.writeFileString(join(cniFolder, "10-pods.conflist"), JSON.stringify(cniConfiguration))
  yield* fs.writeFileString(
    join(registry, "hosts.toml"),
    `server = "http://${Network.registryName}"\n[host."http://${Network.registryName}"]\ncapabilities = ["pull", "resolve"]\n`
  )
  // kvm is not everywhere; systrap is gVisor's own default platform.
  yield* fs.writeFileString(
    at("runsc.toml"),
    `binary_name = ${JSON.stringify(runsc)}\n[runsc_config]\nplatform = "systrap"\n`
  )
  yield* fs.writeFileString(
    at("containerd.toml"),
    configuration({
      root: folder.state("containerd"),
      cniFolder,
      cniBinaries: folderOf("host-local") ?? "/usr/lib/cni",
      certs,
      runsc: at("runsc.toml"),
      shim,
      runc: join(folderOf("runc") ?? "/usr/sbin", "runc")
    })
  )
  yield* Server.start({
    name: "containerd",
    command,
    args: ["--config", at("containerd.toml")],
    // Shims start their runtime by name.
    env: { PATH: [dirname(command), dirname(runsc), ...(yield* Supervision).path.split(":")].join(":") },
    healthy: Health.accepts({ path: socket })
  })
})
