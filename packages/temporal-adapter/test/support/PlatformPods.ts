/**
 * deployer-worker and deployer-server as pods of the local region, as the manifests of eu-central-1 say. A local region lets no pod
 * reach its servers and has no node of the pool ops: these pods are let through one by one, and the node selectors left out.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Network from "@mcpdeploy/local-region/Network"
import type { GiteaClient } from "./GiteaClient.ts"
import { payloadKeys, until } from "./Harness.ts"
import { kubectl, region } from "./Region.ts"

const root = new URL("../../../..", import.meta.url).pathname
const manifests = join(root, "regions/eu-central-1/k8s/deployer")
const node = Network.pods.node
const ports = { temporal: 7233, gitea: 3000, buildkit: 1234 }
const platform = ["-n", "dp-system", "-l", "app.kubernetes.io/part-of=mcpdeploy"]

/** Where pods find Gitea. */
export const giteaForPods = `http://${node}:${ports.gitea}`

/** The network of the region's servers is a file in its own mount namespace. */
const inRegion = (...command: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { dataFolder, pid } = region()
  return ["-t", String(pid), "--mount", "--", "nsenter", `--net=${dataFolder}/network`, "--", ...command]
}

const secret = (name: string, stringData: object): object => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name, namespace: "dp-system" },
  stringData
})

export interface PlatformPodsOptions {
  readonly tag: string
  readonly taskQueue: string
  readonly gitea: GiteaClient
  /** For sockets. */
  readonly folder: string
}

export class PlatformPods {
  readonly #options: PlatformPodsOptions
  readonly #relays: Array<ChildProcess> = []
  readonly #allowed = new Set<string>()
  #isApplied = false
  /** Leads from the machine's loopback to the Service deployer-server. */
  readonly port = 20_000 + Math.floor(Math.random() * 10_000)

  constructor(options: PlatformPodsOptions) {
    this.#options = options
  }

  #relay(isInside: boolean, ...pairs: ReadonlyArray<string>): Promise<void> {
    const command = [process.execPath, join(import.meta.dirname, "relay.ts"), ...pairs]
    const [program = "", ...args] = isInside ? ["nsenter", ...inRegion(...command)] : command
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] })
    this.#relays.push(child)
    return new Promise((resolve, reject) => {
      child.stdout?.once("data", () => resolve())
      child.once("exit", (code) => reject(new Error(`the relay ended with ${code}`)))
    })
  }

  #letThrough(): void {
    const found = kubectl("get", "pods", ...platform, "-o", "jsonpath={.items[*].status.podIP}")
    for (const address of found.split(/\s+/).filter((one) => one !== "" && !this.#allowed.has(one))) {
      this.#allowed.add(address)
      this.#rule("-I", address)
    }
  }
  #rule(verb: "-I" | "-D", address: string): void {
    const rule = [verb, "UNTRUSTED", ...(verb === "-I" ? ["1"] : []), "-s", `${address}/32`, "-j", "RETURN"]
    execFileSync("nsenter", inRegion("iptables", "-t", "mangle", ...rule))
  }

  /** eu-central-1's file, with the local region's addresses. */
  static regionFile(): object {
    const real = JSON.parse(readFileSync(join(root, "regions/eu-central-1/region.json"), "utf8"))
    return {
      ...real,
      cluster: { platformDomain: "localhost", ingressEndpoint: `http://${node}:${Network.guestPorts.http}` },
      buildkit: { address: `tcp://${node}:${ports.buildkit}` },
      registry: { endpoint: `http://${node}:${Network.guestPorts.registry}` },
      git: { privateHosts: [`${node}:${ports.gitea}`] },
      gitea: { ...real.gitea, url: giteaForPods }
    }
  }

  /** What the role `deployer` makes, and the manifests. */
  #objects(): ReadonlyArray<string> {
    const { gitea, tag, taskQueue } = this.#options
    const temporal = {
      TEMPORAL_ADDRESS: `${node}:${ports.temporal}`,
      TEMPORAL_NAMESPACE: "default",
      TEMPORAL_TASK_QUEUE: taskQueue,
      // A local region serves the API on its node, not as a service.
      KUBERNETES_SERVICE_HOST: node,
      KUBERNETES_SERVICE_PORT: String(Network.guestPorts.api),
      MCPDEPLOY_PAYLOAD_KEYS: payloadKeys,
      MCPDEPLOY_RECONCILE_SECONDS: "0"
    }
    const made = [
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "deployer-region", namespace: "dp-system" },
        data: { "region.json": JSON.stringify(PlatformPods.regionFile()) }
      },
      secret("deployer-worker", {
        ...temporal,
        MCPDEPLOY_BUILD_SECRET_KEY: randomBytes(32).toString("hex"),
        DEPLOY_SECRET_GITEA: gitea.token
      }),
      secret("deployer-server", { ...temporal, GITEA_READ_TOKEN: gitea.token }),
      secret("deployer-webhooks", { gitea: gitea.webhookMaster }),
      secret("deployer-files", { none: "the local builder asks for no certificate" })
    ]
    const written = ["rbac", "worker", "server"].map((file) =>
      readFileSync(join(manifests, `${file}.yaml`), "utf8")
        .replaceAll("mcpdeploy/deployer:0.1.0", `mcpdeploy/deployer:${tag}`)
        .replaceAll(/^ +(nodeSelector|tolerations): .*\n/gm, "")
    )
    return [...made.map((object) => JSON.stringify(object)), ...written]
  }

  #kubectl(...args: ReadonlyArray<string>): void {
    execFileSync("kubectl", ["--kubeconfig", region().kubeconfig, ...args, "-f", "-"], {
      input: this.#objects().join("\n---\n")
    })
  }

  /** Returns when all four pods are ready. */
  async start(): Promise<void> {
    const { buildkit, temporal } = region()
    const socket = (part: string) => join(this.#options.folder, `${part}.sock`)
    await this.#relay(
      false,
      ...[
        socket("temporal"),
        temporal?.address ?? "",
        socket("gitea"),
        new URL(this.#options.gitea.url).host
      ],
      ...[`127.0.0.1:${this.port}`, socket("server")]
    )
    await this.#relay(
      true,
      ...[`${node}:${ports.temporal}`, socket("temporal"), `${node}:${ports.gitea}`, socket("gitea")],
      ...[`${node}:${ports.buildkit}`, buildkit.address.replace("unix://", "")],
      ...[socket("server"), "10.43.0.80:8080"]
    )
    if (kubectl("get", "namespace", "dp-system", "--ignore-not-found") === "")
      kubectl("create", "namespace", "dp-system")
    this.#isApplied = true
    this.#kubectl("apply", "--server-side", "--force-conflicts")
    await this.ready("2 2")
  }

  /** Waits for as many ready pods of server and worker. */
  async ready(counts: string): Promise<void> {
    await until(() => {
      this.#letThrough()
      const found = kubectl(
        ...["get", "deployments", ...platform],
        ...["-o", "jsonpath={range .items[*]}{.status.readyReplicas}{' '}{end}"]
      )
      return found.trim() === counts ? true : undefined
    }, 180).catch((error: unknown) => {
      process.stdout.write(`${kubectl("get", "pods", ...platform)}\n`)
      process.stdout.write(`${kubectl("logs", ...platform, "--tail=20", "--prefix").slice(-4000)}\n`)
      throw error
    })
  }

  stop(): void {
    for (const child of this.#relays) child.kill("SIGKILL")
    // Not the namespace: the region's mirrors are kept in it.
    if (this.#isApplied) this.#kubectl("delete", "--ignore-not-found")
    for (const address of this.#allowed) this.#rule("-D", address)
  }
}
