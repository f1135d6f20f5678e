/** Ours: all of deployer-server but Temporal and the cluster. Tells its parent the port. */
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { Ancestry } from "@mcpdeploy/server/Ancestry"
import { Deliveries } from "@mcpdeploy/server/Deliveries"
import { serve } from "@mcpdeploy/server/HttpServer"
import { PushSink } from "@mcpdeploy/server/PushSink"
import { RepositoryIndex } from "@mcpdeploy/server/RepositoryIndex"
import { WebhookSecrets } from "@mcpdeploy/server/WebhookSecrets"
import { Effect, Layer, References, Schema, Stream } from "effect"
import { master, repository } from "./delivery.ts"

let count = 0

const request = Schema.decodeSync(DeployRequest)({
  owner: { user: "ann", project: "shop" },
  service: "web",
  source: { repository: { url: `https://github.com/${repository}` }, ref: "master" },
  build: {},
  run: { port: 8080 },
  generation: 1
})

const services = Deliveries.layer({
  urls: { github: ["https://github.com"], gitea: [] },
  maxInFlight: 512
}).pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      // The peer logs nothing either.
      Layer.succeed(References.MinimumLogLevel, "Warn"),
      Layer.succeed(WebhookSecrets, WebhookSecrets.make(new Map([["github", [master]]]))),
      RepositoryIndex.layer(Stream.concat(Stream.succeed([request]), Stream.never)),
      Layer.succeed(PushSink, {
        submit: () =>
          Effect.sync(() => {
            count++
          }),
        isConnected: () => true
      }),
      Ancestry.unknown
    )
  )
)

process.on("message", () => process.send?.({ count }))
process.on("disconnect", () => process.exit(0))

await Effect.runPromise(
  serve(
    {
      host: "127.0.0.1",
      port: 0,
      bodyLimitBytes: 25_000_000,
      bufferBytes: 100_000_000,
      bodySeconds: 10,
      answerMs: 900
    },
    { isTemporalConnected: () => true, isCatalogConnected: () => true }
  ).pipe(
    Effect.tap(({ port }) => Effect.sync(() => process.send?.({ port }))),
    Effect.andThen(Effect.never),
    Effect.provide(services),
    Effect.scoped
  )
)
