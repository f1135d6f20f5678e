/** Serves TCP and UDP: `serve.ts ADDRESS,… PORT,…`. A process of its own, because it runs in a namespace. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { createServer } from "node:net"

const [addresses = "", ports = ""] = process.argv.slice(2)

for (const address of addresses.split(","))
  for (const port of ports.split(",").map(Number)) {
    const tcp = createServer((socket) => {
      socket.on("error", () => socket.destroy())
      socket.end("tcp")
    })
    const listening = once(tcp, "listening")
    tcp.listen(port, address)
    // Another server of the node has the port, sshd: it answers with bytes of its own.
    await listening.catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE") throw error
    })
    const udp = createSocket(address.includes(":") ? "udp6" : "udp4")
    udp.on("message", (_, { address: to, port: toPort }) => udp.send("udp", toPort, to))
    udp.bind(port, address)
    await once(udp, "listening")
  }
process.stdout.write("ready\n")
