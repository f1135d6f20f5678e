import { createServer } from "node:http"
import { setTimeout } from "node:timers/promises"
import { createClient } from "redis"

/** The database may come up after this, and until it does its name may lead nowhere, or elsewhere: each attempt is a new client. */
const connect = async () => {
  for (;;) {
    const client = createClient({ url: process.env.DATABASE_URL })
    client.on("error", (error) => console.error(`database: ${error.message}`))
    try {
      await Promise.race([client.connect(), rejectAfter(3000)])
      await Promise.race([client.ping(), rejectAfter(3000)])
      return client
    } catch (error) {
      console.error(`database: ${error.message}`)
      if (client.isOpen) client.destroy()
      await setTimeout(500)
    }
  }
}
const rejectAfter = async (ms) => {
  await setTimeout(ms)
  throw new Error(`no answer within ${ms} ms`)
}

const db = await connect()

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
