/** Reads probes (JSON) from stdin, sends all of them at once, and writes whether each was answered. */
import { createSocket } from "node:dgram"
import { createConnection } from "node:net"
import { text } from "node:stream/consumers"
import type { Probe } from "./Lab.ts"

/** More than the second after which TCP sends a SYN again. */
const timeout = 1500

const tcp = ({ from, port, to }: Probe): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: to, port, localAddress: from })
    const done = (isAnswered: boolean) => {
      socket.destroy()
      resolve(isAnswered)
    }
    // Bytes of the server, not only a handshake.
    socket.on("data", () => done(true))
    socket.on("error", () => done(false))
    setTimeout(() => done(false), timeout)
  })

const udp = ({ from, port, to }: Probe): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket(to.includes(":") ? "udp6" : "udp4")
    const timer = setTimeout(() => done(false), timeout)
    const done = (isAnswered: boolean) => {
      clearTimeout(timer)
      socket.close()
      resolve(isAnswered)
    }
    socket.on("message", () => done(true))
    // A refusal of the node's own firewall is no answer; the timer decides.
    socket.on("error", () => {})
    socket.bind(0, from, () => socket.send("?", port, to, () => {}))
  })

const probes: ReadonlyArray<Probe> = JSON.parse(await text(process.stdin))
const answers = await Promise.all(probes.map((probe) => (probe.protocol === "tcp" ? tcp(probe) : udp(probe))))
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0))
