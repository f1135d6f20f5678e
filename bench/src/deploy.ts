/**
 * `bench deploy`: the whole deploy of a small app against what a person would type for it: `git clone`, `buildctl build`
 * with push, `kubectl apply --server-side`, `kubectl rollout status`. Ours runs in one process, as the deployer does.
 *
 * cold: a commit that was never built, on an empty build cache, once the deploy before has settled; unchanged: the same
 * again. "over the build" is all of a cold deploy but its build step, against the limit of 5 s.
 */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import * as NodeServices from "@effect/platform-node/NodeServices"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  HealthCheck,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import type { Measure } from "./measure.ts"

const command = promisify(execFile)
const runs = 15

/** How long nothing is done before each deploy that is measured. */
const settleMs = 2_000

/** Milliseconds that a deploy on a running region may take over what its build takes. */
const overBuildLimit = 5_000

interface Duration {
  readonly total: number
  readonly build: number
}

const measureDeploys = async (): Promise<ReadonlyArray<Measure>> => {
  const { endpoint, kubeconfig, address, ingress, buildctl, kubectl } = {
    endpoint: `http://${process.env["MCPDEPLOY_TEST_REGISTRY"]}`,
    kubeconfig: process.env["MCPDEPLOY_TEST_KUBECONFIG"] ?? "",
    address: process.env["MCPDEPLOY_TEST_BUILDKIT"] ?? "",
    ingress: process.env["MCPDEPLOY_TEST_INGRESS"] ?? "",
    buildctl: process.env["BUILDCTL"] ?? "buildctl",
    kubectl: process.env["KUBECTL"] ?? "kubectl"
  }
  const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-bench-"))
  const repository = join(folder, "repository")
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=bench", "-c", "user.email=bench@localhost", ...args], {
      encoding: "utf8"
    })
  git("init", "-q", "-b", "main", repository)
  const commit = (text: string): string => {
    writeFileSync(join(repository, "index.html"), `${text}\n`)
    writeFileSync(
      join(repository, "Dockerfile"),
      'FROM busybox\nWORKDIR /www\nCOPY . .\nRUN seq 1 100000 | sort -r > /numbers\nCMD ["sh", "-c", "exec httpd -f -p 8080 -h /www"]\n'
    )
    git("-C", repository, "add", "-A")
    git("-C", repository, "commit", "-q", "-m", text)
    return git("-C", repository, "rev-parse", "HEAD").trim()
  }

  const owner = new Owner({ user: UserId.make("bench"), project: ProjectName.make(`p${Date.now() % 1e8}`) })
  const runtime = ManagedRuntime.make(
    regionLayer({
      cluster: new RegionConfig({
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress
      }),
      buildkit: { address, concurrency: 4 },
      git: { cacheFolder: join(folder, "cache"), allowFile: true },
      registry: { url: endpoint },
      pipeline: { buildTimeoutSeconds: 600, buildSecretKey: Redacted.make("bench") }
    }).pipe(Layer.provideMerge(SecretStore.layer({})), Layer.provideMerge(NodeServices.layer))
  )

  const deployOurs = async (): Promise<Duration> => {
    const startedAt = performance.now()
    const outcome = await runtime.runPromise(
      DeployRunner.use((runner) =>
        runner.deploy(
          new DeployRequest({
            owner,
            service: ServiceName.make("web"),
            source: new SourceSpec({
              repository: new GitRepository({ url: RepositoryUrl.make(`file://${repository}`) }),
              ref: GitRef.make("main")
            }),
            build: new BuildSpec({}),
            run: new RunSpec({ port: 8080, healthCheck: new HealthCheck({ path: "/" }) }),
            generation: Generation.make(Date.now())
          })
        )
      )
    )
    if (outcome._tag !== "Deployed") throw new Error(JSON.stringify(outcome))
    const build = outcome.receipt.steps.find(({ step }) => step === "build")?.durationMs ?? 0
    return { total: performance.now() - startedAt, build }
  }

  const namespace = `bench-peer-${Date.now() % 1e8}`
  const manifest = join(folder, "peer.yaml")
  const kube = (...args: ReadonlyArray<string>) => command(kubectl, ["--kubeconfig", kubeconfig, ...args])
  await kube("create", "namespace", namespace)
  const deployPeer = async (tag: string): Promise<number> => {
    const clone = join(folder, "peer")
    rmSync(clone, { recursive: true, force: true })
    const image = `registry.internal:5000/${namespace}/web:${tag}`
    writeFileSync(manifest, peerManifest(namespace, image))
    const startedAt = performance.now()
    await command("git", ["clone", "-q", "--depth", "1", `file://${repository}`, clone])
    await command(buildctl, [
      ...["--addr", address, "build", "--frontend", "dockerfile.v0"],
      ...["--local", `context=${clone}`, "--local", `dockerfile=${clone}`],
      ...["--opt", "attest:provenance=false", "--output", `type=image,name=${image},push=true`],
      ...["--export-cache", `type=registry,ref=registry.internal:5000/${namespace}/web:buildcache,mode=max`],
      ...["--import-cache", `type=registry,ref=registry.internal:5000/${namespace}/web:buildcache`]
    ])
    await kube("apply", "--server-side", "-f", manifest)
    await kube("-n", namespace, "rollout", "status", "deployment/web", "--timeout=120s")
    return performance.now() - startedAt
  }

  const pairs = (): { ours: Array<number>; peer: Array<number> } => ({ ours: [], peer: [] })
  const cold = pairs()
  const unchanged = pairs()
  const overBuild = pairs()
  const prune = () => command(buildctl, ["--addr", address, "prune", "--all"])
  /** The last deploy's old pods have ended, and the cluster has tidied up after them: else the next one pays for it. */
  const settle = async () => {
    const deadline = performance.now() + 60_000
    for (const each of [namespace, owner.namespace]) {
      while ((await kube("-n", each, "get", "pods", "-o", "name")).stdout.trim().split("\n").length > 1) {
        if (performance.now() > deadline) throw new Error(`the old pods in ${each} do not end`)
        await sleep(200)
      }
    }
    await sleep(settleMs)
  }
  try {
    // The first of each is not counted: it pulls the base image and loads code.
    commit("first")
    await deployOurs()
    await deployPeer("first")
    for (let index = 0; index < runs; index++) {
      const sha = commit(`commit ${index}`)
      const ours = async () => {
        const { build, total } = await deployOurs()
        cold.ours.push(total)
        overBuild.ours.push(total - build)
        overBuild.peer.push(overBuildLimit)
        unchanged.ours.push((await deployOurs()).total)
      }
      const peer = async () => {
        cold.peer.push(await deployPeer(sha))
        unchanged.peer.push(await deployPeer(sha))
      }
      for (const deploy of index % 2 === 0 ? [ours, peer] : [peer, ours]) {
        await prune()
        await settle()
        await deploy()
      }
    }
  } finally {
    await kube("delete", "namespace", namespace, owner.namespace, "--wait=false", "--ignore-not-found")
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  }
  return [
    { label: "deploy cold", unit: "ms", ...cold },
    { label: "deploy cold over its build, against 5 s", unit: "ms", ...overBuild },
    { label: "deploy unchanged", unit: "ms", ...unchanged }
  ]
}

export const run = Effect.promise(measureDeploys)

/** What a person would write for the same app: the same sandbox, resources, probes and ingress. */
const peerManifest = (namespace: string, image: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: ${namespace} }
spec:
  replicas: 1
  strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      runtimeClassName: gvisor
      automountServiceAccountToken: false
      containers:
        - name: web
          image: ${image}
          env: [{ name: PORT, value: "8080" }]
          ports: [{ containerPort: 8080 }]
          resources:
            requests: { cpu: 100m, memory: 512Mi }
            limits: { cpu: "1", memory: 512Mi }
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
          livenessProbe: { httpGet: { path: /, port: 8080 }, initialDelaySeconds: 240, periodSeconds: 10 }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: ${namespace} }
spec:
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web, namespace: ${namespace} }
spec:
  ingressClassName: traefik
  rules:
    - host: ${namespace}.localhost
      http:
        paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }]
`
