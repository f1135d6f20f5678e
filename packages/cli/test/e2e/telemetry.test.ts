/** What the command line sends to a collector. */
import { OtlpReceiver, textOf } from "@mcpdeploy/core/testing/OtlpReceiver"
import { assert, it } from "vitest"
import { describeOnRegion, mcpdeploy, Repository, serviceFileOf, smallApp } from "./harness.ts"

describeOnRegion("telemetry of mcpdeploy", () => {
  it("a deploy is one trace with a span for each step", async () => {
    using collector = await OtlpReceiver.start()
    using repository = new Repository()
    const project = `otel-${Date.now().toString(36)}`
    const commit = repository
      .write({
        ...smallApp(),
        "mcpdeploy.yaml": serviceFileOf(project, "{ port: 8080, memory: 64Mi, cpu: 50m }")
      })
      .commit()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json"
    }
    try {
      const deployed = await mcpdeploy([...repository.serviceFile, "--json", "deploy"], { env })
      assert.strictEqual(deployed.code, 0, deployed.stderr)
      assert.deepStrictEqual(collector.violations, [])
      assert.deepStrictEqual([...collector.services], ["mcpdeploy"])
      const whole = collector.spans.find(({ name }) => name === "DeployRunner.deploy")
      for (const step of ["clone", "build", "push", "deploy", "verify"]) {
        const span = collector.spans.find(({ name }) => name === `DeploySteps.${step}`)
        assert.strictEqual(span?.traceId, whole?.traceId, step)
        assert.strictEqual(textOf(span?.attributes ?? [], "mcpdeploy.commit"), commit, step)
      }
      assert.isTrue(collector.metrics.has("mcpdeploy_step_duration_seconds"))
    } finally {
      await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])
    }
  })
})
