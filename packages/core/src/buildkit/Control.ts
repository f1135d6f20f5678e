/** BuildKit's control API (`moby.buildkit.v1.Control`) as effects and streams, over @grpc/grpc-js. */
import {
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  create,
  fromBinary,
  toBinary
} from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Endpoint } from "./Address.ts"
import {
  type BuildHistoryEvent,
  BuildHistoryEventSchema,
  BuildHistoryRequestSchema,
  type ListWorkersResponse,
  ListWorkersRequestSchema,
  ListWorkersResponseSchema,
  type SolveResponse,
  SolveRequestSchema,
  SolveResponseSchema,
  type StatusResponse,
  StatusRequestSchema,
  StatusResponseSchema
} from "./gen/buildkit_pb.ts"
import { type GrpcFailure, failureOfCall } from "./GrpcFailure.ts"

export type { GrpcFailure }

/** The calls of a connection. Interrupting one cancels it on the daemon. */
export interface Control {
  /** Runs a build to its end: its answer is the build's. */
  readonly solve: (
    request: MessageInitShape<typeof SolveRequestSchema>
  ) => Effect.Effect<SolveResponse, GrpcFailure>
  /** What happens in a build, from its beginning, until it ends. Waits for a build that has not begun. */
  readonly status: (ref: string) => Stream.Stream<StatusResponse, GrpcFailure>
  readonly history: (
    request: MessageInitShape<typeof BuildHistoryRequestSchema>
  ) => Stream.Stream<BuildHistoryEvent, GrpcFailure>
  readonly workers: Effect.Effect<ListWorkersResponse, GrpcFailure>
}

const pathOf = (method: string): string => `/moby.buildkit.v1.Control/${method}`
/** Go's gRPC server ends a connection that pings more often than every 5 minutes, in the middle of its calls. */
const keepaliveMs = 330_000

/** A failed build's answer embeds its Dockerfile, and a log message may be long. */
const maxMessageLength = 64 * 1024 * 1024

/** A connection of its own: what breaks it does not break others. Closed with the scope. */
export const connect = Effect.fnUntraced(function* (
  endpoint: Endpoint
): Effect.fn.Return<Control, never, Scope.Scope> {
  const client = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new grpc.Client(endpoint.grpcTarget, endpoint.grpcCredentials(), {
          ...endpoint.grpcOptions,
          "grpc.use_local_subchannel_pool": 1,
          "grpc.enable_retries": 0,
          "grpc.keepalive_time_ms": keepaliveMs,
          "grpc.initial_reconnect_backoff_ms": 100,
          "grpc.max_reconnect_backoff_ms": 2000,
          "grpc.max_receive_message_length": maxMessageLength
        })
    ),
    (opened) => Effect.sync(() => opened.close())
  )

  const unary = <I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    output: O,
    request: MessageInitShape<I>
  ): Effect.Effect<MessageShape<O>, GrpcFailure> =>
    Effect.callback<MessageShape<O>, GrpcFailure>((resume) => {
      const call = client.makeUnaryRequest<MessageShape<I>, MessageShape<O>>(
        pathOf(method),
        (message) => Buffer.from(toBinary(input, message)),
        (bytes) => fromBinary(output, bytes),
        create(input, request),
        (error, response) => {
          if (response !== undefined) resume(Effect.succeed(response))
          else resume(Effect.fail(failureOfCall(error)))
        }
      )
      return Effect.sync(() => call.cancel())
    })

  const serverStream = <I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    output: O,
    request: MessageInitShape<I>
  ): Stream.Stream<MessageShape<O>, GrpcFailure> =>
    Stream.unwrap(
      Effect.acquireRelease(
        Effect.sync(() => {
          const call = client.makeServerStreamRequest<MessageShape<I>, MessageShape<O>>(
            pathOf(method),
            (message) => Buffer.from(toBinary(input, message)),
            (bytes) => fromBinary(output, bytes),
            create(input, request)
          )
          // an error after the stream was left has no other listener
          call.on("error", () => {})
          return call
        }),
        (call) => Effect.sync(() => call.cancel())
      ).pipe(
        Effect.map((call) =>
          // an async iterator reads only when asked: flow control reaches the daemon
          Stream.fromAsyncIterable<MessageShape<O>, GrpcFailure>(
            call.iterator({ destroyOnReturn: false }),
            failureOfCall
          )
        )
      )
    )

  return {
    solve: (request) => unary("Solve", SolveRequestSchema, SolveResponseSchema, request),
    status: (ref) => serverStream("Status", StatusRequestSchema, StatusResponseSchema, { Ref: ref }),
    history: (request) =>
      serverStream("ListenBuildHistory", BuildHistoryRequestSchema, BuildHistoryEventSchema, request),
    workers: unary("ListWorkers", ListWorkersRequestSchema, ListWorkersResponseSchema, {})
  }
})
