/**
 * The whole way on real servers: a `git push` to the region's Gitea, its webhook, deployer-server, Temporal, a worker. The
 * worker's activities do nothing. `MCPDEPLOY_TEST_REGION` names a region that was brought up `--with temporal,gitea`.
 */
import { execFileSync } from "node:child_process"
import { randomBytes, randomUUID } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { Projects } from "@mcpdeploy/core/Projects"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as GiteaApi from "@mcpdeploy/provider-gitea/GiteaApi"
import * as K3sCluster from "@mcpdeploy/provider-k3s/K3sCluster"
import * as K3sServiceCatalog from "@mcpdeploy/provider-k3s/catalog/K3sServiceCatalog"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubReceipt } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type { PushRecord } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ServerProcess, until } from "./support/ServerProcess.ts"
import { headersFor, secretOf } from "./support/TestServer.ts"

const Region = Schema.fromJsonString(
  Schema.Struct({
    kubeconfig: Schema.String,
    temporal: Schema.optionalKey(Schema.Struct({ address: Schema.String })),
    gitea: Schema.optionalKey(
      Schema.Struct({ url: Schema.String, tokenFile: Schema.String, webhookSecretFile: Schema.String })
    )
  })
)
const file = process.env["MCPDEPLOY_TEST_REGION"]
const region = file === undefined ? undefined : Schema.decodeSync(Region)(readFileSync(file, "utf8"))
const parts =
  region?.gitea === undefined || region.temporal === undefined
    ? undefined
    : { gitea: region.gitea, temporal: region.temporal.address, kubeconfig: region.kubeconfig }
const title = `deployer-server on a region${parts === undefined ? " (SKIPPED: MCPDEPLOY_TEST_REGION names none with Temporal and Gitea)" : ""}`

const copies = process.env["MCPDEPLOY_TEST_FULL"] === "1" ? 1000 : 100
const unique = randomBytes(4).toString("hex")
const owner = { user: `hook${unique}`, project: "web" }
const target = { owner, service: "web" }
const name = `mcpdeploy/hooks-${unique}`

/** Temporal as the region has it. */
const temporal = Layer.sync(DevServer, () => {
  const [, port] = (parts?.temporal ?? ":0").split(":")
  return DevServer.of({ address: parts?.temporal ?? "", port: Number(port), namespace: "default", pid: 0 })
})

const cluster = new RegionConfig({
  ...(parts === undefined ? {} : { kubeconfig: parts.kubeconfig }),
  platformDomain: PlatformDomain.make("localhost")
})
const services = Layer.mergeAll(temporal, K3sCluster.layer(cluster), K3sServiceCatalog.layer(cluster)).pipe(
  Layer.provideMerge(NodeServices.layer)
)

/** A repository of the region's Gitea and a clone of it. */
const repository = Effect.fnUntraced(function* (hook: string) {
  const { gitea } = parts ?? (yield* Effect.die("no region"))
  const token = readFileSync(gitea.tokenFile, "utf8").trim()
  const master = readFileSync(gitea.webhookSecretFile, "utf8").trim()
  const api = yield* GiteaApi.make(gitea.url, Redacted.make(token))
  const [, short = ""] = name.split("/")
  yield* GiteaApi.send(api, "repository", "POST", "/user/repos", {
    body: { name: short, auto_init: true, default_branch: "main", private: true }
  })
  yield* GiteaApi.send(api, "webhook", "POST", `/repos/${name}/hooks`, {
    body: {
      type: "gitea",
      active: true,
      events: ["push", "delete"],
      branch_filter: "*",
      config: { url: hook, content_type: "json", secret: secretOf("gitea", name, master) }
    }
  })
  yield* Effect.addFinalizer(() =>
    GiteaApi.send(api, "repository", "DELETE", `/repos/${name}`, { also: [404] }).pipe(Effect.ignore)
  )
  const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-hooks-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const url = `${gitea.url}/${name}.git`
  const git = (...args: ReadonlyArray<string>): string =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", "-C", folder, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: folder,
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "http.extraHeader",
        GIT_CONFIG_VALUE_0: `Authorization: token ${token}`
      }
    }).trim()
  git("clone", "-q", url, ".")
  /** Writes a file, commits and pushes; the result is the commit. */
  const push = (path: string, message: string, ...args: ReadonlyArray<string>): string => {
    mkdirSync(join(folder, path, ".."), { recursive: true })
    writeFileSync(join(folder, path), `${message} ${randomUUID()}\n`)
    git("add", "-A")
    git("commit", "-q", "-m", message)
    git("push", "-q", "origin", "HEAD", ...args)
    return git("rev-parse", "HEAD")
  }
  return { url, master, token, git, push }
})

describe.skipIf(parts === undefined)(title, () => {
  layer(services, { excludeTestServices: true })("with Temporal and Gitea", (it) => {
    it.effect(
      "a push is deployed once, however often it is told of; every push has its verdict",
      () =>
        Effect.gen(function* () {
          const { gitea, kubeconfig, temporal } = parts ?? (yield* Effect.die("no region"))
          const taskQueue = `hooks-${unique}`
          const clones: Array<number> = []
          const { client } = yield* testWorker({
            activities: stubActivities({
              clone: async ({ request }) => {
                clones.push(request.generation)
                return { commit: "c".repeat(40) }
              },
              verify: async ({ commit, request }) => ({ receipt: stubReceipt(request, commit) })
            }),
            worker: { taskQueue }
          })
          const deploys = new DeployClient(client, { taskQueue })
          const history = () => deploys.history(target)
          const verdictOf = (commit: string): Promise<PushRecord> =>
            until(async () =>
              (await history()).find(
                (record) => record.commit === commit && !["Waiting", "Running"].includes(record.verdict._tag)
              )
            )

          const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-hooks-"))
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
          )
          const secrets = join(folder, "secrets")
          mkdirSync(secrets)
          writeFileSync(
            join(secrets, "gitea"),
            `a-new-one-0123456789\n${readFileSync(gitea.webhookSecretFile, "utf8")}\n`
          )
          const start = (port = "0") =>
            new ServerProcess({
              TEMPORAL_ADDRESS: temporal,
              TEMPORAL_TASK_QUEUE: taskQueue,
              MCPDEPLOY_WEBHOOK_SECRETS: secrets,
              MCPDEPLOY_REGION: join(folder, "region.json"),
              MCPDEPLOY_GITEA_TOKEN: `file:${gitea.tokenFile}`,
              MCPDEPLOY_HTTP_PORT: port
            })
          writeFileSync(
            join(folder, "region.json"),
            JSON.stringify({
              cluster: { kubeconfig, platformDomain: "localhost" },
              buildkit: { address: "unix:///none" },
              registry: { endpoint: "http://127.0.0.1:1" },
              gitea: { url: gitea.url, token: "env:T", webhookUrl: "http://h/", webhookSecret: "env:S" }
            })
          )
          let server = start()
          yield* Effect.addFinalizer(() => Effect.sync(() => server.child.kill("SIGKILL")))
          const url = yield* Effect.promise(() => server.ready())

          const source = yield* repository(`${url}/webhooks/gitea`)
          const request = yield* Schema.decodeEffect(DeployRequest)({
            ...target,
            source: { repository: { url: source.url }, ref: "main" },
            build: {},
            run: { port: 8080 },
            trigger: { paths: ["app/**"] },
            generation: 1
          })
          const projects = yield* Projects
          yield* ClusterApplier.use((cluster) => cluster.claim(request.target))
          yield* Effect.addFinalizer(() => projects.delete(request.owner).pipe(Effect.ignore))
          yield* (yield* ServiceCatalog).register(request)
          yield* Effect.sleep("500 millis")

          yield* Effect.promise(async () => {
            // Gitea's own webhook.
            const first = source.push("app/index.html", "first")
            assert.strictEqual((await verdictOf(first)).verdict._tag, "Deployed")
            const skipped = source.push("app/index.html", "second [skip ci]")
            const skippedVerdict = (await verdictOf(skipped)).verdict
            assert.strictEqual(skippedVerdict._tag === "Filtered" ? skippedVerdict.rule : "", "skip-ci")
            const elsewhere = source.push("docs/index.html", "third")
            const elsewhereVerdict = (await verdictOf(elsewhere)).verdict
            assert.strictEqual(elsewhereVerdict._tag === "Filtered" ? elsewhereVerdict.rule : "", "paths")
            // Forced: what it lists changes nothing that is watched, what it throws away did.
            source.git("reset", "-q", "--hard", `${first}~1`)
            const forced = source.push("docs/index.html", "fourth", "--force")
            assert.strictEqual((await verdictOf(forced)).verdict._tag, "Deployed")
            source.git("checkout", "-q", "-b", "feature")
            const branch = source.push("app/index.html", "on a branch")
            const branchVerdict = (await verdictOf(branch)).verdict
            assert.strictEqual(branchVerdict._tag === "Filtered" ? branchVerdict.rule : "", "branch")
            source.git("push", "-q", "origin", "--delete", "feature")
            assert.lengthOf(clones, 2)
          })

          // The same delivery many times at once, through a restart.
          yield* Effect.promise(async () => {
            const commit = "d".repeat(40)
            const body = JSON.stringify({
              ref: "refs/heads/main",
              before: "c".repeat(40),
              after: commit,
              total_commits: 1,
              commits: [{ id: commit, message: "many", added: ["app/x"], modified: [], removed: [] }],
              repository: { full_name: name, default_branch: "main" }
            })
            const id = randomUUID()
            const headers = headersFor("gitea", body, secretOf("gitea", name, source.master), { id })
            const sendAll = async (to: string) => {
              const statuses = await Promise.all(
                Array.from({ length: copies }, async () => {
                  const answer = await fetch(`${to}/webhooks/gitea`, { method: "POST", headers, body })
                  await answer.text()
                  return answer.status
                })
              )
              assert.deepStrictEqual([...new Set(statuses)], [202])
            }
            await sendAll(url)
            assert.strictEqual(await server.stop(), 0, server.stderr)
            for (const text of [server.stdout, server.stderr]) {
              assert.notInclude(text, source.master)
              assert.notInclude(text, source.token)
            }
            server = start(new URL(url).port)
            await sendAll(await server.ready())
            assert.strictEqual((await verdictOf(commit)).verdict._tag, "Deployed")
            const records = (await history()).filter((record) => record.commit === commit)
            assert.lengthOf(records, 1)
            assert.deepStrictEqual(records[0]?.deliveryIds, [id])
            assert.lengthOf(clones, 3)
          })
        }),
      180_000
    )
  })
})
