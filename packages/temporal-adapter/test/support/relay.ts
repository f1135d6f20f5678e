/**
 * Hands connections on between two networks, through a socket in the file system: `node relay.ts FROM TO [FROM TO …]`, each a
 * path, or an address and a port. Writes "ready" when all listen.
 */
import { createConnection, createServer, type Socket } from "node:net"

const place = (text: string) => {
  if (text.startsWith("/")) return { path: text }
  const [host = "", port = ""] = text.split(":")
  return { host, port: Number(port) }
}

const pairs = process.argv.slice(2)
let waiting = pairs.length / 2
for (let index = 0; index < pairs.length; index += 2) {
  const [from = "", to = ""] = pairs.slice(index, index + 2)
  const server = createServer((socket) => {
    const onward = createConnection(place(to))
    const end = (...ends: ReadonlyArray<Socket>) => {
      for (const one of ends) one.destroy()
    }
    socket.on("error", () => end(socket, onward)).pipe(onward)
    onward.on("error", () => end(socket, onward)).pipe(socket)
  })
  server.listen(place(from), () => {
    waiting--
    if (waiting === 0) process.stdout.write("ready\n")
  })
}
