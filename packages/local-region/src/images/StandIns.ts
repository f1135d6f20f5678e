/** What stands in for what: each image that ordinary Dockerfiles start from, and how it was made here instead. */
import { type LayerName, versions } from "./Recipes.ts"

/** The part of an OCI image's configuration that runs containers. */
export interface RunConfig {
  readonly Env: ReadonlyArray<string>
  readonly Cmd: ReadonlyArray<string>
  readonly Entrypoint?: ReadonlyArray<string>
  readonly WorkingDir?: string
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>
  readonly StopSignal?: string
}

export interface StandIn {
  /** Name on Docker Hub: `docker.io/library/<name>`. */
  readonly name: string
  readonly tags: ReadonlyArray<string>
  readonly madeFrom: string
  /** How it differs from the image of that name. */
  readonly differs: string
  /** Lowest first. */
  readonly layers: ReadonlyArray<LayerName>
  readonly config: RunConfig
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/** Node brings its own list of authorities, and pip's is OpenSSL's: programs trust what this machine trusts. */
const nodeEnv = [
  path,
  `NODE_VERSION=${versions.node}`,
  `YARN_VERSION=${versions.yarn}`,
  "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"
]
const node = { Env: nodeEnv, Entrypoint: ["docker-entrypoint.sh"], Cmd: ["node"] }
const go = {
  Env: [
    "PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "GOTOOLCHAIN=local",
    "GOPATH=/go"
  ],
  WorkingDir: "/go"
}

const npmPackages = `the npm packages node-linux ${versions.node}, npm ${versions.npm}, corepack ${versions.corepack} and yarn ${versions.yarn}`
const notAlpine = "busybox and glibc instead of Alpine and musl: `apk` is not there (it says so and fails)"
const noHeaders = "no C headers of Node, so native add-ons need a prebuilt binary"

export const standIns: ReadonlyArray<StandIn> = [
  {
    name: "node",
    tags: ["24-alpine", `${versions.node}-alpine`],
    madeFrom: `busybox and glibc of Debian 13, ${npmPackages}`,
    differs: `${notAlpine}; ${noHeaders}`,
    layers: ["busybox", "glibc", "node-user-busybox", "node"],
    config: node
  },
  {
    name: "debian",
    tags: ["12-slim", "12", "bookworm-slim", "bookworm"],
    madeFrom: "Debian 12 packages",
    differs: "the full tags are the slim image: no manual pages, documentation or translations",
    layers: ["debian-12"],
    config: { Env: [path], Cmd: ["bash"] }
  },
  {
    name: "debian",
    tags: ["13-slim", "13", "trixie-slim", "trixie"],
    madeFrom: "Debian 13 packages",
    differs:
      "holds ca-certificates; the full tags are the slim image: no manual pages, documentation or translations",
    layers: ["debian-13"],
    config: { Env: [path], Cmd: ["bash"] }
  },
  {
    name: "node",
    tags: ["24-slim", "24-trixie-slim", `${versions.node}-slim`],
    madeFrom: `Debian 13 packages, ${npmPackages}`,
    differs: `Debian 13 under \`24-slim\`; holds ca-certificates; ${noHeaders}`,
    layers: ["debian-13", "node-user", "node"],
    config: node
  },
  {
    name: "python",
    tags: [`${versions.python}-slim`, `${versions.python}-slim-trixie`],
    madeFrom: "Debian 13 packages: its CPython 3.13, and pip from its ensurepip",
    differs:
      "Debian's build in /usr/bin with links in /usr/local/bin; packages go to dist-packages (site-packages is a link to it)",
    layers: ["debian-13", "python"],
    config: { Env: [path, "LANG=C.UTF-8", `PYTHON_VERSION=${versions.python}`], Cmd: ["python3"] }
  },
  {
    name: "nginx",
    tags: ["alpine"],
    madeFrom: "busybox, glibc and nginx 1.26 of Debian 13",
    differs: `${notAlpine}; Debian's nginx 1.26 with the modules that it is built with; of the entrypoint's scripts only the templates'`,
    layers: ["busybox", "glibc", "nginx-user", "nginx"],
    config: {
      Env: [path],
      Entrypoint: ["/docker-entrypoint.sh"],
      Cmd: ["nginx", "-g", "daemon off;"],
      ExposedPorts: { "80/tcp": {} },
      StopSignal: "SIGQUIT"
    }
  },
  {
    name: "golang",
    tags: [`${versions.go}-alpine`],
    madeFrom: `busybox and glibc of Debian 13, this machine's Go ${versions.go} without its tests`,
    differs: `${notAlpine}; the patch version is this machine's`,
    layers: ["busybox", "glibc", "go"],
    config: { ...go, Cmd: ["/bin/sh"] }
  },
  {
    name: "golang",
    tags: [versions.go, `${versions.go}-trixie`],
    madeFrom: `Debian 13 packages (gcc, g++, make, git and others), this machine's Go ${versions.go} without its tests`,
    differs: "the patch version is this machine's; fewer tools beside the compiler",
    layers: ["debian-13", "build-tools", "go"],
    config: { ...go, Cmd: ["bash"] }
  },
  {
    name: "node",
    tags: ["24", "24-trixie", versions.node],
    madeFrom: `Debian 13 packages (gcc, g++, make, git, python3 and others), ${npmPackages}`,
    differs: `Debian 13 under \`24\`; fewer development libraries; ${noHeaders}`,
    layers: ["debian-13", "build-tools", "node-user", "node"],
    config: node
  },
  {
    name: "busybox",
    tags: ["latest"],
    madeFrom: "busybox-static of Debian 13",
    differs: "built with glibc and Debian's choice of applets",
    layers: ["busybox"],
    config: { Env: [path], Cmd: ["sh"] }
  }
]
