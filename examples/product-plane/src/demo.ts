/**
 * `pnpm demo --temporal`: the product plane starts a deploy, a `git push` to the region's Gitea becomes another one, and a third
 * push, which breaks the app, is told as what it is.
 *
 *     node examples/product-plane/src/demo.ts REGION.json     (a local region that is up --with temporal,gitea)
 *
 * deployer-worker and deployer-server run as processes of their own; everything else goes through the contract.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { createHmac, randomBytes } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { dataConverter, parsePayloadKeys } from "@mcpdeploy/temporal-contract/codec"
import type { PushRecord, Verdict } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
import { Client, Connection } from "@temporalio/client"
import { deployAndFollow } from "./deployAndFollow.ts"

interface Region {
  readonly kubeconfig: string
  readonly buildkit: { readonly address: string }
  readonly registry: { readonly endpoint: string }
  readonly ingress: { readonly http: string }
  readonly temporal: { readonly address: string }
  readonly gitea: { readonly url: string; readonly tokenFile: string; readonly webhookSecretFile: string }
}

const root = new URL("../../..", import.meta.url).pathname
const region: Region = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"))
const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-demo-"))
const token = readFileSync(region.gitea.tokenFile, "utf8").trim()
const payloadKeys = `demo:${randomBytes(32).toString("base64")}`
/** Workers of this run alone take its work. */
const run = randomBytes(4).toString("hex")
const taskQueue = `k8s-native-demo-${run}`
const startedAt = performance.now()

const say = (text: string): void => {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)
  process.stdout.write(`\n\u001b[1m${seconds} s  ${text}\u001b[0m\n`)
}
const line = (text: string): void => {
  process.stdout.write(`  ${text}\n`)
}

/** A process of the execution plane; the port it says that it listens on. */
const start = async (entry: string, env: Record<string, string>): Promise<[ChildProcess, number]> => {
  const child = spawn(process.execPath, [join(root, entry)], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: folder,
      TEMPORAL_ADDRESS: region.temporal.address,
      TEMPORAL_TASK_QUEUE: taskQueue,
      MCPDEPLOY_PAYLOAD_KEYS: payloadKeys,
      MCPDEPLOY_REGION: join(folder, "region.json"),
      MCPDEPLOY_HTTP_HOST: "127.0.0.1",
      MCPDEPLOY_HTTP_PORT: "0",
      ...env
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let said = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text))
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text
      const found = /is ready.*"port":(\d+)/.exec(said)?.[1]
      if (found !== undefined) resolve(Number(found))
    })
    child.once("exit", (code) => reject(new Error(`${entry} ended with ${code}: ${said.slice(-2000)}`)))
  })
  return [child, port]
}

const gitea = async (method: string, path: string, body?: object): Promise<void> => {
  const answer = await fetch(`${region.gitea.url}/api/v1${path}`, {
    method,
    headers: { authorization: `token ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  if (!answer.ok && answer.status !== 404)
    throw new Error(`Gitea: ${method} ${path}: ${answer.status} ${await answer.text()}`)
}

/** The app's answer through the region's ingress; `*.localhost` is this machine. */
const answerOf = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { host, port } = new URL(url)
    get({ host: "127.0.0.1", port, path: "/", headers: { host } }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resolve(`${response.statusCode} ${body.trim()}`))
    }).on("error", reject)
  })

const processes: Array<ChildProcess> = []
const name = `mcpdeploy/demo-${run}`
const url = `${region.gitea.url}/${name}.git`
const source = join(folder, "source")
const server = join(source, "server.js")
const git = (...args: ReadonlyArray<string>): string =>
  execFileSync("git", ["-c", "user.name=demo", "-c", "user.email=demo@localhost", ...args], {
    cwd: source,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: folder,
      // On no command line.
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "http.extraHeader",
      GIT_CONFIG_VALUE_0: `Authorization: token ${token}`
    }
  }).trim()
const push = (message: string, change: (text: string) => string): string => {
  writeFileSync(server, change(readFileSync(server, "utf8")))
  git("add", "-A")
  git("commit", "-q", "-m", message)
  git("push", "-q", "origin", "HEAD:main")
  return git("rev-parse", "HEAD")
}

const request: DeployRequest = {
  owner: { user: "demo", project: `push-${run}` },
  service: "web",
  source: { repository: { url }, ref: "main" },
  build: {},
  run: { port: 3000, env: { GREETING: "world" }, healthCheck: { path: "/healthz" } },
  generation: Date.now()
}
const target = { owner: request.owner, service: request.service }

/** Follows the deploy that the push of this commit has become. */
const followPush = async (deploys: DeployClient, commit: string): Promise<Verdict> => {
  const deadline = Date.now() + 60_000
  let record: PushRecord | undefined
  while (record === undefined) {
    if (Date.now() > deadline) throw new Error(`the webhook for ${commit} has not come within 60 s`)
    await sleep(200)
    record = (await deploys.history(target)).find((each) => each.commit === commit)
  }
  line(`webhook ${record.origin}, delivery ${record.deliveryIds[0] ?? ""}`)
  const { generation } = record
  for await (const followed of deploys.follow(target, { generation }, { everyMs: 200 })) {
    record = followed.record
    line(`${record.verdict._tag}${followed.progress === undefined ? "" : `: ${followed.progress.step}`}`)
  }
  return record.verdict
}

const receiptOf = (verdict: Verdict) => {
  if (verdict._tag !== "Deployed") throw new Error(JSON.stringify(verdict))
  return verdict.receipt
}

const showAnswer = async (verdict: Verdict): Promise<void> => {
  const { commit, probe } = receiptOf(verdict)
  line(`commit  ${commit}`)
  if (probe !== undefined) line(`answer  ${await answerOf(probe.url)}   ${probe.url}`)
}

try {
  say("deployer-worker and deployer-server")
  const host = new URL(region.gitea.url).host
  mkdirSync(source)
  mkdirSync(join(folder, "secrets"))
  cpSync(region.gitea.webhookSecretFile, join(folder, "secrets", "gitea"))
  writeFileSync(
    join(folder, "region.json"),
    JSON.stringify({
      cluster: {
        kubeconfig: region.kubeconfig,
        platformDomain: "localhost",
        ingressEndpoint: region.ingress.http
      },
      buildkit: region.buildkit,
      registry: { endpoint: region.registry.endpoint },
      git: { privateHosts: [host] },
      gitea: {
        url: region.gitea.url,
        token: `file:${region.gitea.tokenFile}`,
        webhookUrl: "http://127.0.0.1/webhooks/gitea",
        webhookSecret: `file:${region.gitea.webhookSecretFile}`
      }
    })
  )
  const [worker] = await start("packages/temporal-adapter/src/worker/main.ts", {
    MCPDEPLOY_CACHE: join(folder, "cache"),
    MCPDEPLOY_BUILD_SECRET_KEY: randomBytes(32).toString("hex"),
    MCPDEPLOY_RECONCILE_SECONDS: "0"
  })
  processes.push(worker)
  const [receiver, port] = await start("packages/server/src/main.ts", {
    MCPDEPLOY_WEBHOOK_SECRETS: join(folder, "secrets")
  })
  processes.push(receiver)
  line(`worker on the queue ${taskQueue}; webhooks at http://127.0.0.1:${port}/webhooks/gitea`)

  say("A repository in Gitea, with its webhook")
  const [, short = ""] = name.split("/")
  await gitea("POST", "/user/repos", { name: short, default_branch: "main" })
  cpSync(join(root, "examples/node-web"), source, { recursive: true })
  git("init", "-q", "-b", "main")
  git("remote", "add", "origin", url)
  push("first", (text) => text)
  // Gitea tells of a push a moment later, also the webhooks that were made meanwhile; this one is the product plane's to start.
  await sleep(2000)
  const master = readFileSync(region.gitea.webhookSecretFile, "utf8").trim()
  await gitea("POST", `/repos/${name}/hooks`, {
    type: "gitea",
    active: true,
    events: ["push", "delete"],
    branch_filter: "*",
    config: {
      url: `http://127.0.0.1:${port}/webhooks/gitea`,
      content_type: "json",
      // As provider-gitea derives it: each repository has a secret of its own.
      secret: createHmac("sha256", master).update(`mcpdeploy gitea webhook ${name}`).digest("hex")
    }
  })

  say("The product plane starts the first deploy and follows it")
  const connection = await Connection.connect({ address: region.temporal.address })
  const client = new Client({ connection, dataConverter: dataConverter(parsePayloadKeys(payloadKeys)) })
  const deploys = new DeployClient(client, { taskQueue })
  await showAnswer(await deployAndFollow(deploys, request, `demo-${run}`, line))

  say("git push: webhook → deployer-server → Temporal → deployer-worker → a running pod")
  const second = await followPush(
    deploys,
    push("second", (text) => text.replace("hello:", "howdy:"))
  )
  await showAnswer(second)

  say("git push of a change that breaks the app: told as what it is, and the second one runs on")
  const broken = await followPush(
    deploys,
    push("broken", (text) =>
      text.replace("await app.listen", 'throw new Error("no database")\nawait app.listen')
    )
  )
  if (broken._tag !== "Failed") throw new Error(`the broken commit was ${broken._tag}`)
  line(broken.failure.message)
  await showAnswer(second)

  process.stdout.write(`\nreceipt  ${JSON.stringify(receiptOf(second), null, 2)}\n`)
  say("The project is deleted again")
  await deploys.deleteService(target)
  await deploys.deleteProject(request.owner)
  await connection.close()
} finally {
  const ended = processes.map((child) => new Promise((resolve) => child.once("close", resolve)))
  for (const child of processes) child.kill("SIGTERM")
  await Promise.all(ended)
  await gitea("DELETE", `/repos/${name}`)
  rmSync(folder, { recursive: true, force: true })
}
