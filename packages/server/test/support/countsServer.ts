/** The test server as a process of its own, so that its memory is only its own. Prints its port, and ends with its parent. */
import * as Effect from "effect/Effect"
import { testServer } from "./TestServer.ts"

process.on("disconnect", () => process.exit(0))

await Effect.runPromise(
  testServer({ http: { bodyLimitBytes: Number(process.argv[2]) } }).pipe(
    Effect.tap(({ port }) => Effect.sync(() => process.send?.({ port }))),
    Effect.andThen(Effect.never),
    Effect.scoped
  )
)
