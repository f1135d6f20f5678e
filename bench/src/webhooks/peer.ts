/** The peer: @octokit/webhooks on node:http, as its documentation shows it. Tells its parent the port. */
import { createServer } from "node:http"
import { createNodeMiddleware, Webhooks } from "@octokit/webhooks"
import { repositorySecret } from "./delivery.ts"

const webhooks = new Webhooks({ secret: repositorySecret })
let count = 0
webhooks.on("push", () => {
  count++
})

const server = createServer(createNodeMiddleware(webhooks, { path: "/webhooks/github" }))
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.send?.({ port: typeof address === "object" && address !== null ? address.port : 0 })
})
process.on("message", () => process.send?.({ count }))
process.on("disconnect", () => process.exit(0))
