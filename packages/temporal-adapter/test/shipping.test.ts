/**
 * The processes as they are shipped: their image is built from a commit of this repository by the pipeline itself, and runs as the
 * manifests say, with their accounts, probes and read-only file systems. What is pushed to a mirrored repository is deployed by them; a
 * delivery that found nobody is sent again; Gitea loses everything and is rebuilt.
 *
 * Minutes of two cores: only with MCPDEPLOY_TEST_FULL=1.
 */
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { assert, it } from "@effect/vitest"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
import { GiteaClient } from "./support/GiteaClient.ts"
import { connectClient, until } from "./support/Harness.ts"
import { giteaForPods, PlatformPods } from "./support/PlatformPods.ts"
import { describeOnRegion, kubectl, Project, region, unique } from "./support/Region.ts"

const root = new URL("../../..", import.meta.url).pathname

/** A private repository in Gitea itself stands for one on another forge. */
class Source {
  readonly name = `mcpdeploy/source-${unique()}`
  readonly #folder: string
  readonly #gitea: GiteaClient

  constructor(gitea: GiteaClient, folder: string) {
    this.#gitea = gitea
    this.#folder = join(folder, "source")
  }
  async create(): Promise<void> {
    mkdirSync(this.#folder)
    await this.#gitea.api("POST", "/user/repos", {
      ...{ name: this.name.split("/")[1], default_branch: "main", private: true }
    })
    cpSync(join(root, "examples/node-web"), this.#folder, { recursive: true })
    this.#git("init", "-q", "-b", "main")
    this.#git("remote", "add", "origin", `${this.#gitea.url}/${this.name}.git`)
  }
  push(message: string): string {
    this.#git("add", "-A")
    this.#git("commit", "-q", "--allow-empty", "-m", message)
    this.#git("push", "-q", "origin", "HEAD:main")
    return this.#git("rev-parse", "HEAD")
  }
  #git(...args: ReadonlyArray<string>): string {
    return execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", ...args], {
      cwd: this.#folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "",
        // On no command line.
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "http.extraHeader",
        GIT_CONFIG_VALUE_0: `Authorization: token ${this.#gitea.token}`
      }
    }).trim()
  }
}

const full = process.env["MCPDEPLOY_TEST_FULL"] === "1"

describeOnRegion(
  "deployer-worker and deployer-server as they are shipped",
  () => {
    it("are built by the pipeline, run by their manifests, and deploy what is pushed to a mirrored repository, also after both have lost something", async () => {
      const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-shipping-"))
      const gitea = new GiteaClient()
      const { buildkit, kubeconfig, registry, temporal } = region()
      const taskQueue = `k8s-native-shipping-${unique()}`
      const tag = `test-${unique()}`
      const pods = new PlatformPods({ tag, taskQueue, gitea, folder })
      const own = join(folder, "region.json")
      writeFileSync(
        own,
        JSON.stringify({
          cluster: { kubeconfig, platformDomain: "localhost" },
          buildkit,
          registry: { endpoint: registry.endpoint },
          git: { allowFile: true },
          gitea: {
            url: gitea.url,
            token: `file:${gitea.tokenFile}`,
            webhookUrl: `http://127.0.0.1:${pods.port}/webhooks/gitea`,
            webhookSecret: `file:${gitea.webhookSecretFile}`
          }
        })
      )
      const cli = (...args: ReadonlyArray<string>): string =>
        execFileSync(
          process.execPath,
          [join(root, "packages/cli/src/main.ts"), ...args, "--region", own, "--json"],
          { encoding: "utf8", maxBuffer: 64 * 1024 * 1024, env: { ...process.env, GITEA_TOKEN: gitea.token } }
        )
      using project = new Project("shipping")
      const source = new Source(gitea, folder)
      const mirror = `shipping-${unique()}/web`
      const client = await connectClient(temporal?.address ?? "")
      const deploys = new DeployClient(client, { taskQueue })
      try {
        const publish = () =>
          JSON.parse(
            cli(
              ...["registry", "publish", "deployer", "--tag", tag],
              ...["--repository", `file://${root.replace(/\/$/, "")}`]
            )
              .trim()
              .split("\n")
              .at(-1) ?? ""
          )
        const published = publish()
        assert.match(published.digest, /^sha256:/)
        assert.isTrue(published.changed)
        const again = publish()
        assert.deepStrictEqual([again.changed, again.digest], [false, published.digest])

        await pods.start()
        assert.match(
          kubectl(
            ...["exec", "-n", "dp-system", "deployment/deployer-worker", "--"],
            ...["sh", "-c", "id -u; touch /app/x 2>&1 || true; git --version"]
          ),
          /^1000\n.*Read-only file system\ngit version/
        )

        await source.create()
        const first = source.push("first")
        cli(
          ...["mirror", "add", `${gitea.url}/${source.name}.git`, "--as", mirror],
          ...["--username", "mcpdeploy", "--password", "env:GITEA_TOKEN"]
        )
        const request: DeployRequest = {
          ...project.target(),
          source: {
            repository: {
              url: `${giteaForPods}/${mirror}.git`,
              credentials: { username: "mcpdeploy", password: "env:DEPLOY_SECRET_GITEA" }
            },
            ref: "main"
          },
          build: {},
          run: { port: 3000, env: { GREETING: "world" }, healthCheck: { path: "/healthz" } },
          generation: Date.now()
        }
        await deploys.submit(project.target(), {
          deliveryId: "shipping",
          generation: request.generation,
          origin: "api",
          receivedAt: new Date().toISOString(),
          action: { _tag: "Deploy", request }
        })
        const begun = await until(async () => {
          const record = await deploys.verdict(project.target(), { deliveryId: "shipping" })
          return record === undefined || ["Waiting", "Running"].includes(record.verdict._tag)
            ? undefined
            : record
        }, 180)
        assert.strictEqual(
          begun.verdict._tag === "Deployed" ? begun.verdict.receipt.commit : JSON.stringify(begun.verdict),
          first
        )

        /** The deploy that a webhook has made of the commit. */
        const deployed = async (commit: string) => {
          const record = await until(async () => {
            const found = (await deploys.history(project.target())).find((one) => one.commit === commit)
            return found === undefined || ["Waiting", "Running"].includes(found.verdict._tag)
              ? undefined
              : found
          }, 180)
          assert.deepStrictEqual(
            [record.verdict._tag, record.origin],
            ["Deployed", "gitea"],
            JSON.stringify(record)
          )
        }
        const second = source.push("second")
        cli("mirror", "sync", mirror)
        await deployed(second)

        // Nobody takes the delivery; then a person has it sent again.
        kubectl("scale", "-n", "dp-system", "deployment/deployer-server", "--replicas=0")
        kubectl(
          ...["wait", "-n", "dp-system", "--for=delete", "pod", "--timeout=60s"],
          ...["-l", "app.kubernetes.io/name=deployer-server"]
        )
        const third = source.push("third")
        cli("mirror", "sync", mirror)
        await setTimeout(5000)
        kubectl("scale", "-n", "dp-system", "deployment/deployer-server", "--replicas=2")
        await pods.ready("2 2")
        assert.isUndefined((await deploys.history(project.target())).find(({ commit }) => commit === third))
        await gitea.redeliver(mirror)
        await deployed(third)

        // Gitea's machine is lost: a new one knows nothing of the mirror.
        await gitea.api("DELETE", `/repos/${mirror}`)
        await gitea.api("DELETE", `/orgs/${mirror.split("/")[0]}`)
        assert.include(cli("mirror", "list"), `"name":"${mirror}"`)
        cli("mirror", "rebuild")
        const fourth = source.push("fourth")
        cli("mirror", "sync", mirror)
        await deployed(fourth)
        await deploys.deleteService(project.target())
      } finally {
        await client.connection.close()
        cli("mirror", "remove", mirror)
        await gitea.api("DELETE", `/repos/${source.name}`).catch(() => "was not made yet")
        pods.stop()
        rmSync(folder, { recursive: true, force: true })
      }
    }, 900_000)
  },
  ({ gitea }) =>
    gitea === undefined
      ? "the region has no Gitea"
      : full
        ? undefined
        : "minutes of two cores, with MCPDEPLOY_TEST_FULL=1"
)
