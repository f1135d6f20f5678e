/** A process that is stopped while Temporal is away ends in order: no attempt is begun on a closed connection. */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as ClosableConnection from "../src/ClosableConnection.ts"

/** A port at which nobody listens any more. */
const closedPort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const isBound = (bound: typeof address): bound is AddressInfo => typeof bound === "object"
  assert(isBound(address))
  server.close()
  await once(server, "close")
  return address.port
})

it.live(
  "a call that waits for its next attempt fails when the connection is closed, and throws nowhere",
  () =>
    Effect.gen(function* () {
      const thrown: Array<unknown> = []
      const listen = (error: unknown) => void thrown.push(error)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("uncaughtExceptionMonitor", listen)),
        () => Effect.sync(() => process.off("uncaughtExceptionMonitor", listen))
      )
      const scope = yield* Scope.make()
      const connection = yield* ClosableConnection.make({ address: `127.0.0.1:${yield* closedPort}` }).pipe(
        Scope.provide(scope)
      )
      const call = yield* Effect.tryPromise(() =>
        connection.withDeadline(Date.now() + 20_000, () => connection.workflowService.getSystemInfo({}))
      ).pipe(Effect.exit, Effect.forkChild)
      // Long enough for the first attempts; the later ones are a second and more apart.
      yield* Effect.sleep("1200 millis")
      yield* Scope.close(scope, Exit.void)
      const exit = yield* Fiber.join(call).pipe(Effect.timeout("8 seconds"))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(thrown, [])
    })
)
