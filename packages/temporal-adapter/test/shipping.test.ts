/**
 * The processes as they are shipped: their image is built from a commit of this repository by the pipeline itself, and runs as the
 * manifests of eu-central-1 say, with their accounts, probes and read-only file systems. A push to Gitea is deployed by them.
 *
 * Minutes of two cores: only with MCPDEPLOY_TEST_FULL=1. A local region lets no pod reach its servers, and has no node of the pool
 * ops: the test lets these pods through, one by one, and leaves the node selectors out.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { createHmac, randomBytes } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import * as Network from "@mcpdeploy/local-region/Network"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
import * as Effect from "effect/Effect"
import { connectClient, payloadKeys, until } from "./support/Harness.ts"
import { describeOnRegion, kubectl, Project, region, unique } from "./support/Region.ts"

const root = new URL("../../..", import.meta.url).pathname
const manifests = join(root, "regions/eu-central-1/k8s/deployer")
const node = Network.pods.node
const ports = { temporal: 7233, gitea: 3000, buildkit: 1234 }
const taskQueue = `k8s-native-shipping-${unique()}`

interface Gitea {
  readonly url: string
  readonly token: string
  readonly master: string
}

const giteaOf = (): Gitea => {
  const { gitea } = region()
  if (gitea === undefined) throw new Error("the region has no Gitea")
  return {
    url: gitea.url,
    token: readFileSync(gitea.tokenFile, "utf8").trim(),
    master: readFileSync(gitea.webhookSecretFile, "utf8").trim()
  }
}

const api = async ({ token, url }: Gitea, method: string, path: string, body?: object): Promise<void> => {
  const answer = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { authorization: `token ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  assert.isTrue(answer.ok, `${method} ${path}: ${answer.status}`)
}

/** The network of the region's servers is a file in its own mount namespace. */
const inRegion = (...command: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { dataFolder, pid } = region()
  return ["-t", String(pid), "--mount", "--", "nsenter", `--net=${dataFolder}/network`, "--", ...command]
}

const relays: Array<ChildProcess> = []
const relay = (inside: boolean, ...pairs: ReadonlyArray<string>): Promise<void> => {
  const command = [process.execPath, join(import.meta.dirname, "support/relay.ts"), ...pairs]
  const [program = "", ...args] = inside ? ["nsenter", ...inRegion(...command)] : command
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] })
  relays.push(child)
  return new Promise((resolve, reject) => {
    child.stdout?.once("data", () => resolve())
    child.once("exit", (code) => reject(new Error(`the relay ended with ${code}`)))
  })
}

const allowed = new Set<string>()
/** Lets the deployer's pods through to the region's servers. */
const letThrough = (): void => {
  const found = kubectl(
    ...["get", "pods", "-n", "dp-system", "-l", "app.kubernetes.io/part-of=mcpdeploy"],
    ...["-o", "jsonpath={.items[*].status.podIP}"]
  )
  for (const address of found.split(/\s+/).filter((one) => one !== "" && !allowed.has(one))) {
    allowed.add(address)
    const rule = ["-s", `${address}/32`, "-j", "RETURN"]
    execFileSync("nsenter", inRegion("iptables", "-t", "mangle", "-I", "UNTRUSTED", "1", ...rule))
  }
}

const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-shipping-"))
const tag = `test-${unique()}`
const name = `mcpdeploy/shipping-${unique()}`

/** eu-central-1's file, with the local region's addresses. */
const regionFile = (): object => {
  const real = JSON.parse(readFileSync(join(root, "regions/eu-central-1/region.json"), "utf8"))
  return {
    ...real,
    cluster: { platformDomain: "localhost", ingressEndpoint: `http://${node}:${Network.guestPorts.http}` },
    buildkit: { address: `tcp://${node}:${ports.buildkit}` },
    registry: { endpoint: `http://${node}:${Network.guestPorts.registry}` },
    git: { privateHosts: [`${node}:${ports.gitea}`] },
    gitea: { ...real.gitea, url: `http://${node}:${ports.gitea}` }
  }
}

const secret = (secretName: string, stringData: object): object => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: secretName, namespace: "dp-system" },
  stringData
})

/** What the role `deployer` makes, and the manifests, as one document. */
const platform = (gitea: Gitea): string => {
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
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "dp-system" } },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "deployer-region", namespace: "dp-system" },
      data: { "region.json": JSON.stringify(regionFile()) }
    },
    secret("deployer-worker", {
      ...temporal,
      MCPDEPLOY_BUILD_SECRET_KEY: randomBytes(32).toString("hex"),
      DEPLOY_SECRET_GITEA: gitea.token
    }),
    secret("deployer-server", { ...temporal, GITEA_READ_TOKEN: gitea.token }),
    secret("deployer-webhooks", { gitea: gitea.master }),
    secret("deployer-files", { none: "the local builder asks for no certificate" })
  ].map((object) => JSON.stringify(object))
  const written = ["rbac", "worker", "server"].map((file) =>
    readFileSync(join(manifests, `${file}.yaml`), "utf8")
      .replaceAll("mcpdeploy/deployer:0.1.0", `mcpdeploy/deployer:${tag}`)
      .replaceAll(/^ +(nodeSelector|tolerations): .*\n/gm, "")
  )
  return [...objects, ...written].join("\n---\n")
}

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"

describeOnRegion(
  "deployer-worker and deployer-server as they are shipped",
  () => {
    let document = ""
    beforeAll(() => mkdirSync(join(folder, "source")))
    afterAll(() => {
      for (const child of relays) child.kill("SIGKILL")
      if (document !== "") {
        execFileSync(
          "kubectl",
          ["--kubeconfig", region().kubeconfig, "delete", "--ignore-not-found", "-f", "-"],
          {
            // Not the namespace: the region's mirrors are kept in it.
            input: document.split("\n---\n").slice(1).join("\n---\n")
          }
        )
      }
      for (const address of allowed) {
        const rule = ["-s", `${address}/32`, "-j", "RETURN"]
        execFileSync("nsenter", inRegion("iptables", "-t", "mangle", "-D", "UNTRUSTED", ...rule))
      }
      rmSync(folder, { recursive: true, force: true })
    })

    it("are built by the pipeline, run by their manifests, and deploy what is pushed to Gitea", async () => {
      const gitea = giteaOf()
      const { buildkit, kubeconfig, registry, temporal } = region()
      if (temporal === undefined) throw new Error("the region has no Temporal")

      // The image, from this repository's commit.
      const own = join(folder, "region.json")
      writeFileSync(
        own,
        JSON.stringify({
          cluster: { kubeconfig, platformDomain: "localhost" },
          buildkit,
          registry: { endpoint: registry.endpoint },
          git: { allowFile: true }
        })
      )
      const publish = () =>
        execFileSync(
          process.execPath,
          [
            join(root, "packages/cli/src/main.ts"),
            ...["registry", "publish", "deployer", "--tag", tag, "--region", own, "--json"],
            ...["--repository", `file://${root.replace(/\/$/, "")}`]
          ],
          { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }
        )
      const result = (text: string) => JSON.parse(text.trim().split("\n").at(-1) ?? "")
      const published = result(publish())
      assert.match(published.digest, /^sha256:/)
      assert.isTrue(published.changed)
      assert.deepStrictEqual(
        [result(publish())].map(({ changed, digest }) => [changed, digest]),
        [[false, published.digest]]
      )

      // The manifests.
      const path = (part: string) => join(folder, `${part}.sock`)
      const out = new URL(gitea.url).host
      const webhookPort = 20_000 + Math.floor(Math.random() * 10_000)
      await relay(
        false,
        ...[path("temporal"), temporal.address, path("gitea"), out],
        ...[`127.0.0.1:${webhookPort}`, path("server")]
      )
      await relay(
        true,
        ...[`${node}:${ports.temporal}`, path("temporal"), `${node}:${ports.gitea}`, path("gitea")],
        ...[`${node}:${ports.buildkit}`, buildkit.address.replace("unix://", "")],
        ...[path("server"), "10.43.0.80:8080"]
      )
      await Effect.runPromise(decodeRegionFile(JSON.stringify(regionFile())))
      document = platform(gitea)
      execFileSync(
        "kubectl",
        ["--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-"],
        {
          input: document
        }
      )
      const ready = () =>
        kubectl(
          ...["get", "deployments", "-n", "dp-system", "-l", "app.kubernetes.io/part-of=mcpdeploy"],
          ...["-o", "jsonpath={.items[*].status.readyReplicas}"]
        )
      await until(() => {
        letThrough()
        return ready() === "2 2" ? true : undefined
      }, 180).catch((error: unknown) => {
        const pods = ["-n", "dp-system", "-l", "app.kubernetes.io/part-of=mcpdeploy"]
        process.stdout.write(`${kubectl("get", "pods", ...pods)}\n`)
        process.stdout.write(
          `${kubectl("get", "events", "-n", "dp-system", "--sort-by=.lastTimestamp").slice(-4000)}\n`
        )
        process.stdout.write(`${kubectl("logs", ...pods, "--tail=20", "--prefix").slice(-4000)}\n`)
        throw error
      })
      const users = kubectl(
        ...["exec", "-n", "dp-system", "deployment/deployer-worker", "--"],
        ...["sh", "-c", "id -u; touch /app/x 2>&1 || true; git --version"]
      )
      assert.match(users, /^1000\n.*Read-only file system\ngit version/)

      // A private repository in Gitea, with its webhook.
      using project = new Project("shipping")
      const [, short = ""] = name.split("/")
      await api(gitea, "POST", "/user/repos", { name: short, default_branch: "main", private: true })
      const source = join(folder, "source")
      const git = (...args: ReadonlyArray<string>): string =>
        execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", ...args], {
          cwd: source,
          encoding: "utf8",
          stdio: ["ignore", "pipe", "pipe"],
          env: {
            PATH: process.env["PATH"] ?? "",
            GIT_CONFIG_COUNT: "1",
            GIT_CONFIG_KEY_0: "http.extraHeader",
            GIT_CONFIG_VALUE_0: `Authorization: token ${gitea.token}`
          }
        }).trim()
      const push = (message: string): string => {
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", message)
        git("push", "-q", "origin", "HEAD:main")
        return git("rev-parse", "HEAD")
      }
      cpSync(join(root, "examples/node-web"), source, { recursive: true })
      git("init", "-q", "-b", "main")
      git("remote", "add", "origin", `${gitea.url}/${name}.git`)
      const first = push("first")

      const request: DeployRequest = {
        ...project.target(),
        source: {
          repository: {
            url: `http://${node}:${ports.gitea}/${name}.git`,
            credentials: { username: "mcpdeploy", password: "env:DEPLOY_SECRET_GITEA" }
          },
          ref: "main"
        },
        build: {},
        run: { port: 3000, env: { GREETING: "world" }, healthCheck: { path: "/healthz" } },
        generation: Date.now()
      }
      const client = await connectClient(temporal.address)
      const deploys = new DeployClient(client, { taskQueue })
      const ended = (commit: string) =>
        until(async () => {
          const found = (await deploys.history(project.target())).find((record) => record.commit === commit)
          return found === undefined || ["Waiting", "Running"].includes(found.verdict._tag)
            ? undefined
            : found
        }, 180)
      await deploys.submit(project.target(), {
        deliveryId: "shipping",
        generation: request.generation,
        origin: "api",
        receivedAt: new Date().toISOString(),
        action: { _tag: "Deploy", request }
      })
      const deployed = await ended(first)
      assert.strictEqual(deployed.verdict._tag, "Deployed", JSON.stringify(deployed))

      await api(gitea, "POST", `/repos/${name}/hooks`, {
        type: "gitea",
        active: true,
        events: ["push", "delete"],
        branch_filter: "*",
        config: {
          url: `http://127.0.0.1:${webhookPort}/webhooks/gitea`,
          content_type: "json",
          secret: createHmac("sha256", gitea.master).update(`mcpdeploy gitea webhook ${name}`).digest("hex")
        }
      })
      const second = push("second")
      const record = await ended(second)
      assert.strictEqual(record.verdict._tag, "Deployed", JSON.stringify(record))
      assert.strictEqual(record.origin, "gitea")
      await deploys.deleteService(project.target())
      await api(gitea, "DELETE", `/repos/${name}`)
      await client.connection.close()
    }, 900_000)
  },
  ({ gitea }) =>
    gitea === undefined
      ? "the region has no Gitea"
      : full
        ? undefined
        : "minutes of two cores, with MCPDEPLOY_TEST_FULL=1"
)
