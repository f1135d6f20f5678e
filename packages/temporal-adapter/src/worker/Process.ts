/** The process deployer-worker, from its environment to its end. */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as Telemetry from "@mcpdeploy/core/Telemetry"
import { regionOf } from "@mcpdeploy/provider-k3s/K3sRegion"
import type { WorkerInterceptors } from "@temporalio/worker"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { Reconciler } from "../reconcile/Reconciler.ts"
import { clientOf, runWorker } from "./DeployerWorker.ts"
import { installSdkRuntime } from "./SdkRuntime.ts"
import { readSettings } from "./Settings.ts"
import { connect } from "./TemporalConnection.ts"
import * as TemporalPushQueue from "./TemporalPushQueue.ts"

/** Runs until `stop` is done. `interceptors` are for tests, which break the worker at chosen moments. */
export const deployerWorker = Effect.fnUntraced(
  function* (stop: Deferred.Deferred<void>, interceptors: WorkerInterceptors = {}) {
    const settings = yield* readSettings(process.env)
    const { cacheFolder, reconcileUsers, secretEnvironment, secretFolders, temporal } = settings
    const sdk = yield* installSdkRuntime()
    const connection = yield* connect(temporal)
    // The region's own credentials are not among those that a service may name.
    const region = yield* regionOf(settings.region, {
      gitCacheFolder: join(cacheFolder, "git"),
      buildSecretKey: settings.buildSecretKey
    }).pipe(Effect.provide(SecretStore.layer(process.env)))
    const services = yield* Layer.build(
      Reconciler.layer(reconcileUsers === undefined ? {} : { users: reconcileUsers }).pipe(
        Layer.provide(TemporalPushQueue.layer(clientOf(connection, settings), temporal.taskQueue)),
        Layer.provideMerge(region),
        Layer.provide(SecretStore.layer(secretEnvironment, secretFolders))
      )
    )
    yield* runWorker({ settings, connection, sdk, services, stop, interceptors })
  },
  Effect.scoped,
  Effect.provide(
    Telemetry.layer("deployer-worker", process.env).pipe(
      Layer.provideMerge(
        Layer.merge(NodeServices.layer, Logger.layer([Logger.consoleJson, Logger.tracerLogger]))
      )
    )
  )
)

/** Runs the process until SIGTERM or SIGINT, and ends it: 0 when all was handed back, else 1 and one line that says why. */
export const main = async (interceptors?: WorkerInterceptors): Promise<never> => {
  const stop = Deferred.makeUnsafe<void>()
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => Deferred.doneUnsafe(stop, Effect.void))
  }
  const exit = await Effect.runPromiseExit(deployerWorker(stop, interceptors))
  if (Exit.isFailure(exit)) {
    const error = Cause.squash(exit.cause)
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`deployer-worker: ${text.replaceAll(/\s*\n\s*/g, "; ")}\n`)
  }
  // Threads of the SDK may still be about: nothing of them is needed any more.
  process.exit(Exit.isSuccess(exit) ? 0 : 1)
}
