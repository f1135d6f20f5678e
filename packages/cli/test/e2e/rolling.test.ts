/** A version follows another while 200 requests a second come in through Traefik: not one of them fails. */
import { Agent, get } from "node:http"
import { assert, it } from "vitest"
import { describeOnRegion, mcpdeploy, Repository } from "./harness.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"
const rate = 200
const deadlineMs = 10_000

/** Sends requests at the rate, whether or not earlier ones have been answered, until it is stopped. */
const load = (url: string) => {
  const { host, port } = new URL(url)
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const answers = new Map<string, number>()
  const latencies: Array<number> = []
  const requests = { sent: 0, pending: 0 }
  const count = (answer: string) => answers.set(answer, (answers.get(answer) ?? 0) + 1)
  const send = () => {
    requests.sent++
    requests.pending++
    const at = performance.now()
    let isOver = false
    const end = (answer: string) => {
      if (isOver) return
      isOver = true
      requests.pending--
      latencies.push(performance.now() - at)
      count(answer)
    }
    const request = get({ host: "127.0.0.1", port, path: "/", headers: { host }, agent }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => end(`${response.statusCode} ${body.trim().slice(0, 60)}`))
      response.on("error", (error) => end(`cut: ${error.message}`))
    })
    request.on("error", (error) => end(`failed: ${error.message}`))
    request.setTimeout(deadlineMs, () => request.destroy(new Error(`no answer in ${deadlineMs} ms`)))
  }
  const begun = performance.now()
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) / 1000) * rate) - requests.sent
    for (let index = 0; index < due; index++) send()
  }, 5)
  return {
    answers,
    /** Of the answers so far. */
    seen: (answer: string) => answers.get(answer) ?? 0,
    stop: async () => {
      clearInterval(timer)
      const seconds = (performance.now() - begun) / 1000
      while (requests.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20))
      agent.destroy()
      const { sent } = requests
      latencies.sort((a, b) => a - b)
      const at = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0)
      process.stdout.write(
        `rolling: ${sent} requests in ${seconds.toFixed(1)} s (${(sent / seconds).toFixed(0)} a second), ` +
          `half within ${at(0.5)} ms, 99% within ${at(0.99)} ms; ` +
          `${[...answers].map(([answer, times]) => `${times} × ${answer}`).join(", ")}\n`
      )
      return { sent, perSecond: sent / seconds }
    }
  }
}

const site = (text: string, more = "") => ({
  Dockerfile: `FROM nginx:alpine\nCOPY index.html /usr/share/nginx/html/\n${more}`,
  "index.html": `${text}\n`
})

describeOnRegion("a service under 200 requests a second", () => {
  it("rolls to the next version, and keeps the old one where the next is broken, without a failed request", async () => {
    const project = `rolling-${Date.now().toString(36)}`
    using repository = new Repository().write({
      ...site("first"),
      "mcpdeploy.yaml": `user: e2e\nproject: ${project}\nservices:\n  web: { run: { port: 80, replicas: 2, memory: 128Mi, cpu: 200m, rolloutSeconds: 60, healthCheck: { path: / } } }\n`
    })
    repository.commit()
    const deploy = () => mcpdeploy([...repository.serviceFile, "deploy", "--json"])
    try {
      const [first] = (await deploy()).outcomes
      assert(first?._tag === "Deployed")
      const running = load(first.receipt.probe?.url ?? "")

      repository.write(site("second")).commit()
      const next = await deploy()
      assert.strictEqual(next.code, 0, next.stderr + next.stdout)
      const before = running.seen("200 second")
      await new Promise((resolve) => setTimeout(resolve, 2000))
      assert.isAbove(running.seen("200 second"), before + rate, "the new version has all the load")

      const broken = [
        { change: 'CMD ["sh", "-c", "echo no database; exit 3"]\n', says: "no database" },
        // It runs, and never says that it is ready.
        ...(isFull ? [{ change: 'CMD ["sleep", "3600"]\n', says: "connection refused" }] : [])
      ]
      const good = repository.git("rev-parse", "HEAD")
      for (const { change, says } of broken) {
        repository.write(site("broken", change)).commit()
        const [outcome] = (await deploy()).outcomes
        assert(outcome?._tag === "Failed")
        assert.strictEqual(outcome.restored, good)
        assert.include(outcome.error.message, says)
      }

      const { perSecond, sent } = await running.stop()
      assert.deepStrictEqual([...running.answers.keys()].toSorted(), ["200 first", "200 second"])
      assert.strictEqual(running.seen("200 first") + running.seen("200 second"), sent)
      assert.isAtLeast(perSecond, rate * 0.99)
    } finally {
      await mcpdeploy([...repository.serviceFile, "project", "delete", "--yes"])
    }
  }, 300_000)
})
