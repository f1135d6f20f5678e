/** The process deployer-server, from its environment to its end. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Telemetry from "@mcpdeploy/core/Telemetry"
import * as K3sServiceCatalog from "@mcpdeploy/provider-k3s/catalog/K3sServiceCatalog"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { Ancestry } from "./Ancestry.ts"
import { Deliveries } from "./Deliveries.ts"
import { serve } from "./HttpServer.ts"
import { PushSink } from "./PushSink.ts"
import { RepositoryIndex } from "./RepositoryIndex.ts"
import { readSettings, type Settings } from "./Settings.ts"
import * as TemporalPushSink from "./TemporalPushSink.ts"
import { WebhookSecrets } from "./WebhookSecrets.ts"

/** Deliveries were still under way when the time for a shutdown was over. */
export class ShutdownTooSlow extends Schema.TaggedError<ShutdownTooSlow>()("ShutdownTooSlow", {
  seconds: Schema.Int
}) {
  readonly retryable = false
  override get message(): string {
    return `not all deliveries were answered within ${this.seconds} s`
  }
}

/** A submit ends before the answer is due, so that a slow one is an answer too. */
const submitBeforeMs = 50

const servicesOf = ({ deliveries, gitea, http, region, secretsFolder, temporal }: Settings) =>
  Deliveries.layer(deliveries).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        WebhookSecrets.layer(secretsFolder),
        RepositoryIndex.layer(K3sServiceCatalog.changes(new RegionConfig(region.cluster))),
        TemporalPushSink.layer(temporal, http.answerMs - submitBeforeMs),
        gitea === undefined ? Ancestry.unknown : Ancestry.gitea(gitea.url, gitea.token)
      )
    )
  )

/** Runs until `stop` is done; then every delivery that has come is answered. */
export const deployerServer = Effect.fnUntraced(
  function* (stop: Deferred.Deferred<void>) {
    const settings = yield* readSettings(process.env)
    const { shutdownSeconds } = settings
    yield* Effect.gen(function* () {
      const sink = yield* PushSink
      const index = yield* RepositoryIndex
      const { drain, port } = yield* serve(settings.http, {
        isTemporalConnected: sink.isConnected,
        isCatalogConnected: index.isConnected
      })
      yield* Effect.logInfo("deployer-server is ready", { port })
      yield* Deferred.await(stop)
      yield* drain.pipe(
        Effect.timeoutOrElse({
          duration: `${shutdownSeconds} seconds`,
          orElse: () => Effect.fail(new ShutdownTooSlow({ seconds: shutdownSeconds }))
        })
      )
      yield* Effect.logInfo("deployer-server has ended")
    }).pipe(Effect.provide(servicesOf(settings)))
  },
  Effect.scoped,
  Effect.provide(
    Telemetry.layer("deployer-server", process.env).pipe(
      Layer.provideMerge(
        Layer.merge(NodeServices.layer, Logger.layer([Logger.consoleJson, Logger.tracerLogger]))
      )
    )
  )
)

/** Runs the process until SIGTERM or SIGINT, and ends it: 0 when all was answered, else 1 and one line that says why. */
export const main = async (): Promise<never> => {
  const stop = Deferred.makeUnsafe<void>()
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => Deferred.doneUnsafe(stop, Effect.void))
  }
  const exit = await Effect.runPromiseExit(deployerServer(stop))
  if (Exit.isFailure(exit)) {
    const error = Cause.squash(exit.cause)
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`deployer-server: ${text.replaceAll(/\s*\n\s*/g, "; ")}\n`)
  }
  // gRPC's channel may still try to connect: nothing of it is needed any more.
  process.exit(Exit.isSuccess(exit) ? 0 : 1)
}
