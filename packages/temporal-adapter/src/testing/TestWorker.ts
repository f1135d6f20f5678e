/** A worker and clients for tests against a dev server. Ends with its scope. */
import { type Activities, queues } from "@mcpdeploy/temporal-contract/contract"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { dataConverter, type PayloadKey } from "@mcpdeploy/temporal-contract/codec"
import { Client, Connection } from "@temporalio/client"
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap
} from "@temporalio/worker"
import * as Effect from "effect/Effect"
import { workflowsPath } from "../workflows/Location.ts"
import { DevServer, DevServerFailed } from "./DevServer.ts"

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new DevServerFailed({ detail: String(cause) }) })

const converterOf = (keys: TestWorkerOptions["keys"]) => dataConverter(keys)

/** The SDK's runtime is one for a process. Of its log, errors are kept: tests make activities fail. */
export const quietRuntime = Effect.sync(() => {
  try {
    Runtime.install({
      logger: new DefaultLogger("ERROR"),
      telemetryOptions: { logging: { forward: {}, filter: "ERROR" } }
    })
  } catch {
    // Installed already, by the test before.
  }
})

/** The workflows as a worker runs them. */
export const bundleWorkflows = (path: string = workflowsPath, keys?: TestWorkerOptions["keys"]) => {
  const { failureConverterPath } = converterOf(keys)
  return attempt((): Promise<WorkflowBundleWithSourceMap> =>
    bundleWorkflowCode({
      workflowsPath: path,
      logger: new DefaultLogger("ERROR"),
      ...(failureConverterPath === undefined ? {} : { failureConverterPath })
    })
  )
}

/** What a test's worker runs. */
export interface TestWorkerOptions {
  readonly activities: Activities
  readonly keys?: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>]
  readonly bundle?: WorkflowBundleWithSourceMap
  readonly worker?: Partial<WorkerOptions>
}

/** A client of the dev server in the environment. */
export const testClient = Effect.fn("testClient")(function* (keys?: TestWorkerOptions["keys"]) {
  const { address, namespace } = yield* DevServer
  const connection = yield* Effect.acquireRelease(
    attempt(() => Connection.connect({ address })),
    (opened) => Effect.promise(() => opened.close())
  )
  const client = new Client({ connection, namespace, dataConverter: converterOf(keys) })
  return { client, deploys: new DeployClient(client) }
})

/** Runs a worker with `activities` on the queue `k8s-native`. */
export const testWorker = Effect.fn("testWorker")(function* (options: TestWorkerOptions) {
  const { address, namespace } = yield* DevServer
  yield* quietRuntime
  const workflowBundle = options.bundle ?? (yield* bundleWorkflows(workflowsPath, options.keys))
  const connection = yield* Effect.acquireRelease(
    attempt(() => NativeConnection.connect({ address })),
    (opened) => Effect.promise(() => opened.close())
  )
  const worker = yield* attempt(() =>
    Worker.create({
      connection,
      namespace,
      taskQueue: queues.k8sNative,
      workflowBundle,
      activities: options.activities,
      dataConverter: converterOf(options.keys),
      shutdownGraceTime: "1 second",
      shutdownForceTime: "10 seconds",
      ...options.worker
    })
  )
  yield* Effect.acquireRelease(
    Effect.sync(() => ({ ended: worker.run() })),
    ({ ended }) =>
      Effect.promise(() => {
        if (worker.getState() === "RUNNING") worker.shutdown()
        return ended
      })
  )
  return { worker, ...(yield* testClient(options.keys)) }
})
