/** Every program that a region is made of, and where it comes from. */

/** Programs of a Debian package. */
export interface DebianTool {
  readonly package: string
  /** Looked for on PATH and in the folders below; the package is installed when one is missing. */
  readonly programs: ReadonlyArray<string>
  /** Unpacked into the cache instead of installed, because installing it would start a service on this machine. */
  readonly unpack?: true
}

/** Where Debian puts programs that are not on every PATH. */
export const debianFolders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/lib/cni"]

export const debianTools: ReadonlyArray<DebianTool> = [
  { package: "etcd-server", programs: ["etcd"], unpack: true },
  { package: "runc", programs: ["runc"] },
  { package: "containernetworking-plugins", programs: ["bridge", "host-local", "loopback", "portmap"] },
  { package: "iptables", programs: ["iptables-restore", "ip6tables-restore"] },
  { package: "conntrack", programs: ["conntrack"] },
  { package: "iproute2", programs: ["ip"] },
  { package: "slirp4netns", programs: ["slirp4netns"] },
  { package: "tini", programs: ["tini"] },
  { package: "openssl", programs: ["openssl"] },
  { package: "util-linux", programs: ["unshare", "nsenter", "setpriv", "flock"] },
  { package: "git", programs: ["git"] },
  { package: "tar", programs: ["tar"] }
]

/** A module that a recipe builds from a changed copy, because a dependency that is not needed costs minutes. */
export interface PatchedModule {
  readonly module: string
  readonly version: string
  /** Of the unchanged module, as go.sum writes it. */
  readonly sum: string
  /** A patch in the recipe's folder. */
  readonly patch: string
  /** Files that the patched module does without. */
  readonly remove: ReadonlyArray<string>
}

/** A folder of `toolchain/`: one Go module that pins the versions of several tools. */
export interface GoModule {
  readonly folder: string
  readonly patched: ReadonlyArray<PatchedModule>
}

/** A tool that is built from Go modules. */
export interface GoTool {
  readonly name: string
  readonly version: string
  readonly module: GoModule
  /** Program name to Go package. */
  readonly packages: Readonly<Record<string, string>>
  /** More names of a program that acts on the name it is called by. */
  readonly links?: { readonly of: string; readonly names: ReadonlyArray<string> }
  readonly ldflags?: string
  /** Instead of `buildTags` of the recipe. */
  readonly tags?: ReadonlyArray<string>
  /** Built with a C compiler. */
  readonly cgo?: true
  /** Folders of a module that lie beside the programs, which read them. */
  readonly assets?: { readonly module: string; readonly folders: ReadonlyArray<string> }
  /** Half the processor seconds that it took in the table's order, with nothing cached: its time on two idle cores. */
  readonly seconds: number
  /** A program of this name on PATH serves instead when it reports at least `minimum`. */
  readonly installed?: { readonly args: ReadonlyArray<string>; readonly minimum: string }
}

const servers: GoModule = {
  folder: "servers",
  patched: [
    {
      module: "github.com/moby/buildkit",
      version: "v0.34.2",
      sum: "h1:fXgOe79JW5zJNDumRtwTemOklLX66otQokObUXuiGJo=",
      patch: "buildkit.patch",
      remove: []
    }
  ]
}
const cyclonus: GoModule = { folder: "cyclonus", patched: [] }
const containerd: GoModule = { folder: "containerd", patched: [] }
const gvisor: GoModule = {
  folder: "gvisor",
  patched: [
    {
      module: "github.com/containerd/containerd/v2",
      version: "v2.1.5",
      sum: "h1:pWSmPxUszaLZKQPvOx27iD4iH+aM6o0BoN9+hg77cro=",
      patch: "containerd.patch",
      remove: []
    }
  ]
}
const traefik: GoModule = {
  folder: "traefik",
  patched: [
    {
      module: "github.com/traefik/traefik/v3",
      version: "v3.6.12",
      sum: "h1:6pe4s7aaDTQs+AsF7KP3sM/xnq7zOVvibRQe5tw9eFo=",
      patch: "traefik.patch",
      remove: [
        "pkg/plugins/middlewarewasm.go",
        "pkg/plugins/middlewareyaegi.go",
        "pkg/plugins/wasip.go",
        "pkg/plugins/wasip_mock.go",
        "pkg/plugins/providers.go"
      ]
    }
  ]
}

const kubernetesVersion = "v1.36.3"

/** In the order in which they are built: what a build needs first. */
export const goTools: ReadonlyArray<GoTool> = [
  {
    name: "buildkit",
    version: "0.34.2",
    module: servers,
    packages: {
      buildkitd: "github.com/moby/buildkit/cmd/buildkitd",
      buildctl: "github.com/moby/buildkit/cmd/buildctl"
    },
    seconds: 100,
    installed: { args: ["--version"], minimum: "0.28.1" }
  },
  {
    name: "registry",
    version: "3.1.2",
    module: servers,
    packages: { registry: "./cmd/registry", pause: "./cmd/pause" },
    seconds: 10
  },
  {
    name: "containerd",
    version: "2.4.2",
    module: containerd,
    packages: {
      containerd: "github.com/containerd/containerd/v2/cmd/containerd",
      "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
    },
    seconds: 45,
    installed: { args: ["--version"], minimum: "2.2.0" }
  },
  {
    name: "gvisor",
    version: "20260905.0",
    module: gvisor,
    packages: {
      runsc: "gvisor.dev/gvisor/runsc",
      "containerd-shim-runsc-v1": "gvisor.dev/gvisor/shim"
    },
    seconds: 85
  },
  {
    name: "kubernetes",
    version: kubernetesVersion.slice(1),
    module: servers,
    packages: { kube: "./cmd/kube" },
    links: {
      of: "kube",
      names: ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"]
    },
    ldflags: ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
      .map((path) => `-X ${path}.gitVersion=${kubernetesVersion}`)
      .join(" "),
    seconds: 270
  },
  {
    name: "coredns",
    version: "1.15.0",
    module: servers,
    packages: { coredns: "./cmd/coredns" },
    seconds: 10
  },
  {
    name: "traefik",
    version: "3.6.12",
    module: traefik,
    packages: { traefik: "github.com/traefik/traefik/v3/cmd/traefik" },
    seconds: 55
  }
]

/** What a region has only when asked for. */
export const temporalTool: GoTool = {
  name: "temporal",
  version: "1.5.1",
  module: { folder: "temporal", patched: [] },
  packages: { temporal: "github.com/temporalio/cli/cmd/temporal" },
  tags: ["disable_grpc_modules"],
  seconds: 180,
  installed: { args: ["--version"], minimum: "1.5.1" }
}
export const giteaTool: GoTool = {
  name: "gitea",
  version: "1.26.0",
  module: { folder: "gitea", patched: [] },
  packages: { gitea: "code.gitea.io/gitea" },
  ldflags: "-X main.Version=1.26.0",
  tags: ["sqlite", "sqlite_unlock_notify"],
  cgo: true,
  assets: { module: "code.gitea.io/gitea", folders: ["templates", "options", "public"] },
  seconds: 360
}

/** Not needed by a region; for people, tests and benches. */
export const extraTools: ReadonlyArray<GoTool> = [
  {
    name: "kubectl",
    version: kubernetesVersion.slice(1),
    module: servers,
    packages: { kubectl: "k8s.io/kubernetes/cmd/kubectl" },
    ldflags: `-X k8s.io/component-base/version.gitVersion=${kubernetesVersion}`,
    seconds: 40,
    installed: { args: ["version", "--client"], minimum: "1.34.0" }
  },
  {
    // Judges network policies, offline.
    name: "cyclonus",
    version: "0.5.6",
    module: cyclonus,
    packages: { cyclonus: "github.com/mattfenwick/cyclonus/cmd/cyclonus" },
    seconds: 60
  },
  {
    // Renders a region's values with the charts that they are for, offline.
    name: "helm",
    version: "3.21.4",
    module: { folder: "helm", patched: [] },
    packages: { helm: "helm.sh/helm/v3/cmd/helm" },
    seconds: 70
  }
]

/** The oldest Go that builds the modules. */
export const goMinimum = "1.26.3"
