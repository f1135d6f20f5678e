/**
 * DeploySteps: each step of a deploy as one effect over the five services. An in-process run and a Temporal activity
 * run the same ones. Every step can be repeated: what is already done is seen and left.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { type Applied, ClusterApplier, restoredWorkload, type Workload } from "../ClusterApplier.ts"
import { buildKey } from "../domain/BuildKey.ts"
import { emit } from "../domain/DeployEvent.ts"
import { defaultDockerfile, defaultRootDirectory, type DeployRequest } from "../domain/DeployRequest.ts"
import { type ImageDigest, ImageRef, type RegistryName } from "../domain/Image.ts"
import { tooLarge } from "../domain/RequestSize.ts"
import { platformVariables } from "../domain/PlatformVariables.ts"
import { Receipt } from "../domain/Receipt.ts"
import { GitSource, resolveInside } from "../GitSource.ts"
import { ImageBuilder } from "../ImageBuilder.ts"
import { Receipts } from "../Receipts.ts"
import { Registry } from "../Registry.ts"
import { SecretStore } from "../SecretStore.ts"
import { ServiceCatalog } from "../ServiceCatalog.ts"
import type { DeployError } from "./DeployError.ts"
import { evidence } from "./Evidence.ts"
import { runSecrets } from "./RunSecrets.ts"
import type * as Steps from "./Steps.ts"
import { bytes, followBuild, reported, short } from "./StepReport.ts"
import { countBuild } from "./StepTelemetry.ts"

/** What steps need to know of the region. */
export interface DeployStepsConfig {
  /** The region's registry, as images name it. */
  readonly registry: RegistryName
  /** Seconds that a build may take when the request does not say. */
  readonly buildTimeoutSeconds: number
  /** Keys the hash by which build secrets enter the build key. A build with secrets is found again under the same one. */
  readonly buildSecretKey: Redacted.Redacted
}

/** Part of every build key: another value makes every image be built anew. */
const builderVersion = "dockerfile.v0 1"

type Step<Input, Output> = (input: Input) => Effect.Effect<Output, DeployError>

/** Each step of a deploy as one effect over the region's services: what every interpreter runs. */
export class DeploySteps extends Context.Service<
  DeploySteps,
  {
    readonly clone: Step<Steps.CloneInput, Steps.CloneOutput>
    readonly build: Step<Steps.BuildInput, Steps.BuildOutput>
    readonly push: Step<Steps.PushInput, Steps.PushOutput>
    readonly deploy: Step<Steps.RolloutInput, Steps.RolloutOutput>
    readonly verify: Step<Steps.VerifyInput, Steps.VerifyOutput>
    readonly restore: Step<Steps.RestoreInput, Steps.RestoreOutput>
  }
>()("mcpdeploy/core/pipeline/DeploySteps") {
  static readonly layer = (
    config: DeployStepsConfig
  ): Layer.Layer<
    DeploySteps,
    never,
    GitSource | ImageBuilder | Registry | ClusterApplier | Receipts | SecretStore | ServiceCatalog
  > => Layer.effect(DeploySteps, make(config))
}

const make = Effect.fnUntraced(function* (config: DeployStepsConfig) {
  const git = yield* GitSource
  const builder = yield* ImageBuilder
  const registry = yield* Registry
  const cluster = yield* ClusterApplier
  const receipts = yield* Receipts
  const secretStore = yield* SecretStore
  const catalog = yield* ServiceCatalog

  const variables = (request: DeployRequest) =>
    Effect.provideService(runSecrets(request.run), SecretStore, secretStore)

  const workloadOf = (request: DeployRequest, image: ImageRef, digest: ImageDigest) =>
    Effect.map(variables(request), (secrets): Workload => ({
      target: request.target,
      image,
      digest,
      generation: request.generation,
      run: request.run,
      secrets
    }))

  const inRegistry = (image: ImageRef, digest: ImageDigest) =>
    registry.resolve(image, digest).pipe(
      Effect.as(true),
      Effect.catchReason("RegistryError", "ImageNotFound", () => Effect.succeed(false))
    )

  /** Whoever waits for this deploy need not do so any longer. */
  const settle = ({ generation, target }: DeployRequest) =>
    catalog
      .settle(target, generation)
      .pipe(
        Effect.catch((error) =>
          Effect.logWarning(`the end of ${target}'s deploy is not noted: ${error.message}`)
        )
      )
  const settleFailed = <A>(
    step: Effect.Effect<A, DeployError>,
    { request }: { readonly request: DeployRequest }
  ) => Effect.tapError(step, () => settle(request))

  const clone = Effect.fn("DeploySteps.clone")(
    function* ({ request }: Steps.CloneInput) {
      const problem = tooLarge(request)
      if (problem !== undefined) return yield* problem
      const { ref, repository } = request.source
      const fetched = Effect.flatMap(git.resolve(repository, ref), (commit) =>
        git.checkout(repository, commit)
      )
      // The request is kept though its commit cannot be had: so the push that mends it finds the service.
      const [checkout] = yield* Effect.all(
        [Effect.exit(fetched), Effect.andThen(cluster.claim(request.target), catalog.register(request))],
        { concurrency: "unbounded" }
      )
      const { commit, files, size } = yield* checkout
      return { output: { commit }, summary: `${commit.slice(0, 12)}, ${files} files, ${bytes(size)}` }
    },
    Effect.scoped,
    reported("clone"),
    settleFailed
  )

  const build = Effect.fn("DeploySteps.build")(
    function* ({ commit, request }: Steps.BuildInput) {
      const { dockerfile, target, args, timeoutSeconds } = request.build
      // Seen here, where nothing is built in vain.
      yield* variables(request)
      const rootDirectory = request.source.rootDirectory ?? defaultRootDirectory
      const image = new ImageRef({
        registry: config.registry,
        namespace: request.owner.namespace,
        service: request.service,
        commit
      })
      const secrets = yield* secretStore.readAll(request.build.secrets ?? {})
      const inputs = {
        dockerfile: dockerfile ?? defaultDockerfile,
        ...(target === undefined ? {} : { target }),
        args: { [platformVariables.commit]: commit, ...args },
        secrets
      }
      const key = buildKey(
        { ...inputs, repository: request.source.repository, commit, rootDirectory, builderVersion },
        config.buildSecretKey
      )
      const output = (digest: ImageDigest, reused: boolean): Steps.BuildOutput => ({
        image,
        digest,
        buildKey: key,
        reused
      })

      const earlier = (yield* receipts.history(request.target)).find((receipt) => receipt.buildKey === key)
      if (earlier !== undefined && (yield* inRegistry(image, earlier.digest))) {
        yield* countBuild(true)
        return {
          output: output(earlier.digest, true),
          summary: `nothing to build, ${short(earlier.digest)} is in the registry`
        }
      }

      const checkout = yield* git.checkout(request.source.repository, commit)
      const context = yield* resolveInside(request.source.repository, checkout, rootDirectory)
      const solve = (acceptFinished: boolean) =>
        followBuild(
          builder.build({
            tenant: request.owner.user,
            image,
            context,
            repository: checkout.path,
            ...inputs,
            buildKey: key,
            acceptFinished,
            timeoutSeconds: timeoutSeconds ?? config.buildTimeoutSeconds
          })
        )
      const first = yield* solve(true)
      const built = first.reused && !(yield* inRegistry(image, first.digest)) ? yield* solve(false) : first
      yield* countBuild(built.reused)
      return { output: output(built.digest, built.reused), summary: short(built.digest) }
    },
    Effect.scoped,
    reported("build"),
    settleFailed
  )

  const push = Effect.fn("DeploySteps.push")(function* ({ digest, image }: Steps.PushInput) {
    const { changed } = yield* registry.publish(image, image.commit, digest)
    return { output: { changed }, summary: changed ? String(image) : `${image} was there` }
  }, reported("push"))

  const deploy = Effect.fn("DeploySteps.deploy")(
    function* ({ digest, image, request }: Steps.RolloutInput) {
      const workload = yield* workloadOf(request, image, digest)
      const applied = yield* cluster.apply(workload)
      const written = applied.changes.filter(({ action }) => action !== "unchanged").length
      yield* emit({
        _tag: "StepProgress",
        step: "deploy",
        message:
          written === 0
            ? "nothing to change, waiting for the pods"
            : `${written} objects written, waiting for the pods`
      })
      const pods = yield* cluster.awaitRollout(workload, applied)
      // Each line is for `plan`: a message that travels on would have every variable twice more.
      const changes = applied.changes.map((change) => ({ ...change, lines: [] }))
      const output: Steps.RolloutOutput = { applied: { ...applied, changes }, pods }
      return { output, summary: `${written} objects changed, ${pods.length} pods ready` }
    },
    reported("deploy"),
    settleFailed
  )

  const verify = Effect.fn("DeploySteps.verify")(
    function* ({ built, commit, request, rollout, timings }: Steps.VerifyInput) {
      const startedAt = yield* Clock.currentTimeMillis
      const workload = yield* workloadOf(request, built.image, built.digest)
      const probe = yield* evidence(workload, rollout.pods).pipe(
        Effect.provideService(ClusterApplier, cluster)
      )
      const now = yield* DateTime.now
      const { secretName } = rollout.applied
      const receipt = new Receipt({
        commit,
        image: built.image,
        digest: built.digest,
        buildKey: built.buildKey,
        generation: request.generation,
        source: request.source,
        build: request.build,
        run: request.run,
        ...(secretName === undefined ? {} : { secretName }),
        pods: rollout.pods,
        ...(probe === undefined ? {} : { probe }),
        steps: [...timings, { step: "verify", durationMs: DateTime.toEpochMillis(now) - startedAt }],
        deployedAt: DateTime.formatIso(now)
      })
      yield* receipts.record(request.target, receipt)
      return {
        output: { receipt },
        summary: probe === undefined ? `${short(built.digest)} runs` : `${probe.url} answered ${probe.status}`
      }
    },
    reported("verify"),
    settleFailed
  )

  const restore = Effect.fn("DeploySteps.restore")(
    function* ({ request }: Steps.RestoreInput) {
      const [last] = yield* receipts.history(request.target)
      if (last === undefined) {
        const output: Steps.RestoreOutput = {}
        return { output, summary: "no deploy has succeeded before, nothing to return to" }
      }
      const applied: Applied = yield* cluster.restore(request.target, last, request.generation)
      yield* cluster.awaitRollout(restoredWorkload(request.target, last, request.generation), applied)
      const output: Steps.RestoreOutput = { restored: last.commit }
      return { output, summary: `commit ${last.commit.slice(0, 12)} runs again` }
    },
    reported("restore"),
    (step, { request }) => Effect.ensuring(step, settle(request))
  )

  return DeploySteps.of({ clone, build, push, deploy, verify, restore })
})
