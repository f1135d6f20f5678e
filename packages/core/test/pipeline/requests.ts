import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { ImageDigest, ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import { Owner, ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { CommitSha, GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"

export const owner = new Owner({ user: UserId.make("ann"), project: ProjectName.make("shop") })

/** A commit whose name is made of one number. */
export const commitOf = (number: number): CommitSha => CommitSha.make(number.toString(16).padStart(40, "0"))
export const digestOf = (commit: CommitSha): ImageDigest =>
  ImageDigest.make(`sha256:${commit.padStart(64, "a")}`)

/** The deploy of commit `generation`, pushed as the `generation`th. */
export const requestOf = (generation: number, service = "web"): DeployRequest =>
  new DeployRequest({
    owner,
    service: ServiceName.make(service),
    source: new SourceSpec({
      repository: new GitRepository({ url: RepositoryUrl.make("https://git.example/shop") }),
      ref: GitRef.make(commitOf(generation))
    }),
    build: new BuildSpec({}),
    run: new RunSpec({ port: 3000 }),
    generation: Generation.make(generation)
  })

export const imageOf = (request: DeployRequest, commit: CommitSha): ImageRef =>
  new ImageRef({ registry: internalRegistry, namespace: owner.namespace, service: request.service, commit })

export const receiptOf = (request: DeployRequest, commit: CommitSha): Receipt =>
  new Receipt({
    commit,
    image: imageOf(request, commit),
    digest: digestOf(commit),
    buildKey: "0".repeat(32),
    generation: request.generation,
    source: request.source,
    build: request.build,
    run: request.run,
    pods: [],
    steps: [],
    deployedAt: "2026-01-01T00:00:00.000Z"
  })
