/**
 * Verified webhooks a second, against @octokit/webhooks on node:http. Both are processes of their own, asked in turn by this
 * one over 64 connections that stay open; each delivery has an id of its own. Ours decodes the push, looks up its
 * services and decides as well. A server has one core, the deliveries come from another. Then how long an answer takes at 1,000 deliveries a second, whether or not earlier ones
 * have been answered.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process"
import { connect, type Socket } from "node:net"
import { Effect, Schema } from "effect"
import { BenchFailed, type Measure } from "./measure.ts"
import { bodyBytes, delivery } from "./webhooks/delivery.ts"

const rounds = Number(process.env["MCPDEPLOY_BENCH_ROUNDS"] ?? 7)
const roundMs = 4000
const connections = 64
const rate = 1000
const rateMs = 15_000

const Started = Schema.Struct({ port: Schema.Int })
const Counted = Schema.Struct({ count: Schema.Int })

const sleep = (ms: number) => new Promise<void>((resume) => setTimeout(resume, ms))

const ask = <A>(child: ChildProcess, schema: Schema.Decoder<A>, question?: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const onExit = () => reject(new BenchFailed({ detail: "a server ended" }))
    child.once("exit", onExit)
    child.once("message", (answer) => {
      child.off("exit", onExit)
      resolve(Schema.decodeSync(schema)(answer))
    })
    if (question !== undefined) child.send(question)
  })

interface Server {
  readonly child: ChildProcess
  readonly port: number
}

const server = (name: "ours" | "peer") =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<Server> => {
      const child = fork(new URL(`webhooks/${name}.ts`, import.meta.url), {
        stdio: "inherit",
        // Otherwise the kernel moves both sides to one core and back as it likes.
        execPath: "taskset",
        execArgv: ["--cpu-list", "0", process.execPath]
      })
      const { port } = await ask(child, Started)
      return { child, port }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Calls `onAnswer` with each answer's status line. Answers are small and come whole. */
const open = (port: number, onAnswer: (socket: Socket, isGood: boolean) => void): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket))
    socket.setNoDelay(true)
    socket.on("error", reject)
    socket.on("data", (answer) => onAnswer(socket, answer.subarray(9, 10).toString() === "2"))
  })

/** Made beforehand: making them must not cost more than taking them. An id comes again after several seconds. */
const deliveries = Array.from({ length: 100_000 }, (_, count) => delivery(count))
let sent = 0
const send = (socket: Socket): boolean =>
  socket.write(deliveries[sent++ % deliveries.length] ?? delivery(sent))

/** Answers a second while every connection has one delivery under way. */
const throughput = async ({ child, port }: Server): Promise<number> => {
  let good = 0
  let isOver = false
  const sockets = await Promise.all(
    Array.from({ length: connections }, () =>
      open(port, (socket, isGood) => {
        if (!isGood) throw new BenchFailed({ detail: "a delivery was refused" })
        good++
        if (!isOver) send(socket)
      })
    )
  )
  sockets.forEach(send)
  await sleep(roundMs / 4)
  const before = await ask(child, Counted, "count")
  const [goodBefore, begun] = [good, performance.now()]
  await sleep(roundMs)
  const seconds = (performance.now() - begun) / 1000
  const perSecond = (good - goodBefore) / seconds
  const { count } = await ask(child, Counted, "count")
  isOver = true
  await sleep(200)
  for (const socket of sockets) socket.destroy()
  // Every answer stands for a push that was handed on.
  if (count - before.count < (good - goodBefore) * 0.98) {
    throw new BenchFailed({ detail: `${good - goodBefore} answers, but ${count - before.count} pushes` })
  }
  return perSecond
}

/** Milliseconds from the moment a delivery was due to its answer, in order. */
const latencies = async ({ port }: Server): Promise<ReadonlyArray<number>> => {
  const all: Array<number> = []
  const free: Array<Socket> = []
  const waiting: Array<number> = []
  const begunAt = new Map<Socket, number>()
  const start = (socket: Socket, due: number) => {
    begunAt.set(socket, due)
    send(socket)
  }
  const sockets = await Promise.all(
    Array.from({ length: connections }, () =>
      open(port, (socket) => {
        all.push(performance.now() - (begunAt.get(socket) ?? Number.NaN))
        const due = waiting.shift()
        if (due === undefined) free.push(socket)
        else start(socket, due)
      })
    )
  )
  free.push(...sockets)
  const begun = performance.now()
  let due = begun
  while (due < begun + rateMs) {
    for (; due <= performance.now(); due += 1000 / rate) {
      const socket = free.pop()
      if (socket === undefined) waiting.push(due)
      else start(socket, due)
    }
    await sleep(1)
  }
  await sleep(500)
  for (const socket of sockets) socket.destroy()
  return all.toSorted((a, b) => a - b)
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

const bench = Effect.gen(function* () {
  execFileSync("taskset", ["--cpu-list", "--pid", "1", String(process.pid)])
  const ours = yield* server("ours")
  const peer = yield* server("peer")
  const measured = { ours: new Array<number>(), peer: new Array<number>() }
  yield* Effect.promise(async () => {
    await throughput(peer)
    await throughput(ours)
    for (let round = 0; round < rounds; round++) {
      measured.peer.push(await throughput(peer))
      measured.ours.push(await throughput(ours))
    }
  })
  for (const [name, target] of [
    ["ours", ours],
    ["peer", peer]
  ] as const) {
    const sorted = yield* Effect.promise(() => latencies(target))
    const figures = [0.5, 0.99, 0.999].map((share) => percentile(sorted, share).toFixed(2))
    process.stdout.write(
      `webhooks-latency ${name} rate=${rate} count=${sorted.length} p50=${figures[0]} p99=${figures[1]} p999=${figures[2]} unit=ms bytes=${bodyBytes}\n`
    )
  }
  const measures: ReadonlyArray<Measure> = [{ label: "webhooks", unit: "per second", ...measured }]
  return measures
})

export const run = bench.pipe(Effect.scoped)
