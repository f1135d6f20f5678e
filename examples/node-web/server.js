import Fastify from "fastify"

const app = Fastify({ logger: true })

app.get("/", async () => ({ hello: process.env.GREETING ?? "world", node: process.version }))
app.get("/healthz", async () => ({ ok: true }))

const stop = () => app.close().then(() => process.exit(0))
process.on("SIGTERM", stop)
process.on("SIGINT", stop)

await app.listen({ host: "0.0.0.0", port: Number(process.env.PORT ?? 3000) })
