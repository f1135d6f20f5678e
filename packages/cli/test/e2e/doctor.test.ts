import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Finding } from "@mcpdeploy/provider-k3s/doctor/Finding"
import * as Schema from "effect/Schema"
import { assert, it } from "vitest"
import { describeOnRegion, mcpdeploy, regionFile } from "./harness.ts"

const decodeFinding = Schema.decodeUnknownSync(Schema.fromJsonString(Finding))

const examine = async (...args: ReadonlyArray<string>) => {
  const run = await mcpdeploy(["doctor", "--json", ...args], { env: { DOCTOR_PASSWORD: "geheim-4711" } })
  const findings = run.stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => decodeFinding(line))
  const stateOf = (check: string) => findings.find((finding) => finding.check === check)?.state
  return { ...run, findings, stateOf }
}

describeOnRegion("doctor", () => {
  it("finds nothing that fails on a healthy region", async () => {
    const { code, findings, stateOf } = await examine()
    assert.deepStrictEqual(
      findings.filter(({ state }) => state === "failed"),
      []
    )
    assert.strictEqual(code, 0)
    for (const check of ["rights", "sandbox", "ingress class", "admission", "builder", "registry", "ingress"])
      assert.strictEqual(stateOf(check), "ok", check)
    assert.isTrue(findings.some(({ check }) => check.startsWith("node ")))
  })

  it("tells each part that is broken, with what to do, and no secret", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-doctor-"))
    try {
      const { kubeconfig }: { readonly kubeconfig: string } = JSON.parse(
        readFileSync(regionFile ?? "", "utf8")
      )
      const file = join(folder, "region.json")
      const write = (cluster: object) =>
        writeFileSync(
          file,
          JSON.stringify({
            cluster: { platformDomain: "localhost", ingressEndpoint: "http://127.0.0.1:1", ...cluster },
            buildkit: { address: "tcp://127.0.0.1:1" },
            registry: { endpoint: "http://127.0.0.1:1", username: "u", password: "env:DOCTOR_PASSWORD" }
          })
        )
      write({ kubeconfig, domains: { issuer: "no-such-issuer" } })
      const broken = await examine("--region", file)
      assert.strictEqual(broken.code, 1)
      for (const check of ["builder", "registry", "ingress", "certificates"])
        assert.strictEqual(broken.stateOf(check), "failed", check)
      for (const { advice, state } of broken.findings) if (state !== "ok") assert.isNotEmpty(advice)
      assert.strictEqual(
        broken.findings.find(({ check }) => check === "builder")?.detail,
        "connect ECONNREFUSED 127.0.0.1:1"
      )
      assert.strictEqual(broken.stateOf("sandbox"), "ok")
      assert.notInclude(broken.stdout + broken.stderr, "geheim-4711")

      write({ kubeconfig: join(folder, "nothing") })
      const blind = await examine("--region", file)
      assert.strictEqual(blind.code, 1)
      assert.strictEqual(blind.stateOf("API server"), "failed")
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
