import { createServer } from "node:http"
import { createClient } from "redis"

const db = createClient({ url: process.env.DATABASE_URL })
db.on("error", (error) => console.error(`database: ${error.message}`))
await db.connect()

const server = createServer(async (request, response) => {
  try {
    if (request.url === "/healthz") {
      await db.ping()
      return response.end("ok\n")
    }
    const visitors = await db.incr("visitors")
    response.setHeader("content-type", "application/json")
    response.end(`${JSON.stringify({ visitors })}\n`)
  } catch (error) {
    response.statusCode = 503
    response.end(`${error.message}\n`)
  }
})

process.on("SIGTERM", () => server.close(() => process.exit(0)))
server.listen(Number(process.env.PORT), "0.0.0.0")
