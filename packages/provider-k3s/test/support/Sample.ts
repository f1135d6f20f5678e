/** The workload that the templates of `regions/…/k8s/templates` are filled with. */
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import { Generation, HealthCheck, JobSpec, RunSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { ImageDigest, ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import { PlatformDomain, platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { CommitSha, SecretRef } from "@mcpdeploy/core/domain/Source"
import * as Redacted from "effect/Redacted"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"

export const region = new RegionConfig({ platformDomain: PlatformDomain.make("ml.ink") })

export const targetOf = (user: string, project: string, service: string) =>
  new ServiceTarget({
    owner: new Owner({ user: UserId.make(user), project: ProjectName.make(project) }),
    service: ServiceName.make(service)
  })

export const commitOf = (number: number): CommitSha => CommitSha.make(number.toString(16).padStart(40, "0"))

export const workloadOf = (
  target: ServiceTarget,
  generation: number,
  options: {
    readonly run?: Partial<ConstructorParameters<typeof RunSpec>[0]>
    readonly secrets?: Readonly<Record<string, string>>
    readonly digest?: ImageDigest
    readonly commit?: CommitSha
  } = {}
): Workload => {
  const { commit = commitOf(generation), digest, run, secrets = {} } = options
  return {
    target,
    image: new ImageRef({
      registry: internalRegistry,
      namespace: target.namespace,
      service: target.service,
      commit
    }),
    digest: digest ?? ImageDigest.make(`sha256:${commit.slice(8).padEnd(64, "0")}`),
    generation: Generation.make(generation),
    run: new RunSpec({
      port: 8080,
      secrets: Object.fromEntries(Object.keys(secrets).map((name) => [name, SecretRef.make(`env:${name}`)])),
      ...run
    }),
    secrets: Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, Redacted.make(value)]))
  }
}

export const sample = workloadOf(targetOf("user1", "project1", "my-service"), 1_700_000_000_000, {
  commit: CommitSha.make("0123456789abcdef0123456789abcdef01234567"),
  digest: ImageDigest.make(`sha256:${"c0ffee".padEnd(64, "0")}`),
  run: {
    port: 8081,
    command: ["node", "server.js"],
    env: { GREETING: "hello" },
    replicas: 2,
    cpu: "500m",
    memory: "256Mi",
    healthCheck: new HealthCheck({ path: "/healthz", periodSeconds: 15 }),
    rolloutSeconds: 120,
    jobs: {
      report: new JobSpec({
        schedule: "0 4 * * *",
        timeZone: "Europe/Berlin",
        command: ["report"],
        deadlineSeconds: 60
      })
    }
  },
  secrets: { TOKEN: "secret" }
})

/** What stands for what in the templates. */
export const placeholders: Readonly<Record<string, string>> = {
  user: "user1",
  project: "project1",
  service: "my-service",
  commit: sample.image.commit,
  digest: sample.digest,
  generation: "1700000000000",
  fence: "7",
  public: "true",
  "record-uid": "00000000-0000-0000-0000-000000000001",
  port: "8081",
  "command-0": "node",
  "command-1": "server.js",
  "env-name": "GREETING",
  "env-value": "hello",
  "secret-name": "TOKEN",
  "secret-value": Buffer.from("secret").toString("base64"),
  replicas: "2",
  cpu: "500m",
  "cpu-request": "10m",
  "memory-request": "32Mi",
  memory: "256Mi",
  "health-path": "/healthz",
  "health-period": "15",
  "liveness-period": "20",
  "rollout-seconds": "120",
  "liveness-delay": "60",
  job: "report",
  schedule: "0 4 * * *",
  "time-zone": "Europe/Berlin",
  "job-command": "report",
  "job-deadline": "60",
  "platform-host": platformHost(sample.target, region.platformDomain)
}
