/** The library on the region that `MCPDEPLOY_TEST_REGION` names, as a process would use it. */
import { readFileSync } from "node:fs"
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
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { regionFile, type Repository } from "./harness.ts"

const decodeEndpoints = Schema.decodeUnknownSync(Schema.fromJsonString(RegionEndpoints))

export const endpoints = () => decodeEndpoints(readFileSync(regionFile ?? "", "utf8"))

/** A process's worth of the pipeline: lanes, connections and build slots of its own. */
export const makeRuntime = (cacheFolder: string, concurrency: number) => {
  const { buildkit, ingress, kubeconfig, registry } = endpoints()
  return ManagedRuntime.make(
    regionLayer({
      cluster: new RegionConfig({
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress.http
      }),
      buildkit: { address: buildkit.address, concurrency },
      git: { cacheFolder, allowFile: true },
      registry: { url: registry.endpoint },
      pipeline: { buildTimeoutSeconds: 300, buildSecretKey: Redacted.make("test") }
    }).pipe(Layer.provideMerge(SecretStore.layer({})), Layer.provideMerge(NodeServices.layer))
  )
}

export const targetOf = (project: string, service: string): ServiceTarget =>
  new ServiceTarget({
    owner: new Owner({ user: UserId.make("e2e"), project: ProjectName.make(project) }),
    service: ServiceName.make(service)
  })

export const requestOf = (
  repository: Repository,
  project: string,
  service: string,
  options: { readonly ref: string; readonly generation: number; readonly replicas: number }
): DeployRequest =>
  new DeployRequest({
    owner: targetOf(project, service).owner,
    service: ServiceName.make(service),
    source: new SourceSpec({
      repository: new GitRepository({ url: RepositoryUrl.make(`file://${repository.path}`) }),
      ref: GitRef.make(options.ref)
    }),
    build: new BuildSpec({}),
    run: new RunSpec({ port: 8080, replicas: options.replicas, memory: "64Mi", cpu: "50m" }),
    generation: Generation.make(options.generation)
  })
