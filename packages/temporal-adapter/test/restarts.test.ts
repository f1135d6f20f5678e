/** The API server, BuildKit, the registry and Gitea, each gone for a while and back, again and again while deploys run. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import {
  connectClient,
  pushOf,
  Repository,
  requestOf,
  Shared,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"
import { Link } from "./support/Link.ts"
import { describeOnRegion, kubectl, Project, region, unique } from "./support/Region.ts"

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const count = full ? 12 : 3
const downMs = 2000
const upMs = 1500

const User = Schema.Struct({ login: Schema.String })

/** A public repository of the region's Gitea. */
class Hosted {
  readonly #api: string
  readonly #token: string
  readonly #name = `restarts-${unique()}`
  #user = ""

  private constructor(url: string, token: string) {
    this.#api = `${url}/api/v1`
    this.#token = token
  }
  static async of(source: Repository, gitea: { readonly url: string; readonly tokenFile: string }) {
    const hosted = new Hosted(gitea.url, readFileSync(gitea.tokenFile, "utf8").trim())
    hosted.#user = Schema.decodeUnknownSync(User)(await (await hosted.#send("GET", "/user")).json()).login
    await hosted.#send("POST", "/user/repos", { name: hosted.#name })
    const { host } = new URL(gitea.url)
    source.git("push", "-q", `http://${hosted.#user}:${hosted.#token}@${host}/${hosted.path}`, "main")
    return hosted
  }
  get path(): string {
    return `${this.#user}/${this.#name}.git`
  }
  async #send(method: string, path: string, body?: object): Promise<Response> {
    const response = await fetch(`${this.#api}${path}`, {
      method,
      headers: { authorization: `token ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    assert.isTrue(response.ok, `${method} ${path}: ${response.status}`)
    return response
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#send("DELETE", `/repos/${this.#user}/${this.#name}`)
  }
}

const httpTarget = (url: string) => ({ host: "127.0.0.1", port: Number(new URL(url).port) })

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

describeOnRegion(
  "restarts of the region's servers",
  () => {
    layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
      it.effect(
        `in turn, while ${count} deploys run: nothing is lost, nothing is doubled`,
        () =>
          DevServer.use(({ address }) =>
            Effect.promise(async () => {
              const { buildkit, gitea, kubeconfig, registry } = region()
              assert(gitea !== undefined)
              const kubernetes = readFileSync(kubeconfig, "utf8")
              const server = kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
              using stack = new DisposableStack()
              const links = {
                kubernetes: stack.use(await Link.to(httpTarget(server))),
                buildkit: stack.use(await Link.to({ path: new URL(buildkit.address).pathname })),
                registry: stack.use(await Link.to(httpTarget(registry.endpoint))),
                gitea: stack.use(await Link.to(httpTarget(gitea.url)))
              }
              const linked = stack.use(await Shared.make())
              const linkedKubeconfig = join(linked.folder, "kubeconfig")
              writeFileSync(
                linkedKubeconfig,
                kubernetes.replace(server, `https://${links.kubernetes.address}`),
                { mode: 0o600 }
              )
              linked.change((file) => ({
                ...file,
                cluster: { ...file.cluster, kubeconfig: linkedKubeconfig },
                buildkit: { address: `tcp://${links.buildkit.address}` },
                registry: { endpoint: `http://${links.registry.address}` },
                git: { privateHosts: [links.gitea.address] }
              }))
              const project = stack.use(new Project("g"))
              const source = stack.use(new Repository())
              const taskQueue = `queue-${unique()}`
              const commit = source.commitApp("after all", 2)
              await using hosted = await Hosted.of(source, gitea)
              const worker = WorkerProcess.on(linked, address, taskQueue)
              try {
                const deploys = new DeployClient(await connectClient(address), { taskQueue })
                await worker.port()
                const pushes = Array.from({ length: count }, (_, index) => {
                  const request = requestOf(project.target(`s${index}`), source, Date.now(), {
                    source: {
                      repository: { url: `http://${links.gitea.address}/${hosted.path}` },
                      ref: "main"
                    },
                    run: { port: 8080, cpu: "50m", memory: "48Mi" }
                  })
                  return { target: project.target(`s${index}`), push: pushOf(request, commit) }
                })
                await Promise.all(pushes.map(({ push, target }) => deploys.submit(target, push)))
                let isOver = false
                let restarts = 0
                const verdicts = Promise.all(
                  pushes.map(({ push, target }) =>
                    verdictOf(deploys, target, push.generation, full ? 900 : 200)
                  )
                ).finally(() => (isOver = true))
                for (const link of [...Object.values(links), ...Object.values(links)]) {
                  if (isOver) break
                  await link.restart(downMs)
                  restarts++
                  await setTimeout(upMs)
                }
                for (const { verdict } of await verdicts)
                  assert.strictEqual(verdict._tag, "Deployed", JSON.stringify(verdict))
                process.stdout.write(`${restarts} restarts during ${count} deploys\n`)
                assert.isAtLeast(restarts, 4)
                const get = (...args: ReadonlyArray<string>) =>
                  kubectl("-n", project.namespace, "get", ...args)
                for (const { target } of pushes) {
                  const receipts = get("configmap", target.service, "-o", "jsonpath={.data}")
                  assert.strictEqual(receipts.split("deployedAt").length - 1, 1, target.service)
                }
                assert.lengthOf(get("replicasets", "-o", "name").split("\n"), count)
              } finally {
                await worker.stop()
              }
            })
          ),
        full ? 1_200_000 : 240_000
      )
    })
  },
  ({ gitea }) => (gitea === undefined ? "the region has no Gitea: start it --with gitea" : undefined)
)
