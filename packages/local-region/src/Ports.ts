/** Loopback ports of this machine. */
import { createServer } from "node:net"
import { networkInterfaces } from "node:os"
import * as Effect from "effect/Effect"
import { MachineUnsuitable } from "./LocalRegionError.ts"
import type { HostPorts } from "./RegionState.ts"

/** The port itself when it is free, any free one for 0, undefined when it is taken. */
const probe = (port: number) =>
  Effect.callback<number | undefined>((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.undefined))
    server.listen(port, "127.0.0.1", () => {
      const address = server.address()
      const found = typeof address === "object" && address !== null ? address.port : undefined
      server.close(() => resume(Effect.succeed(found)))
    })
  })

/** The ports of last time, as far as they are free. */
export const choose = Effect.fn("Ports.choose")(function* (previous: HostPorts | undefined) {
  const taken = new Set<number>()
  const one = Effect.fnUntraced(function* (wanted: number | undefined) {
    for (const candidate of [wanted ?? 0, 0, 0, 0]) {
      const found = yield* probe(candidate)
      if (found !== undefined && !taken.has(found)) {
        taken.add(found)
        return found
      }
    }
    return yield* new MachineUnsuitable({ detail: "no port on 127.0.0.1 is free" })
  })
  return {
    api: yield* one(previous?.api),
    registry: yield* one(previous?.registry),
    http: yield* one(previous?.http),
    https: yield* one(previous?.https),
    dns: yield* one(previous?.dns),
    temporal: yield* one(previous?.temporal),
    gitea: yield* one(previous?.gitea)
  } satisfies HostPorts
})

/** This machine's own IPv4 addresses, without loopback. */
export const machineAddresses = (): ReadonlyArray<string> =>
  Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .map(({ address }) => address)
  )
