/**
 * ClosableConnection: a connection to Temporal that can be closed while a call waits for its next attempt.
 *
 * The client's own retry begins the next attempt from a timer. On a connection that was closed meanwhile that throws where nobody
 * can catch it, and a process that was stopped in order ends as a crashed one.
 */
import { InterceptingCall, Metadata, status } from "@grpc/grpc-js"
import {
  Connection,
  type ConnectionOptions,
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor
} from "@temporalio/client"
import * as Effect from "effect/Effect"

type Interceptor = NonNullable<ConnectionOptions["interceptors"]>[number]

/** A call that ends at once. CANCELLED is not tried again. */
const cancelled = (): InterceptingCall =>
  new InterceptingCall({
    start: (_, listener) => {
      queueMicrotask(() => {
        listener?.onReceiveMessage?.(null)
        listener?.onReceiveStatus?.({
          code: status.CANCELLED,
          details: "the connection is closed",
          metadata: new Metadata()
        })
      })
    },
    cancelWithStatus: () => undefined,
    getPeer: () => "",
    getAuthContext: () => null,
    sendMessage: () => undefined,
    sendMessageWithContext: () => undefined,
    startRead: () => undefined,
    halfClose: () => undefined
  })

/** Connects with the first call; closed with the scope, whatever is under way. */
export const make = Effect.fn("ClosableConnection.make")(function* (options: ConnectionOptions) {
  let isClosed = false
  const guard: Interceptor = (call, nextCall) =>
    isClosed ? cancelled() : new InterceptingCall(nextCall(call))
  return yield* Effect.acquireRelease(
    Effect.sync(() =>
      Connection.lazy({
        ...options,
        // The guard stands behind the retry: each attempt passes it.
        interceptors: [makeGrpcRetryInterceptor(defaultGrpcRetryOptions()), guard]
      })
    ),
    (connection) =>
      Effect.suspend(() => {
        isClosed = true
        return Effect.promise(() => connection.close().catch(() => undefined))
      })
  )
})
