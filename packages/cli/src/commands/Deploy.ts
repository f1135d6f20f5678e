/** `mcpdeploy deploy` and `mcpdeploy plan`. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { internalRegistry, ImageDigest, ImageRef } from "@mcpdeploy/core/domain/Image"
import { type DeployRequest, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { GitRef } from "@mcpdeploy/core/domain/Source"
import { GitSource } from "@mcpdeploy/core/GitSource"
import { DeployOutcome } from "@mcpdeploy/core/pipeline/DeployOutcome"
import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"
import { Registry } from "@mcpdeploy/core/Registry"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { makeShow, seconds } from "../Progress.ts"
import { formatOf, terminal } from "../Terminal.ts"
import { pipelineLayer } from "../Region.ts"
import { requestOf, servicesOf } from "../RequestOf.ts"
import { orFail, print, root, serviceFile, usage, warningsOf } from "./Root.ts"

const services = Argument.String("service").pipe(
  Argument.withDescription("Services of the file; all of them when none is named"),
  Argument.variadic()
)

export const flags = {
  services,
  ref: Flag.String("ref").pipe(
    Flag.withDescription("Branch, tag or commit instead of the file's"),
    Flag.withSchema(GitRef),
    Flag.optional
  ),
  repository: Flag.String("repository").pipe(
    Flag.withDescription("URL of the repository, where there is no service file"),
    Flag.optional
  ),
  generation: Flag.Int("generation").pipe(
    Flag.withDescription("Order of this push among the service's; the time in milliseconds when absent"),
    Flag.withSchema(Generation),
    Flag.optional
  ),
  port: Flag.Int("port").pipe(
    Flag.withDescription("Port on which the app listens, where there is no service file"),
    Flag.optional
  )
}

export type Flags = {
  readonly services: ReadonlyArray<string>
  readonly ref: Option.Option<GitRef>
  readonly repository: Option.Option<string>
  readonly port: Option.Option<number>
  readonly generation: Option.Option<Generation>
}

/** The requests of the services that the command line names. */
export const requests = Effect.fnUntraced(function* ({
  generation,
  port,
  ref,
  repository,
  services: names
}: Flags) {
  const section = {
    ...(Option.isSome(repository) ? { source: { repository: { url: repository.value } } } : {}),
    run: Option.isSome(port) ? { port: port.value } : {}
  }
  const { directory, file } = yield* serviceFile(Object.fromEntries(names.map((name) => [name, section])))
  const chosen = yield* usage(servicesOf(file, names))
  return yield* Effect.forEach(chosen, ([service, one]) =>
    usage(
      requestOf({
        file,
        service,
        section: one,
        directory,
        ref: Option.getOrUndefined(ref),
        generation: Option.getOrUndefined(generation)
      })
    )
  )
})

const encodeOutcome = Schema.encodeEffect(DeployOutcome)

const outcomeText = (service: string, outcome: DeployOutcome): string => {
  switch (outcome._tag) {
    case "Deployed": {
      const { commit, digest, pods, probe, steps } = outcome.receipt
      const total = steps.reduce((sum, { durationMs }) => sum + durationMs, 0)
      return [
        `${service} runs commit ${commit} after ${seconds(total)}`,
        `  image  ${digest}`,
        ...pods.map(({ name, node }) => `  pod    ${name} on ${node}`),
        ...(probe === undefined
          ? []
          : [`  answer ${probe.status} in ${Math.round(probe.durationMs)} ms from ${probe.url}`]),
        ...warningsOf(outcome.receipt)
      ].join("\n")
    }
    case "Superseded":
      return `${service}: a newer deploy took this one's place`
    case "Failed":
      return [
        `${service} was not deployed: ${outcome.error.message}`,
        ...(outcome.restored === undefined ? [] : [`  commit ${outcome.restored} runs again`]),
        ...(outcome.restoreError === undefined
          ? []
          : [`  the return to the last good deploy failed too: ${outcome.restoreError.message}`])
      ].join("\n")
  }
}

/** The worst of several outcomes decides. */
const exitCodeOf = (outcomes: ReadonlyArray<DeployOutcome>): number => {
  const failed = outcomes.filter((outcome) => outcome._tag === "Failed")
  if (failed.some(({ error }) => !error.retryable)) return exitCodes.failed
  if (failed.length > 0) return exitCodes.unavailable
  return outcomes.some(({ _tag }) => _tag === "Superseded") ? exitCodes.superseded : exitCodes.ok
}

/** Deploys all of them at once, shows what happens, and ends with the code of the worst outcome. */
export const deployAll = Effect.fn("deployAll")(function* (all: ReadonlyArray<DeployRequest>) {
  const { json, verbose } = yield* root
  const runner = yield* DeployRunner
  const show = yield* makeShow(terminal, formatOf(json), verbose)
  const outcomes = yield* Effect.forEach(
    all,
    Effect.fnUntraced(function* (request) {
      const outcome = yield* runner
        .deploy(request)
        .pipe(Effect.provideService(DeployEvents, (event) => show(request.service, event)))
      return { service: request.service, outcome }
    }),
    { concurrency: "unbounded" }
  )
  for (const { outcome, service } of outcomes) {
    yield* print(outcomeText(service, outcome), {
      service,
      ...(yield* Effect.orDie(encodeOutcome(outcome)))
    })
  }
  const exitCode = exitCodeOf(outcomes.map(({ outcome }) => outcome))
  if (exitCode !== exitCodes.ok) return yield* new CommandFailed({ exitCode, detail: "" })
}, Effect.scoped)

export const deploy = Command.make(
  "deploy",
  flags,
  Effect.fn("deploy")(function* (input) {
    yield* deployAll(yield* requests(input))
  })
).pipe(
  Command.withDescription(
    "Build, push, apply and verify; return to the last good deploy when the new one fails"
  ),
  Command.provide(pipelineLayer)
)

/** Stands for the digest of an image that is not built yet. */
const unbuilt = ImageDigest.make(`sha256:${"0".repeat(64)}`)

const planOne = Effect.fnUntraced(function* (request: Effect.Success<ReturnType<typeof requests>>[number]) {
  const git = yield* GitSource
  const registry = yield* Registry
  const cluster = yield* ClusterApplier
  const secretStore = yield* SecretStore
  const commit = yield* git.resolve(request.source.repository, request.source.ref)
  const image = new ImageRef({
    registry: internalRegistry,
    namespace: request.owner.namespace,
    service: request.service,
    commit
  })
  const digest = yield* registry
    .resolve(image, commit)
    .pipe(Effect.catchReason("RegistryError", "ImageNotFound", () => Effect.succeed(unbuilt)))
  const changes = yield* cluster.plan({
    target: request.target,
    image,
    digest,
    generation: request.generation,
    run: request.run,
    secrets: yield* secretStore.resolveAll(request.run.secrets ?? {})
  })
  return { commit, digest, changes }
})

export const plan = Command.make(
  "plan",
  flags,
  Effect.fn("plan")(function* (input) {
    for (const request of yield* requests(input)) {
      const { changes, commit, digest } = yield* orFail(planOne(request))
      const { json } = yield* root
      if (json) {
        yield* Console.log(JSON.stringify({ service: request.service, commit, changes }))
        continue
      }
      yield* Console.log(
        `${request.service} at commit ${commit}${digest === unbuilt ? ", whose image is not built yet" : ""}`
      )
      for (const { action, lines, object } of changes) {
        yield* Console.log(`  ${action.padEnd(9)} ${object}`)
        for (const line of lines) yield* Console.log(`      ${line}`)
      }
    }
  })
).pipe(
  Command.withDescription("Show what deploy would change in the cluster; writes nothing"),
  Command.provide(pipelineLayer)
)
