/**
 * What verify.yml asks besides the cluster: Loki (a double: it has a stream for each of so many nodes), who is told of alerts, and
 * Traefik's certificate. Arguments: address, folder of `key.pem` and `certificate.pem`, streams of Loki, status for alerts.
 */
import { appendFileSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { join } from "node:path"

const [address = "", folder = "", streams = "1", status = "200"] = process.argv.slice(2)

const loki = createServer((request, response) => {
  const found = request.url?.startsWith("/loki/api/v1/query_range?") === true ? Number(streams) : 0
  const result = Array.from({ length: found }, (_, node) => ({
    stream: { node: `node-${node}` },
    values: []
  }))
  response.end(JSON.stringify({ status: "success", data: { resultType: "streams", result } }))
})
const receiver = createServer((request, response) => {
  let body = ""
  request.on("data", (chunk) => (body += String(chunk)))
  request.on("end", () => {
    appendFileSync(join(folder, "alerts"), `${body}\n`)
    response.writeHead(Number(status)).end()
  })
})
const traefik = createTlsServer(
  { key: readFileSync(join(folder, "key.pem")), cert: readFileSync(join(folder, "certificate.pem")) },
  (_, response) => response.writeHead(404).end()
)
const listening = [
  [loki, 3100],
  [receiver, 9999],
  [traefik, 8443]
] as const
let left = listening.length
for (const [server, port] of listening)
  server.listen(port, address, () => {
    left -= 1
    if (left === 0) process.stdout.write("ready\n")
  })
