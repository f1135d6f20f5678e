/**
 * `bench domain`: from `domain add` to a TLS answer that a client verifies, on a region with certificates (`--with acme`):
 * claim, DNS check, budget, Ingress, Certificate, HTTP-01 through Traefik, served. Against the limit of 15 s.
 *
 * Pebble answers at once; Let's Encrypt takes a few seconds more for the same steps.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connect } from "node:tls"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { RegionFile } from "@mcpdeploy/local-region/RegionState"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { Projects } from "@mcpdeploy/core/Projects"
import { BenchFailed, type Measure } from "./measure.ts"

const runs = 5
const limitMillis = 15_000

/** Milliseconds of one handshake and answer, with the authority's root as the only trusted one. */
const visit = (host: string, https: string, root: string) =>
  Effect.callback<void, BenchFailed>((resume) => {
    const endpoint = new URL(https)
    const socket = connect({
      ...{ host: endpoint.hostname, port: Number(endpoint.port), servername: host },
      ca: readFileSync(root)
    })
    const failed = (detail: string) => resume(Effect.fail(new BenchFailed({ detail: `${host}: ${detail}` })))
    socket.once("secureConnect", () =>
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    )
    socket.once("data", (data: Buffer) =>
      data.toString().startsWith("HTTP/1.1 200") ? resume(Effect.void) : failed(data.toString().slice(0, 100))
    )
    socket.once("error", ({ message }) => failed(message))
    return Effect.sync(() => socket.destroy())
  })

const repository = (folder: string): string => {
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=bench", "-c", "user.email=bench@localhost", ...args], {
      cwd: folder
    })
  git("init", "-q", "-b", "main")
  writeFileSync(join(folder, "index.html"), "hello\n")
  writeFileSync(
    join(folder, "Dockerfile"),
    'FROM busybox\nCOPY . /www\nCMD ["sh", "-c", "exec httpd -f -p 8080 -h /www"]\n'
  )
  git("add", "-A")
  git("commit", "-q", "-m", "bench")
  return folder
}

export const run: Effect.Effect<ReadonlyArray<Measure>, { readonly message: string }> = Effect.gen(
  function* () {
    const text = readFileSync(join(process.env["MCPDEPLOY_LOCAL_DATA"] ?? "", "region.json"), "utf8")
    const { acme, buildkit, ingress, kubeconfig, registry } = yield* Schema.decodeEffect(RegionFile)(text)
    if (acme === undefined)
      return yield* new BenchFailed({
        detail: "the region has no certificates: `mcpdeploy local up --with acme`"
      })
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-bench-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const run = Date.now().toString(36)
    const owner = new Owner({ user: UserId.make("bench"), project: ProjectName.make(`domain-${run}`) })
    const request = new DeployRequest({
      owner,
      service: ServiceName.make("web"),
      source: new SourceSpec({
        repository: new GitRepository({ url: RepositoryUrl.make(`file://${repository(folder)}`) }),
        ref: GitRef.make("main")
      }),
      build: new BuildSpec({}),
      run: new RunSpec({ port: 8080 }),
      generation: Generation.make(Date.now())
    })
    const zone = join(acme.zones, `db.bench-${run}.com`)
    const region = regionLayer({
      cluster: new RegionConfig({
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress.http,
        domains: {
          issuer: acme.issuer,
          cnameTarget: acme.cnameTarget,
          loadBalancerAddresses: [acme.loadBalancer],
          nameServers: [acme.nameServer],
          tlsEndpoint: new URL(ingress.https).host,
          namespace: `mcpdeploy-bench-${run}`
        }
      }),
      buildkit: { address: buildkit.address, concurrency: 1 },
      git: { cacheFolder: join(folder, "cache"), allowFile: true },
      registry: { url: registry.endpoint },
      pipeline: { buildTimeoutSeconds: 300, buildSecretKey: Redacted.make("bench") }
    }).pipe(Layer.provideMerge(SecretStore.layer({})), Layer.provideMerge(NodeServices.layer))

    const measured = Effect.gen(function* () {
      const outcome = yield* DeployRunner.use((runner) => runner.deploy(request))
      if (outcome._tag !== "Deployed") return yield* new BenchFailed({ detail: JSON.stringify(outcome) })
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          writeFileSync(
            zone,
            `$ORIGIN bench-${run}.com.\n$TTL 1\n@ IN SOA ns host 1 60 60 60 1\n@ IN NS ns\nns IN A 127.0.0.1\n* IN CNAME ${acme.cnameTarget}.\n`
          )
        ),
        () => Effect.sync(() => rmSync(zone, { force: true }))
      )
      // The name server looks every second.
      yield* Effect.sleep("3 seconds")
      const domains = yield* DomainManager
      const times: Array<number> = []
      for (let index = 0; index < runs; index++) {
        const host = DomainName.make(`h${index}.bench-${run}.com`)
        const begun = performance.now()
        yield* domains.add(request.target, host)
        yield* visit(host, ingress.https, acme.root)
        times.push(performance.now() - begun)
        yield* domains.remove(request.target, host)
      }
      return times
    }).pipe(
      Effect.ensuring(
        Effect.andThen(
          ClusterApplier.use((cluster) => cluster.delete(request.target)),
          Projects.use((projects) => projects.delete(owner))
        ).pipe(Effect.ignore)
      )
    )
    const ours = yield* measured.pipe(Effect.scoped, Effect.provide(region))
    return [
      {
        label: "domain add to a verified TLS answer, against 15 s",
        unit: "ms",
        ours,
        peer: ours.map(() => limitMillis)
      }
    ]
  }
).pipe(Effect.scoped)
