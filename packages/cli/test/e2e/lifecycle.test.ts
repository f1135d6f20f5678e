/** The end of a service and of a project: nothing of them is left anywhere, also when the deletion is killed on its way. */
import { execFile, execFileSync, spawn } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import * as Schema from "effect/Schema"
import { afterAll, assert, beforeAll, it } from "vitest"
import { cliPath, describeOnRegion, mcpdeploy, regionFile, Repository, smallApp } from "./harness.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const serviceCount = isFull ? 10 : 3
const id = Date.now().toString(36)
const project = `end-${id}`
const namespace = `dp-e2e-${project}`

const endpoints = () =>
  Schema.decodeSync(Schema.fromJsonString(RegionEndpoints))(readFileSync(regionFile ?? "", "utf8"))

const kubectl = async (...args: ReadonlyArray<string>) =>
  (
    await promisify(execFile)("kubectl", ["--kubeconfig", endpoints().kubeconfig, ...args], {
      maxBuffer: 64 * 1024 * 1024
    })
  ).stdout.trim()

const Tags = Schema.Struct({ tags: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))) })
const tagsOf = async (service: string): Promise<ReadonlyArray<string>> => {
  const answer = await fetch(`${endpoints().registry.endpoint}/v2/${namespace}/${service}/tags/list`)
  return Schema.decodeUnknownSync(Tags)(await answer.json()).tags ?? []
}

/** Kills the command line at its `at`th event of a removal. Returns whether it came so far. */
const killedAt = (args: ReadonlyArray<string>, at: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliPath, "--json", ...args], {
      env: { ...process.env, MCPDEPLOY_LOCAL_DATA: dirname(regionFile ?? "") },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let seen = 0
    let rest = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) if (line.includes('"_tag":"Removal') && ++seen > at) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", (_, signal) => resolve(signal === "SIGKILL"))
  })

describeOnRegion("deletion", () => {
  const repository = new Repository()
  const services = Array.from({ length: serviceCount }, (_, index) => `web-${index}`)
  const zone = `${project}.com`
  let zoneFile: string | undefined
  let gitea: { readonly url: string; readonly token: string } | undefined
  const mirror = `mirrors-${id}/${project}`

  const api = (method: string, path: string, body?: unknown) =>
    fetch(`${gitea?.url}/api/v1${path}`, {
      method,
      headers: { authorization: `token ${gitea?.token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })

  beforeAll(async () => {
    const region = endpoints()
    const file = (lines: ReadonlyArray<string>) =>
      ["user: e2e", `project: ${project}`, "services:", ...lines, ""].join("\n")
    const run = "run: { port: 8080, memory: 64Mi, cpu: 50m }"
    const lines = services.map((name) => `  ${name}: { ${run} }`)
    repository.write({ ...smallApp(), "mcpdeploy.yaml": file(lines) }).commit()
    repository.git("branch", "feature/Blue_Button")
    if (region.gitea !== undefined) {
      gitea = { url: region.gitea.url, token: readFileSync(region.gitea.tokenFile, "utf8").trim() }
      await api("POST", "/user/repos", { name: project, default_branch: "main" })
      const source = `${gitea.url}/mcpdeploy/${project}.git`
      repository.git("push", "-q", source.replace("://", `://mcpdeploy:${gitea.token}@`), "main")
      const added = await mcpdeploy([
        "mirror",
        "add",
        source,
        "--as",
        mirror,
        "--username",
        "mcpdeploy",
        "--password",
        `file:${region.gitea.tokenFile}`
      ])
      assert.strictEqual(added.code, 0, added.stderr)
      const credentials = `{ username: mcpdeploy, password: "file:${region.gitea.tokenFile}" }`
      const fromMirror = `source: { ref: main, repository: { url: "${gitea.url}/${mirror}.git", credentials: ${credentials} } }`
      repository.write({ "mcpdeploy.yaml": file([...lines, `  mirrored: { ${fromMirror}, ${run} }`]) })
    }
    if (region.acme !== undefined) {
      zoneFile = join(region.acme.zones, `db.${zone}`)
      const soa = `@ IN SOA ns hostmaster ${Math.floor(Date.now() / 1000)} 60 60 60 1`
      writeFileSync(
        zoneFile,
        `$ORIGIN ${zone}.\n$TTL 1\n${soa}\n@ IN NS ns\nns IN A 127.0.0.1\nwww IN CNAME ${region.acme.cnameTarget}.\n`
      )
    }
  }, 60_000)
  afterAll(async () => {
    if (zoneFile !== undefined) rmSync(zoneFile, { force: true })
    if (gitea !== undefined) await api("DELETE", `/repos/mcpdeploy/${project}`)
    repository[Symbol.dispose]()
  })

  const cli = async (...args: ReadonlyArray<string>) => {
    const result = await mcpdeploy([...repository.serviceFile, ...args])
    assert.strictEqual(result.code, 0, `${args.join(" ")}: ${result.stdout}${result.stderr}`)
    return result
  }

  it("of a service leaves the others, and says what it removed", async () => {
    await cli("deploy")
    assert.deepInclude(await tagsOf("web-0"), "buildcache")
    const { stdout } = await cli("--json", "delete", "web-0", "--yes")
    const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
    assert.include(result.objects, "Deployment web-0")
    assert.include(result.objects, "ConfigMap web-0.request")
    assert.include(result.images, `${namespace}/web-0:buildcache`)
    assert.deepStrictEqual(await tagsOf("web-0"), [])
    assert.isAbove((await tagsOf("web-1")).length, 1)
    assert.include(await kubectl("-n", namespace, "get", "deployments", "-o", "name"), "web-1")
    const again = await cli("--json", "delete", "web-0", "--yes")
    assert.deepInclude(JSON.parse(again.stdout.trim().split("\n").at(-1) ?? ""), { objects: [], images: [] })
  })

  it(
    `of a project with ${serviceCount} services, domains, a mirror and a preview is killed at every step, and leaves nothing`,
    async () => {
      await cli("deploy")
      await cli("preview", "deploy", "feature/Blue_Button", "web-1", "--hours", "1")
      assert.match(
        (await cli("preview", "list")).stdout,
        /web-1-feature-blue-button-[0-9a-f]{6}: branch feature\/Blue_Button/
      )
      if (zoneFile !== undefined) {
        await cli("domain", "add", `www.${zone}`, "--service", "web-1")
        // Nothing leads there: it stays a claim.
        await mcpdeploy([...repository.serviceFile, "domain", "add", `shop.${zone}`, "--service", "web-2"])
        assert.include((await cli("domain", "list")).stdout, `shop.${zone}`)
      }
      const present = await kubectl(
        "-n",
        namespace,
        "get",
        "configmaps,deployments,ingresses,services,secrets",
        "-o",
        "name"
      )
      assert.isAbove(present.split("\n").length, serviceCount * 4)

      const remove = [...repository.serviceFile, "project", "delete", "--yes"]
      let kills = 0
      while (await killedAt(remove, kills)) kills++
      assert.isAtLeast(kills, 8, "the removal has that many moments at which it can be killed")

      const { stdout } = await cli("--json", "project", "delete", "--yes")
      assert.deepInclude(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""), {
        objects: [],
        images: [],
        domains: [],
        mirrors: [],
        namespaces: []
      })
      assert.strictEqual(await kubectl("get", "namespace", namespace, "--ignore-not-found"), "")
      for (const service of [...services, "mirrored"])
        assert.deepStrictEqual(await tagsOf(service), [], service)
      const everywhere = "configmaps,secrets,deployments,services,ingresses,cronjobs,jobs,pods"
      const left = await kubectl(
        "get",
        everywhere,
        "-A",
        "-l",
        `mcpdeploy.dev/project=${project}`,
        "-o",
        "name"
      )
      // A released claim stays as a tombstone, held by nobody: whoever wants the host next has to prove that it is theirs.
      assert.deepStrictEqual(
        left.split("\n").filter((name) => name !== "" && !name.endsWith(zone)),
        []
      )
      assert.include((await cli("domain", "list")).stdout, "no domains")
      if (zoneFile !== undefined) {
        const certificates = await kubectl("get", "certificates,orders,challenges", "-A", "-o", "name")
        assert.notInclude(certificates, zone)
      }
      if (gitea !== undefined) {
        assert.strictEqual((await api("GET", `/repos/${mirror}/hooks`)).status, 404)
        assert.notInclude((await mcpdeploy(["mirror", "list"])).stdout, mirror)
      }
    },
    isFull ? 600_000 : 240_000
  )

  it("of a branch's previews leaves the service, and their time can be over", async () => {
    await cli("deploy", "web-1")
    await cli("preview", "deploy", "feature/Blue_Button", "web-1", "--hours", "0")
    execFileSync("sleep", ["0.1"])
    const { stdout } = await cli("preview", "prune")
    assert.match(stdout, /web-1-feature-blue-button-[0-9a-f]{6} is deleted/)
    assert.include((await cli("preview", "list")).stdout, "no previews")
    assert.include((await cli("status", "web-1")).stdout, "1 of 1 ready")
    await cli("project", "delete", "--yes")
  })
})
