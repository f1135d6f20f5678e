/** {@link ImageBuilder} on BuildKit's gRPC API. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type BuildFailureReason, type BuilderAddressInvalid, BuilderUnreachable } from "../BuildFailure.ts"
import { BuildSlots } from "../BuildSlots.ts"
import { type BuildEvent, type BuildRequest, ImageBuilder, ImageBuilderError } from "../ImageBuilder.ts"
import { type BuildkitTls, endpointOf } from "./Address.ts"
import { type Builder, type Heartbeat, runBuild } from "./Build.ts"
import { connect } from "./Control.ts"
import { resolveFiles } from "./Dockerfile.ts"
import { findFinished } from "./History.ts"
import type { RegistryCredentials } from "./Session.ts"
import { refPrefix } from "./SolveRequest.ts"

export type { BuildkitTls } from "./Address.ts"
export type { Heartbeat } from "./Build.ts"
export type { RegistryCredentials } from "./Session.ts"
export { refPrefix } from "./SolveRequest.ts"

/** Which daemon builds, and how much at once. */
export interface BuildkitConfig {
  /** `unix:///path` or `tcp://host:port`. */
  readonly address: string
  /** TLS for `tcp://`; with a client certificate it is mutual. */
  readonly tls?: BuildkitTls
  /** What the daemon logs in with at a registry, by the registry's host. None when absent. */
  readonly registryAuth?: (host: string) => Effect.Effect<RegistryCredentials | undefined>
  /** Notices a daemon that hangs. Default: every 10 s it must answer within 10 s, or when asked once more. */
  readonly heartbeat?: Heartbeat
  /** How long a cancelled build may take to end before that is reported; 15 when absent. */
  readonly cancelSeconds?: number
}

/** How long the daemon may take to answer a question that needs no work. */
const answerDeadline = "10 seconds"
const defaultHeartbeat: Heartbeat = { intervalSeconds: 10, timeoutSeconds: 10 }
const defaultCancelSeconds = 15

/** Builds on one daemon, as many at once as there are {@link BuildSlots}. The connection is opened when it is first needed. */
export const layer = (config: BuildkitConfig): Layer.Layer<ImageBuilder, BuilderAddressInvalid, BuildSlots> =>
  Layer.effect(
    ImageBuilder,
    Effect.gen(function* () {
      const endpoint = yield* endpointOf(config.address, config.tls)
      const builder: Builder = {
        endpoint,
        heartbeat: config.heartbeat ?? defaultHeartbeat,
        control: yield* connect(endpoint),
        credentials: config.registryAuth ?? (() => Effect.undefined),
        cancelSeconds: config.cancelSeconds ?? defaultCancelSeconds
      }
      const slots = yield* BuildSlots

      const unreachable = (detail: string) => new BuilderUnreachable({ address: config.address, detail })
      const finishedBuild = (prefix: string) =>
        findFinished(builder.control, prefix).pipe(
          Effect.timeoutOrElse({
            duration: answerDeadline,
            orElse: () => Effect.fail(unreachable(`no answer within ${answerDeadline}`))
          }),
          Effect.catchTag("GrpcFailure", (failure) => Effect.fail(unreachable(failure.message)))
        )

      const prepare = Effect.fn("ImageBuilder.build")(function* (request: BuildRequest) {
        const files = yield* resolveFiles(request)
        const prefix = refPrefix(request)
        const finished = request.acceptFinished ? yield* finishedBuild(prefix) : Option.none()
        if (Option.isSome(finished)) {
          return Stream.succeed<BuildEvent>({ _tag: "Built", digest: finished.value, reused: true })
        }
        const started = Stream.unwrap(runBuild(builder, request, files, prefix))
        if (yield* slots.takeIfFree(request.tenant)) return started
        const waiting: BuildEvent = { _tag: "BuildProgress", message: "waiting for a free builder" }
        return Stream.succeed(waiting).pipe(
          Stream.concat(Stream.unwrap(Effect.as(slots.take(request.tenant), started)))
        )
      })

      return ImageBuilder.of({
        build: (request) =>
          Stream.unwrap(prepare(request)).pipe(
            Stream.mapError(
              (reason: BuildFailureReason) => new ImageBuilderError({ image: String(request.image), reason })
            )
          )
      })
    })
  )
