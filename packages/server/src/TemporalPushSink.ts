/** {@link PushSink} over the services' workflows: signal-with-start, idempotent by the delivery's id. */
import { traceOf } from "@mcpdeploy/core/Telemetry"
import {
  connectionSettings,
  prove,
  type TemporalRefused
} from "@mcpdeploy/temporal-adapter/settings/TemporalAccess"
import type { TemporalSettings } from "@mcpdeploy/temporal-adapter/settings/TemporalSettings"
import { DeployClient } from "@mcpdeploy/temporal-contract/client"
import { dataConverter } from "@mcpdeploy/temporal-contract/codec"
import { workflowIds } from "@mcpdeploy/temporal-contract/contract"
import { Client } from "@temporalio/client"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClosableConnection from "./ClosableConnection.ts"
import { PushSink, SinkUnavailable } from "./PushSink.ts"

const probeEvery = "3 seconds"
const probeSeconds = 3

/** gRPC would wait up to two minutes before it tries an address again that was away for a while. */
const channelArgs = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000 }

/**
 * Connects in the background: while Temporal is away, pushes are refused as unavailable and the process stays. Fails only
 * where Temporal answers that it does not take the credentials, or does not have the namespace. `deadlineMs` bounds each
 * submit.
 */
export const layer = (
  settings: TemporalSettings,
  deadlineMs: number
): Layer.Layer<PushSink, TemporalRefused> =>
  Layer.effect(
    PushSink,
    Effect.gen(function* () {
      const connection = yield* ClosableConnection.make({ ...connectionSettings(settings), channelArgs })
      const { namespace, payloadKeys, taskQueue } = settings
      const client = new Client({ connection, namespace, dataConverter: dataConverter(payloadKeys) })
      const deploys = new DeployClient(client, { taskQueue })
      let problem: string | undefined = "it has not answered yet"
      const ask = prove(connection, settings, probeSeconds).pipe(
        Effect.tap(() => {
          const isNew = problem !== undefined
          problem = undefined
          return isNew ? Effect.logInfo("Temporal answers") : Effect.void
        }),
        Effect.tapError((error) => {
          const isNew = problem !== error.message
          problem = error.message
          return isNew ? Effect.logError(error.message) : Effect.void
        })
      )
      yield* ask.pipe(
        Effect.catchIf(
          ({ setting }) => setting === "address",
          () => Effect.void
        )
      )
      yield* ask.pipe(
        Effect.ignore,
        Effect.andThen(Effect.sleep(probeEvery)),
        Effect.forever,
        Effect.forkScoped
      )
      return PushSink.of({
        submit: (target, push) =>
          Effect.tryPromise({
            try: () => deploys.submit(target, push, { deadlineMs }),
            catch: (error) =>
              new SinkUnavailable({ detail: error instanceof Error ? error.message : String(error) })
          }).pipe(
            Effect.withSpan("PushSink.submit", {
              // The trace of the deploy that it starts, which a worker goes on with.
              parent: traceOf(workflowIds.deploy(target, push.generation)),
              kind: "producer",
              attributes: {
                "mcpdeploy.service": `${target.owner.user}/${target.owner.project}/${target.service}`,
                ...(push.commit === undefined ? {} : { "mcpdeploy.commit": push.commit }),
                "mcpdeploy.delivery": push.deliveryId,
                "mcpdeploy.action": push.action._tag
              }
            })
          ),
        isConnected: () => problem === undefined
      })
    })
  )
