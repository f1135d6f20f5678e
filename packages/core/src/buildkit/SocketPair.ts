/**
 * Two sockets of this process that are connected with each other, by TCP on loopback.
 *
 * node:http2 sends to a socket of the system straight from its own memory. What it sends to any other stream it first copies
 * into new buffers, and of a large context that is so much garbage that collecting it costs more than sending it.
 */
import * as net from "node:net"

const host = "127.0.0.1"

/** The first one reads into the buffers of `onread`. Fails where the machine has no loopback. */
export const socketPair = (
  onread: net.OnReadOpts
): Promise<readonly [reading: net.Socket, other: net.Socket]> =>
  new Promise((resolve, reject) => {
    const server = net.createServer({ noDelay: true })
    const failed = (error: Error) => {
      server.close()
      reject(error)
    }
    server.once("error", failed)
    server.listen({ host, port: 0 }, () => {
      const address = server.address()
      if (address === null || typeof address === "string") return failed(new Error("no port"))
      const reading = net.connect({ host, port: address.port, noDelay: true, onread })
      reading.once("error", failed)
      server.on("connection", (other) => {
        // Anybody on this machine may connect to the port; this address is only that of `reading`.
        if (other.remotePort !== reading.localPort) return void other.destroy()
        server.close()
        reading.off("error", failed)
        resolve([reading, other])
      })
    })
  })
