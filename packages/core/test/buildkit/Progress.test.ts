import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { StatusResponseSchema } from "../../src/buildkit/gen/buildkit_pb.ts"
import { BuildFollower, LineAssembler } from "../../src/buildkit/Progress.ts"

const now = { seconds: 1n, nanos: 0 }
const vertex = (digest: string, name: string, more: object = {}) =>
  create(StatusResponseSchema, { vertexes: [{ digest, name, started: now, ...more }] })
const log = (digest: string, text: string, stream = 1n) =>
  create(StatusResponseSchema, { logs: [{ vertex: digest, stream, msg: Buffer.from(text) }] })
const lines = (events: ReadonlyArray<{ readonly _tag: string; readonly line?: string }>) =>
  events.flatMap((event) => (event._tag === "BuildLog" && event.line !== undefined ? [event.line] : []))

describe("LineAssembler", () => {
  const cut = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))
  it.prop("loses nothing, wherever chunks end", [Schema.String, cut], ([text, size]) => {
    const wellFormed = text.toWellFormed().replaceAll("\r", "").replaceAll("\ufeff", "")
    const bytes = Buffer.from(wellFormed)
    const assembler = new LineAssembler()
    const received: Array<string> = []
    for (let at = 0; at < bytes.length; at += size)
      received.push(...assembler.push(bytes.subarray(at, at + size)))
    received.push(...assembler.flush())
    assert.strictEqual(received.join("\n"), wellFormed.replace(/\n$/, ""))
  })

  it("cuts a line without end into pieces, and keeps all of it", () => {
    const assembler = new LineAssembler()
    let length = 0
    for (let index = 0; index < 100; index++) {
      for (const line of assembler.push(Buffer.alloc(100_000, "x"))) length += line.length
    }
    for (const line of assembler.flush()) length += line.length
    assert.strictEqual(length, 10_000_000)
  })
})

describe("BuildFollower", () => {
  it("tells each state of a step once, and its lines before its end", () => {
    const follower = new BuildFollower()
    const events = [
      ...follower.receive(vertex("a", "[1/2] RUN x")),
      ...follower.receive(log("a", "one\ntw")),
      ...follower.receive(vertex("a", "[1/2] RUN x")),
      ...follower.receive(vertex("a", "[1/2] RUN x", { completed: now })),
      ...follower.receive(vertex("b", "[2/2] RUN y", { completed: now, cached: true }))
    ].filter(({ _tag }) => _tag !== "BuildProgress")
    assert.deepStrictEqual(
      events.map((event) =>
        event._tag === "BuildVertex" ? `${event.name}: ${event.state}` : lines([event])[0]
      ),
      ["[1/2] RUN x: started", "one", "tw", "[1/2] RUN x: completed", "[2/2] RUN y: cached"]
    )
  })

  it("passes over what it has already told when the stream is read again", () => {
    const follower = new BuildFollower()
    follower.receive(vertex("a", "RUN x"))
    follower.receive(log("a", "one\n"))
    follower.restart()
    assert.deepStrictEqual(follower.receive(vertex("a", "RUN x")), [])
    assert.deepStrictEqual(lines(follower.receive(log("a", "one\n"))), [])
    assert.deepStrictEqual(lines(follower.receive(log("a", "two\n"))), ["two"])
  })

  it("knows the step that failed, not those cancelled with it, nor a cache that is not there", () => {
    const follower = new BuildFollower()
    follower.receive(
      vertex("c", "importing cache manifest from r/x:buildcache", { completed: now, error: "not found" })
    )
    follower.receive(vertex("a", "[1/2] RUN x", { completed: now, error: "context canceled" }))
    follower.receive(vertex("b", "[2/2] RUN y", { completed: now, error: "exit code: 3" }))
    assert.deepStrictEqual(follower.failed, { vertex: "b", name: "[2/2] RUN y", error: "exit code: 3" })
    assert.strictEqual(follower.instructionOf("b"), "RUN y")
  })

  it("keeps the last 20 lines", () => {
    const follower = new BuildFollower()
    follower.receive(vertex("a", "RUN x"))
    follower.receive(log("a", Array.from({ length: 50 }, (_, index) => `line ${index}\n`).join("")))
    assert.deepStrictEqual(
      follower.lastLines,
      Array.from({ length: 20 }, (_, index) => `line ${index + 30}`)
    )
  })

  it("reports a fraction that never falls", () => {
    const follower = new BuildFollower()
    const fractions = [
      vertex("i", "[internal] load", { completed: now }),
      vertex("a", "[1/2] RUN x"),
      vertex("a", "[1/2] RUN x", { completed: now }),
      vertex("b", "[2/2] RUN x"),
      vertex("e", "exporting to image")
    ].flatMap((message) =>
      follower
        .receive(message)
        .flatMap((event) =>
          event._tag === "BuildProgress" && event.fraction !== undefined ? [event.fraction] : []
        )
    )
    assert.isAbove(fractions.length, 2)
    assert.deepStrictEqual(
      fractions,
      fractions.toSorted((a, b) => a - b)
    )
    assert.isTrue(fractions.every((fraction) => fraction < 1))
  })
})
