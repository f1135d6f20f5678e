/** One build on the daemon, from the session to the digest: its events, its end, and its cancellation. */
import { status } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type BuildFailureReason,
  BuildFailed,
  BuildTimedOut,
  type CancelNotConfirmed
} from "../BuildFailure.ts"
import { ImageDigest } from "../domain/Image.ts"
import type { BuildEvent, BuildRequest } from "../ImageBuilder.ts"
import type { Endpoint } from "./Address.ts"
import { classify } from "./Classify.ts"
import { type Control, connect } from "./Control.ts"
import type { BuildFiles } from "./Dockerfile.ts"
import type { StatusResponse } from "./gen/buildkit_pb.ts"
import { GrpcFailure } from "./GrpcFailure.ts"
import { awaitEnd } from "./History.ts"
import { BuildFollower } from "./Progress.ts"
import { type RegistryCredentials, openSession } from "./Session.ts"
import { newRef, scopeOf, solveRequest } from "./SolveRequest.ts"

/** How a daemon that hangs is noticed while it builds: it is asked something small, and must answer. */
export interface Heartbeat {
  readonly intervalSeconds: number
  readonly timeoutSeconds: number
}

/** The daemon and what is agreed about it. */
export interface Builder {
  readonly endpoint: Endpoint
  readonly heartbeat: Heartbeat
  /** For what is asked beside a build: its status, its record. */
  readonly control: Control
  readonly credentials: (host: string) => Effect.Effect<RegistryCredentials | undefined>
  /** How long a cancelled build may take to end. */
  readonly cancelSeconds: number
}

/** The pushed manifest, in what the exporter answers. */
const digestIn = Schema.decodeUnknownOption(Schema.Struct({ "containerimage.digest": ImageDigest }))

/** How long the status stream may be silent once the build has ended: it ends by itself unless its connection hangs. */
const statusSilence = "5 seconds"
const statusRetryDelay = "500 millis"

/** The status stream, read again when its connection breaks, until it ends or the build has. */
const statusOf = (
  control: Control,
  ref: string,
  follower: BuildFollower,
  solve: Fiber.Fiber<ImageDigest, unknown>
): Stream.Stream<StatusResponse> => {
  const read = (): Stream.Stream<StatusResponse> =>
    control.status(ref).pipe(
      Stream.catch((failure) =>
        Stream.unwrap(
          Effect.logDebug(`status of build ${ref}: ${failure.message}`).pipe(
            Effect.andThen(Effect.sleep(statusRetryDelay)),
            Effect.map(() => {
              follower.restart()
              return read()
            })
          )
        )
      )
    )
  const ended = Fiber.await(solve).pipe(
    Effect.andThen(Effect.sleep(statusSilence)),
    Effect.andThen(Cause.done())
  )
  return Stream.transformPull(read(), (pull) => Effect.succeed(Effect.raceFirst(pull, ended)))
}

/** A connection can break because the answer is too large for it, and then the daemon's record has the cause. */
const recoverOutcome = Effect.fnUntraced(function* (
  control: Control,
  ref: string,
  failure: GrpcFailure,
  seconds: number
): Effect.fn.Return<ImageDigest, GrpcFailure> {
  const ending = yield* awaitEnd(control, ref, seconds).pipe(Effect.mapError(() => failure))
  if (ending._tag === "Finished" && Option.isSome(ending.digest)) return ending.digest.value
  // "cancelled" is only what the lost connection did to the build
  return yield* ending._tag === "Failed" && !ending.failure.cancelled ? ending.failure : failure
})

/** Adds which step failed, where only its own message tells. */
const withFailedStep = (failure: GrpcFailure, follower: BuildFollower): GrpcFailure => {
  const { failed } = follower
  if (failed === undefined || failure.details.vertex !== undefined || failure.connectionLost) return failure
  const exitCode = /exit code: (\d+)/.exec(failed.error)?.[1]
  return new GrpcFailure({
    code: failure.code,
    detail: failure.detail,
    details: {
      ...failure.details,
      vertex: failed.vertex,
      ...(exitCode === undefined ? {} : { exitCode: Number(exitCode) })
    }
  })
}

/** Fails when the daemon stops answering. (gRPC's own pings are no help: every five minutes is all that it accepts.) */
const watch = ({ control, heartbeat }: Builder): Effect.Effect<never, GrpcFailure> => {
  const silence = new GrpcFailure({
    code: status.UNAVAILABLE,
    detail: `no answer within ${heartbeat.timeoutSeconds} s, twice in a row`,
    details: {}
  })
  const beat = control.workers.pipe(
    Effect.timeoutOrElse({
      duration: `${heartbeat.timeoutSeconds} seconds`,
      orElse: () => Effect.fail(silence)
    }),
    Effect.retry({ times: 1 })
  )
  return Effect.sleep(`${heartbeat.intervalSeconds} seconds`).pipe(Effect.andThen(beat), Effect.forever)
}

/** Interrupts a running solve, and returns when the daemon says that the build has ended. */
const cancel = Effect.fnUntraced(function* (
  builder: Builder,
  ref: string,
  solve: Fiber.Fiber<ImageDigest, unknown>
): Effect.fn.Return<void> {
  if (solve.pollUnsafe() !== undefined) return
  yield* Fiber.interrupt(solve)
  // a fiber of its own: this one is being interrupted, and must still see deadlines
  const gone = yield* Effect.forkDetach(awaitEnd(builder.control, ref, builder.cancelSeconds))
  const exit = yield* Fiber.await(gone)
  if (Exit.isFailure(exit)) yield* Effect.logWarning(Cause.squash(exit.cause))
})

/** The build's events, and last the digest. Leaving the stream early cancels the build. */
export const runBuild = Effect.fnUntraced(function* (
  builder: Builder,
  request: BuildRequest,
  files: BuildFiles,
  prefix: string
): Effect.fn.Return<Stream.Stream<BuildEvent, BuildFailureReason>, BuildFailureReason, Scope.Scope> {
  const { control, endpoint } = builder
  const { secrets, timeoutSeconds } = request
  const ref = newRef(prefix)
  const session = yield* openSession(endpoint, {
    directories: { context: files.context, dockerfile: files.repository },
    secrets,
    credentials: builder.credentials,
    sharedKey: scopeOf(request)
  })
  const solver = yield* connect(endpoint)
  const follower = new BuildFollower()
  const message = yield* solveRequest(request, files.dockerfile, ref, session.id)

  const timedOut: Effect.Effect<never, BuildTimedOut | CancelNotConfirmed> = Effect.suspend(() => {
    const error = new BuildTimedOut({ timeoutSeconds, lastLines: follower.lastLines })
    return awaitEnd(control, ref, builder.cancelSeconds).pipe(Effect.andThen(Effect.fail(error)))
  })
  const answered = Effect.raceFirst(solver.solve(message), watch(builder)).pipe(
    Effect.map(({ ExporterResponse }) =>
      Option.map(digestIn(ExporterResponse), (response) => response["containerimage.digest"])
    ),
    Effect.flatMap(
      Option.match({
        onNone: () => Effect.fail(new BuildFailed({ detail: "the builder names no digest for the image" })),
        onSome: Effect.succeed
      })
    ),
    Effect.catchTag("GrpcFailure", (failure) =>
      failure.connectionLost
        ? recoverOutcome(control, ref, failure, builder.cancelSeconds)
        : Effect.fail(failure)
    ),
    Effect.timeoutOrElse({ duration: `${timeoutSeconds} seconds`, orElse: () => timedOut })
  )
  const solve = yield* Effect.acquireRelease(Effect.forkDetach(answered), (fiber) =>
    cancel(builder, ref, fiber)
  )

  const outcome = Fiber.join(solve).pipe(
    Effect.catchTag("GrpcFailure", (failure) =>
      Effect.fail(
        classify(withFailedStep(failure, follower), {
          address: endpoint.address,
          dockerfile: request.dockerfile,
          sessionFailure: session.failure(),
          follower
        })
      )
    ),
    Effect.map((digest): BuildEvent => ({ _tag: "Built", digest, reused: false }))
  )
  return statusOf(control, ref, follower, solve).pipe(
    Stream.map((response) => follower.receive(response)),
    Stream.concat(Stream.sync(() => follower.flush())),
    Stream.flattenIterable,
    Stream.concat(Stream.fromEffect(outcome))
  )
})
