/** A process that builds a context and can be killed. */
import * as Effect from "effect/Effect"
import { builderLayer, eventsOf, request } from "./daemon.ts"

await Effect.runPromise(eventsOf(request(process.argv[2] ?? "")).pipe(Effect.provide(builderLayer())))
