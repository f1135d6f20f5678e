/** The region that is attacked: `MCPDEPLOY_TEST_REGION` names the `region.json` of a local one. Everything goes by its public surface. */
import { existsSync, readFileSync } from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { GitRef, GitRepository, RepositoryPath, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { describe } from "vitest"
import type { Repository } from "./Repository.ts"

const variable = "MCPDEPLOY_TEST_REGION"
export const regionFile = process.env[variable]

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(RegionEndpoints))
const absent: RegionEndpoints = {
  dataFolder: "/nowhere",
  kubeconfig: "/nowhere",
  buildkit: { address: "unix:///nowhere" },
  registry: { name: "registry.internal:5000", endpoint: "http://127.0.0.1:1" },
  ingress: { http: "http://127.0.0.1:1", https: "https://127.0.0.1:1", className: "traefik" },
  pid: 0
}
export const endpoints =
  regionFile !== undefined && existsSync(regionFile) ? decode(readFileSync(regionFile, "utf8")) : absent

/** Describes attacks; without a region, or without what `needs` names, they are skipped, and say why. */
export const describeAttacks = (name: string, tests: () => void, needs?: "acme"): void => {
  if (endpoints.pid === 0) describe.skip(`${name} (SKIPPED: ${variable} names no local region)`, tests)
  else if (needs !== undefined && endpoints[needs] === undefined)
    describe.skip(`${name} (SKIPPED: the region has no ${needs})`, tests)
  else describe(name, tests)
}

export const regionConfig = new RegionConfig({
  kubeconfig: endpoints.kubeconfig,
  platformDomain: PlatformDomain.make("localhost"),
  ingressEndpoint: endpoints.ingress.http,
  ...(endpoints.acme === undefined
    ? {}
    : {
        domains: {
          issuer: endpoints.acme.issuer,
          cnameTarget: endpoints.acme.cnameTarget,
          loadBalancerAddresses: [endpoints.acme.loadBalancer],
          nameServers: [endpoints.acme.nameServer],
          tlsEndpoint: new URL(endpoints.ingress.https).host,
          maxHosts: 5,
          namespace: `mcpdeploy-attacks-${Date.now().toString(36)}`
        }
      })
})

/** As a deployer has it: what tenants may name as secrets is nothing. */
export const region = Layer.unwrap(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return regionLayer({
      cluster: regionConfig,
      buildkit: { address: endpoints.buildkit.address, concurrency: 16 },
      git: {
        cacheFolder: yield* fs.makeTempDirectoryScoped({ prefix: "mcpdeploy-attacks-" }),
        allowFile: true
      },
      registry: { url: endpoints.registry.endpoint },
      pipeline: { buildTimeoutSeconds: 120, buildSecretKey: Redacted.make("attacks") }
    })
  })
).pipe(Layer.provideMerge(SecretStore.layer({}, [])), Layer.provideMerge(NodeServices.layer))

const run = Date.now().toString(36)
let count = 0

export const ownerOf = (user: string, project: string) =>
  new Owner({ user: UserId.make(user), project: ProjectName.make(project) })

export const targetOf = (owner: Owner, service = "web") =>
  new ServiceTarget({ owner, service: ServiceName.make(service) })

/** A tenant with a project that nobody else has. */
export const newOwner = (name: string): Owner => ownerOf(`${name}${run}`, `p${count++}`)

const connect = Effect.flatMap(KubeConfig.load(regionConfig), KubernetesApi.make)

/** The owner's project; its namespace goes when the scope closes, which nobody waits for. */
export const project = (owner: Owner) =>
  Effect.acquireRelease(Effect.succeed(owner), ({ namespace }) =>
    connect.pipe(
      Effect.flatMap((api) =>
        api.delete(
          { kind: kinds.Namespace, namespace: undefined, name: namespace },
          { propagation: "Background" }
        )
      ),
      Effect.scoped,
      Effect.ignore
    )
  )

/** Deploys a repository's head as one service. */
export const deploy = Effect.fn("deploy")(function* (
  target: ServiceTarget,
  repository: Repository,
  options: {
    readonly run?: Partial<ConstructorParameters<typeof RunSpec>[0]>
    readonly rootDirectory?: string
  } = {}
) {
  const runner = yield* DeployRunner
  return yield* runner.deploy(
    new DeployRequest({
      owner: target.owner,
      service: target.service,
      source: new SourceSpec({
        repository: new GitRepository({ url: RepositoryUrl.make(`file://${repository.path}`) }),
        ref: GitRef.make("HEAD"),
        ...(options.rootDirectory === undefined
          ? {}
          : { rootDirectory: RepositoryPath.make(options.rootDirectory) })
      }),
      build: new BuildSpec({}),
      run: new RunSpec({ port: 8080, memory: "64Mi", cpu: "100m", rolloutSeconds: 60, ...options.run }),
      generation: Generation.make(Date.now())
    })
  )
})
