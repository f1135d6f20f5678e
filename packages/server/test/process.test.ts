/** The process: what it says when it cannot start, and how it ends. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OtlpReceiver } from "@mcpdeploy/core/testing/OtlpReceiver"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { headersFor, pushBody, secretOf } from "./support/TestServer.ts"
import { ServerProcess } from "./support/ServerProcess.ts"

let folder = ""
const secret = "0123456789abcdef-the-master"
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
/** Everything is right, but nothing of it is there. */
const environment = (change: Record<string, string> = {}) => ({
  TEMPORAL_ADDRESS: "127.0.0.1:1",
  MCPDEPLOY_REGION: join(folder, "region.json"),
  MCPDEPLOY_WEBHOOK_SECRETS: folder,
  MCPDEPLOY_HTTP_PORT: "0",
  ...change
})

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "mcpdeploy-server-"))
  file("github", `${secret}\n`)
  file("kubeconfig", kubeconfig)
  file(
    "region.json",
    JSON.stringify({
      cluster: { kubeconfig: join(folder, "kubeconfig"), platformDomain: "localhost" },
      buildkit: { address: "unix:///none" },
      registry: { endpoint: "http://127.0.0.1:1" }
    })
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const kubeconfig = JSON.stringify({
  "current-context": "c",
  clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
  users: [{ name: "u", user: { token: "t" } }],
  contexts: [{ name: "c", context: { cluster: "c", user: "u" } }]
})

describe("deployer-server", () => {
  it("names all mistakes of its environment in one line, and no value", async () => {
    using server = new ServerProcess({
      TEMPORAL_ADDRESS: "nowhere",
      MCPDEPLOY_WEBHOOK_SECRETS: "relative",
      MCPDEPLOY_HTTP_PORT: "70000",
      MCPDEPLOY_BODY_LIMIT: "many",
      MCPDEPLOY_GITHUB_URL: "https://user:s3cr3t-value@github.com"
    })
    assert.strictEqual(await server.ended, 1)
    assert.lengthOf(server.stderr.trim().split("\n"), 1)
    for (const name of [
      "TEMPORAL_ADDRESS",
      "MCPDEPLOY_REGION",
      "MCPDEPLOY_WEBHOOK_SECRETS",
      "MCPDEPLOY_HTTP_PORT",
      "MCPDEPLOY_BODY_LIMIT",
      "MCPDEPLOY_GITHUB_URL"
    ]) {
      assert.include(server.stderr, name)
    }
    assert.notInclude(server.stderr, "s3cr3t-value")
  })

  it("does not start with secrets that are empty, too short or not there", async () => {
    for (const [name, text] of [
      ["github", "\n\n"],
      ["gitea", "short"],
      ["other", "0123456789abcdef0123456789abcdef"]
    ] as const) {
      const own = mkdtempSync(join(folder, "secrets-"))
      writeFileSync(join(own, name), text)
      using server = new ServerProcess(environment({ MCPDEPLOY_WEBHOOK_SECRETS: own }))
      assert.strictEqual(await server.ended, 1)
      assert.match(server.stderr, /MCPDEPLOY_WEBHOOK_SECRETS/)
      assert.notInclude(server.stderr, text.trim() === "" ? "\u0000" : `${text}"`)
    }
  })

  it("says in one line when its port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1")
    await new Promise((resolve) => taken.once("listening", resolve))
    const address = taken.address()
    const port = typeof address === "object" && address !== null ? String(address.port) : "0"
    using server = new ServerProcess(environment({ MCPDEPLOY_HTTP_PORT: port }))
    assert.strictEqual(await server.ended, 1)
    assert.match(server.stderr, /^deployer-server: 127\.0\.0\.1:\d+ cannot be listened on/)
    taken.close()
  })

  it("lives without Temporal and cluster, is not ready, takes nothing, and ends with 0", async () => {
    using server = new ServerProcess(environment())
    const url = `http://127.0.0.1:${await server.port()}`
    const ready = await fetch(`${url}/readyz`)
    assert.strictEqual(ready.status, 503)
    assert.strictEqual(await ready.text(), "Temporal does not answer, the catalog cannot be read\n")
    assert.strictEqual((await fetch(`${url}/healthz`)).status, 200)
    const body = pushBody()
    const headers = headersFor("github", body, secretOf("github", "acme/web", secret))
    const begun = performance.now()
    const sent = await fetch(`${url}/webhooks/github`, { method: "POST", headers, body })
    assert.isBelow(performance.now() - begun, 1000)
    assert.deepStrictEqual([sent.status, sent.headers.get("retry-after")], [503, "5"])
    assert.strictEqual(await server.stop(), 0, server.stderr)
    for (const text of [server.stdout, server.stderr]) assert.notInclude(text, secret)
  })

  it("tells a collector what it did, and no secret", async () => {
    using collector = await OtlpReceiver.start()
    using server = new ServerProcess(
      environment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" })
    )
    const url = `http://127.0.0.1:${await server.port()}`
    const body = pushBody()
    const headers = headersFor("github", body, secretOf("github", "acme/web", secret))
    assert.strictEqual((await fetch(`${url}/webhooks/github`, { method: "POST", headers, body })).status, 503)
    assert.strictEqual(await server.stop(), 0, server.stderr)
    assert.deepStrictEqual(collector.violations, [])
    assert.deepStrictEqual([...collector.services], ["deployer-server"])
    assert.isNotEmpty(collector.spans)
    assert.isNotEmpty(collector.logs)
    assert.isTrue(
      [...collector.metrics].some((name) => name.startsWith("mcpdeploy_webhook")),
      [...collector.metrics].join()
    )
    assert.notInclude(collector.raw, secret)
  })
})
