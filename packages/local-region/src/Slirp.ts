/** The bundle's way out, and the forwarded ports: slirp4netns' own API, a JSON request for each connection. */
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { RegionEnded } from "./LocalRegionError.ts"
import { guestPorts, slirp } from "./Network.ts"
import type { HostPorts } from "./RegionState.ts"

const Answer = Schema.fromJsonString(
  Schema.Struct({ error: Schema.optionalKey(Schema.Struct({ desc: Schema.String })) })
)

const ask = (socket: string, request: unknown) =>
  Effect.callback<string, RegionEnded>((resume) => {
    let text = ""
    const connection = connect({ path: socket, allowHalfOpen: true })
    connection.setEncoding("utf8")
    connection.on("data", (chunk: string) => (text += chunk))
    connection.on("error", (error) =>
      resume(Effect.fail(new RegionEnded({ detail: `slirp4netns: ${error.message}` })))
    )
    connection.on("end", () => resume(Effect.succeed(text)))
    connection.end(JSON.stringify(request))
    return Effect.sync(() => connection.destroy())
  })

const forward = Effect.fn("Slirp.forward")(function* (socket: string, hostPort: number, guestPort: number) {
  const text = yield* ask(socket, {
    execute: "add_hostfwd",
    arguments: {
      proto: "tcp",
      host_addr: "127.0.0.1",
      host_port: hostPort,
      guest_addr: slirp.guest,
      guest_port: guestPort
    }
  })
  const answer = yield* Schema.decodeEffect(Answer)(text).pipe(
    Effect.mapError((error) => new RegionEnded({ detail: `slirp4netns answers ${text}: ${error.message}` }))
  )
  if (answer.error !== undefined) {
    return yield* new RegionEnded({ detail: `port ${hostPort} cannot be forwarded: ${answer.error.desc}` })
  }
})

/** Waits for slirp4netns to be up, then opens the ports on 127.0.0.1 of the machine. */
export const forwardPorts = Effect.fn("Slirp.forwardPorts")(function* (socket: string, ports: HostPorts) {
  yield* ask(socket, { execute: "list_hostfwd" }).pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.fail(new RegionEnded({ detail: "slirp4netns did not get ready in 60 seconds" }))
    })
  )
  yield* forward(socket, ports.api, guestPorts.api)
  yield* forward(socket, ports.registry, guestPorts.registry)
  yield* forward(socket, ports.http, guestPorts.http)
  yield* forward(socket, ports.https, guestPorts.https)
})

const isRunning = (root: string): boolean => {
  try {
    const pid = readFileSync(join(root, "slirp.pid"), "utf8").trim()
    // "PID (name) STATE …": nobody waits for it, so an ended one stays a zombie.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

/** Returns when slirp4netns is gone: without it the region cannot be reached. */
export const awaitEnd = (root: string) =>
  Effect.sync(() => isRunning(root)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("2 seconds"), until: (running) => !running }),
    Effect.asVoid
  )
