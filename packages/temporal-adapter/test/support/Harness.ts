/** A deployer-worker process on a real Temporal dev server and the region that `MCPDEPLOY_TEST_REGION` names. */
import {
  type ChildProcess,
  execFileSync,
  type ExecFileSyncOptionsWithStringEncoding,
  spawn
} from "node:child_process"
import { randomBytes } from "node:crypto"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import type { RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import type { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { dataConverter, parsePayloadKeys } from "@mcpdeploy/temporal-contract/codec"
import { contractVersion, type Push, type PushRecord } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest, ServiceTarget } from "@mcpdeploy/temporal-contract/data"
import { workflowsPath } from "@mcpdeploy/temporal-adapter/workflows/Location"
import { Client, Connection } from "@temporalio/client"
import { bundleWorkflowCode, DefaultLogger } from "@temporalio/worker"
import { region, user } from "./Region.ts"

const root = new URL("../../../..", import.meta.url).pathname
export const payloadKeys = `test:${randomBytes(32).toString("base64")}`

/** A folder with what all workers of a test file share: the region file, the workflow bundle, the checkouts. */
export class Shared {
  readonly folder = mkdtempSync(join(tmpdir(), "mcpdeploy-worker-"))
  readonly region = join(this.folder, "region.json")
  readonly bundle = join(this.folder, "workflows.js")
  readonly cache = join(this.folder, "cache")
  #file: RegionFile = {
    cluster: { platformDomain: PlatformDomain.make("localhost") },
    buildkit: { address: "" },
    registry: { endpoint: "" }
  }

  static async make(): Promise<Shared> {
    const shared = new Shared()
    const { acme, buildkit, ingress, kubeconfig, registry } = region()
    const domains = acme && {
      issuer: acme.issuer,
      cnameTarget: acme.cnameTarget,
      loadBalancerAddresses: [acme.loadBalancer],
      nameServers: [acme.nameServer],
      tlsEndpoint: new URL(ingress.https).host
    }
    shared.change(() => ({
      cluster: {
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress.http,
        ...(domains === undefined ? {} : { domains })
      },
      buildkit,
      registry: { endpoint: registry.endpoint },
      git: { allowFile: true }
    }))
    const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger("WARN") })
    writeFileSync(shared.bundle, code)
    return shared
  }
  /** Changes the region file. */
  change(next: (file: RegionFile) => RegionFile): void {
    this.#file = next(this.#file)
    writeFileSync(this.region, JSON.stringify(this.#file))
  }
  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

type Environment = Readonly<Record<string, string>>

const environmentOf = (shared: Shared, address: string, taskQueue: string): Environment => ({
  PATH: process.env["PATH"] ?? "",
  HOME: shared.folder,
  TEMPORAL_ADDRESS: address,
  TEMPORAL_TASK_QUEUE: taskQueue,
  MCPDEPLOY_REGION: shared.region,
  MCPDEPLOY_WORKFLOW_BUNDLE: shared.bundle,
  MCPDEPLOY_CACHE: shared.cache,
  MCPDEPLOY_PAYLOAD_KEYS: payloadKeys,
  MCPDEPLOY_BUILD_SECRET_KEY: "0123456789abcdef0123456789abcdef",
  MCPDEPLOY_HTTP_HOST: "127.0.0.1",
  MCPDEPLOY_HTTP_PORT: "0",
  MCPDEPLOY_RECONCILE_SECONDS: "0",
  MCPDEPLOY_RECONCILE_USERS: user
})

/** A deployer-worker in a process of its own. */
export class WorkerProcess {
  readonly child: ChildProcess
  stdout = ""
  stderr = ""
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>

  constructor(entry: string, env: Environment) {
    this.child = spawn(process.execPath, [entry], { env, stdio: ["ignore", "pipe", "pipe"] })
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text))
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text))
    this.ended = new Promise((resolve) => this.child.on("close", (code, signal) => resolve({ code, signal })))
  }

  static main(env: Environment): WorkerProcess {
    return new WorkerProcess(join(root, "packages/temporal-adapter/src/worker/main.ts"), env)
  }
  static on(shared: Shared, address: string, taskQueue: string, more: Environment = {}): WorkerProcess {
    return WorkerProcess.main({ ...environmentOf(shared, address, taskQueue), ...more })
  }
  static killable(shared: Shared, address: string, taskQueue: string, kill: string): WorkerProcess {
    return new WorkerProcess(join(import.meta.dirname, "killableWorker.ts"), {
      ...environmentOf(shared, address, taskQueue),
      MCPDEPLOY_TEST_KILL: kill
    })
  }

  /** The port of its `/metrics`, when it says that it is ready. */
  async port(): Promise<number> {
    const found = await until(() => {
      if (this.child.exitCode !== null) throw new Error(`the worker ended: ${this.stderr}`)
      return /deployer-worker is ready.*"port":(\d+)/.exec(this.stdout)?.[1]
    })
    return Number(found)
  }
  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL")
    await this.ended
  }
}

/** Asks again and again until there is an answer; fails after `seconds`. */
export const until = async <A>(
  ask: () => A | undefined | Promise<A | undefined>,
  seconds = 90
): Promise<A> => {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s`)
    await setTimeout(100)
  }
}

export const connectClient = async (address: string) => {
  const connection = await Connection.connect({ address })
  return new Client({ connection, dataConverter: dataConverter(parsePayloadKeys(payloadKeys)) })
}

/** A git repository in a folder of its own, with a small app or an example. */
export class Repository {
  readonly path = mkdtempSync(join(tmpdir(), "mcpdeploy-worker-repo-"))
  readonly url = `file://${this.path}`

  constructor() {
    this.git("init", "-q", "-b", "main")
  }
  git(...args: ReadonlyArray<string>): string {
    const options: ExecFileSyncOptionsWithStringEncoding = {
      cwd: this.path,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"]
    }
    return execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", ...args], options).trim()
  }
  /** busybox serves one file. `slow` makes the build take as many seconds. */
  commitApp(text: string, slow = 0, message = "change"): string {
    // The first process of a container gets no signal that it does not ask for.
    const command = ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p $PORT -h /www & wait"]
    const lines = ["FROM busybox", "COPY index.html /www/index.html", `RUN sleep ${slow}`]
    writeFileSync(join(this.path, "Dockerfile"), `${lines.join("\n")}\nCMD ${JSON.stringify(command)}\n`)
    writeFileSync(join(this.path, "index.html"), `${text}\n`)
    return this.#commit(message)
  }
  commitExample(name: string): string {
    cpSync(join(root, "examples", name), this.path, { recursive: true })
    return this.#commit("example")
  }
  #commit(message: string): string {
    this.git("add", "-A")
    this.git("commit", "-q", "--allow-empty", "-m", message)
    return this.git("rev-parse", "HEAD")
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

export const requestOf = (
  { owner, service }: ServiceTarget,
  repository: Repository,
  generation: number,
  more: Partial<DeployRequest> = {}
): DeployRequest => ({
  owner,
  service,
  source: { repository: { url: repository.url }, ref: "main" },
  build: {},
  run: { port: 8080, cpu: "50m", memory: "64Mi" },
  generation,
  ...more
})

export const pushOf = (request: DeployRequest, commit: string): Push => ({
  version: contractVersion,
  deliveryId: `delivery-${request.generation}`,
  generation: request.generation,
  commit,
  origin: "gitea",
  receivedAt: new Date().toISOString(),
  action: { _tag: "Deploy", request }
})

/** The push's record when it has its verdict. */
export const verdictOf = async (
  deploys: DeployClient,
  target: ServiceTarget,
  generation: number,
  seconds = 150
): Promise<PushRecord> => {
  const signal = AbortSignal.timeout(seconds * 1000)
  for (;;) {
    let last: PushRecord | undefined
    try {
      for await (const { record } of deploys.follow(target, { generation }, { everyMs: 300, signal }))
        last = record
    } catch (error) {
      // While no worker runs, no query is answered.
      if (signal.aborted) throw error
      await setTimeout(200)
      continue
    }
    if (last !== undefined) return last
  }
}

/** Asks a service through the region's ingress. */
export const ask = (url: string): Promise<{ readonly status: number; readonly body: string }> =>
  new Promise((resolve, reject) => {
    const { host, port } = new URL(url)
    get({ host: "127.0.0.1", port, path: "/", headers: { host } }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }))
    }).on("error", reject)
  })

/**
 * Ends when the service answers with the text. The ingress hears of new pods a moment after they are ready, and old ones
 * answer until it does.
 */
export const answers = (url: string, text: string): Promise<true> =>
  until(async () => ((await ask(url)).body.includes(text) ? true : undefined), 30)
