/** What changes a running service without a build, and what runs beside it. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import * as Schema from "effect/Schema"
import { afterAll, assert, beforeAll, it } from "vitest"
import { ask, describeOnRegion, mcpdeploy, regionFile, Repository, smallApp } from "./harness.ts"

/** A service keeps 10 receipts: all of them in the full run. */
const commitCount = process.env["MCPDEPLOY_TEST_FULL"] === "1" ? 11 : 3
const project = `change-${Date.now().toString(36)}`
const namespace = `dp-e2e-${project}`

const kubectl = async (...args: ReadonlyArray<string>) => {
  const { kubeconfig } = Schema.decodeSync(Schema.fromJsonString(RegionEndpoints))(
    readFileSync(regionFile ?? "", "utf8")
  )
  return (
    await promisify(execFile)("kubectl", ["--kubeconfig", kubeconfig, "-n", namespace, ...args])
  ).stdout.trim()
}

const app = (text: string) =>
  smallApp({
    text,
    cmd: `CMD ["sh", "-c", "[ -z \\"$CRASH\\" ] || exit 3; echo \\"$GREETING $TOKEN\\" >> /www/index.html; exec httpd -f -p $PORT -h /www"]`
  })

const Receipt = Schema.Struct({
  commit: Schema.String,
  digest: Schema.String,
  pods: Schema.Array(Schema.Struct({ name: Schema.String }))
})
const receiptOf = (stdout: string) =>
  Schema.decodeSync(Schema.fromJsonString(Receipt))(stdout.trim().split("\n").at(-1) ?? "")

describeOnRegion("without a build", () => {
  const repository = new Repository()
  const commits: Array<string> = []
  let url = ""

  const fileOf = (more = "") =>
    `user: e2e\nproject: ${project}\nservices:\n  web: { run: { port: 8080, memory: 64Mi, cpu: 100m, rolloutSeconds: 60${more} } }\n`
  const cli = async (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
    const result = await mcpdeploy([...repository.serviceFile, ...args], { env })
    assert.strictEqual(result.code, 0, `${args.join(" ")}: ${result.stdout}${result.stderr}`)
    return result
  }
  /** Waits until the service says it: for some seconds after a change the pods before it still answer. */
  const says = async (text: string) => {
    let body = ""
    for (let attempt = 0; attempt < 100; attempt++) {
      body = (await ask(url)).body
      if (body.includes(text)) return
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    assert.include(body, text)
  }

  beforeAll(async () => {
    for (let index = 0; index < commitCount; index++) {
      commits.push(repository.write({ ...app(`version ${index}`), "mcpdeploy.yaml": fileOf() }).commit())
      const { outcomes } = await cli(["--json", "deploy"])
      if (outcomes[0]?._tag === "Deployed") url = outcomes[0].receipt.probe?.url ?? ""
    }
  }, 240_000)
  afterAll(async () => {
    await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])
    repository[Symbol.dispose]()
  })

  it("every kept receipt can be returned to", async () => {
    const kept = commits.slice(-10)
    for (const commit of [...kept.slice(0, -1), ...kept.slice(-1)]) {
      const receipt = receiptOf((await cli(["--json", "rollback", "--to", commit])).stdout)
      assert.strictEqual(receipt.commit, commit)
      await says(`version ${commits.indexOf(commit)}`)
    }
  }, 240_000)

  it("a deploy with another environment takes the same image", async () => {
    const before = receiptOf((await cli(["--json", "rollback", "--to", commits.at(-1) ?? ""])).stdout)
    repository.write({ "mcpdeploy.yaml": fileOf(", env: { GREETING: fromfile }") })
    const { events, outcomes } = await cli(["--json", "deploy"])
    const built = events.find((event) => event._tag === "StepFinished" && event.step === "build")
    assert.include(built?._tag === "StepFinished" ? built.summary : "", "nothing to build")
    assert.isUndefined(events.find((event) => event._tag === "StepLog"))
    assert.strictEqual(outcomes[0]?._tag === "Deployed" ? outcomes[0].receipt.digest : "", before.digest)
    await says("fromfile")
  })

  it("variables and secrets are set and unset, and the next push keeps them", async () => {
    await cli(["env", "set", "GREETING=hello $(world)", "--secret", "TOKEN=env:MY_TOKEN"], {
      MY_TOKEN: "geheim"
    })
    await says("hello $(world) geheim")
    const list = (await cli(["env", "list"])).stdout
    assert.include(list, "GREETING=hello $(world)")
    assert.include(list, "TOKEN=(secret, env:MY_TOKEN)")
    assert.notInclude(list, "geheim")
    // Its value is not known any more, and not needed: only a plain variable changes.
    await cli(["env", "set", "GREETING=servus"])
    await says("servus geheim")
    assert.include(await kubectl("get", "configmap", "web.request", "-o", "jsonpath={.data}"), "servus")
    await cli(["env", "unset", "GREETING", "TOKEN"])
    assert.notInclude((await cli(["env", "list"])).stdout, "servus")
  })

  it("a change with which the app does not start is returned from, and says why", async () => {
    const { code, stderr } = await mcpdeploy([...repository.serviceFile, "env", "set", "CRASH=yes"])
    assert.strictEqual(code, 1)
    assert.include(stderr, "crashes with exit code 3")
    assert.include((await cli(["status"])).stdout, "1 of 1 ready")
    assert.notInclude((await cli(["env", "list"])).stdout, "CRASH")
    await says(`version ${commitCount - 1}`)
  })

  it("a service is scaled and restarted", async () => {
    const scaled = receiptOf((await cli(["--json", "scale", "2"])).stdout)
    assert.lengthOf(scaled.pods, 2)
    const restarted = receiptOf((await cli(["--json", "restart"])).stdout)
    assert.lengthOf(restarted.pods, 2)
    assert.strictEqual(restarted.digest, scaled.digest)
    const names = new Set(scaled.pods.map(({ name }) => name))
    assert.isUndefined(restarted.pods.find(({ name }) => names.has(name)))
    assert.lengthOf(receiptOf((await cli(["--json", "scale", "1"])).stdout).pods, 1)
    assert.strictEqual((await mcpdeploy([...repository.serviceFile, "scale", "51"])).code, 2)
  })

  it("a command runs once with the service's environment, and its exit code is passed on", async () => {
    await cli(["env", "set", "GREETING=inside"])
    const { code, stdout } = await mcpdeploy([
      ...repository.serviceFile,
      "run",
      "web",
      "--",
      "sh",
      "-c",
      'echo "$GREETING" of "$(hostname)"; echo to stderr >&2; dmesg | head -n 1; exit 7'
    ])
    assert.strictEqual(code, 7, stdout)
    assert.match(stdout, /inside of web-run-/)
    assert.include(stdout, "to stderr")
    assert.match(stdout, /gVisor/i)
    assert.strictEqual(await kubectl("get", "jobs", "-o", "name"), "")
    const late = await mcpdeploy([
      ...repository.serviceFile,
      "run",
      "--deadline",
      "4",
      "web",
      "--",
      "sleep",
      "100"
    ])
    assert.strictEqual(late.code, 1)
    assert.include(late.stderr, "had not ended after 4 seconds")
    assert.strictEqual(await kubectl("get", "jobs,pods", "-l", "mcpdeploy.dev/job-of=web", "-o", "name"), "")
    const absent = await mcpdeploy([...repository.serviceFile, "run", "web", "--", "no-such-program"])
    assert.strictEqual(absent.code, 128)
    assert.include(absent.stdout, "no-such-program")
  })

  it("scheduled jobs are made, run under the cluster's rules, and go when they are no longer wanted", async () => {
    repository.write({
      "mcpdeploy.yaml": fileOf(
        `, env: { GREETING: scheduled }, jobs: { report: { schedule: "0 4 * * *", timeZone: Europe/Berlin, command: [sh, -c, "echo report $GREETING"] }, other: { schedule: "@daily", command: ["true"] } }`
      )
    })
    await cli(["deploy"])
    assert.deepStrictEqual((await kubectl("get", "cronjobs", "-o", "name")).split("\n"), [
      "cronjob.batch/web-other",
      "cronjob.batch/web-report"
    ])
    await kubectl("create", "job", "--from=cronjob/web-report", "now")
    await kubectl("wait", "--for=condition=complete", "--timeout=60s", "job/now")
    assert.include(await kubectl("logs", "job/now"), "report scheduled")
    const endpoints = await kubectl(
      "get",
      "endpointslices",
      "-l",
      "kubernetes.io/service-name=web",
      "-o",
      "json"
    )
    assert.notInclude(endpoints, '"now-', "no user is led to a job")
    await kubectl("delete", "job", "now")
    repository.write({ "mcpdeploy.yaml": fileOf() })
    await cli(["deploy"])
    assert.strictEqual(await kubectl("get", "cronjobs", "-o", "name"), "")
  })
})
